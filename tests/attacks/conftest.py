"""The whole gateway on the stand-in identity provider, for hostile tests."""

from tests.journeys.conftest import light_site, stand_in

__all__ = ["light_site", "stand_in"]
