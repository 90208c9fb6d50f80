"""Fixtures of gateways that are set up as two vendors document theirs."""

from tests.fixtures.vendor_sites import app_site, cloud, cloud_for_days, patient_client, settings

__all__ = ["app_site", "cloud", "cloud_for_days", "patient_client", "settings"]
