"""The whole gateway as hostile tests meet it: on the stand-in identity provider, so that no real one is needed."""

from tests.journeys.conftest import light_site, stand_in

__all__ = ["light_site", "stand_in"]
