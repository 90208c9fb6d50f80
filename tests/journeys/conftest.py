"""Fixtures of whole gateways for journeys."""

from tests.fixtures.site import light_site, settings, site, sso_site, stand_in

__all__ = ["light_site", "settings", "site", "sso_site", "stand_in"]
