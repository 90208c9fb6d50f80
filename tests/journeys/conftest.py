"""Fixtures of whole gateways for journeys."""

from tests.fixtures.site import light_site, settings, site, stand_in

__all__ = ["light_site", "settings", "site", "stand_in"]
