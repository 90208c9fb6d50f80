"""The whole gateway on the stand-in identity provider, which a test can make fail."""

from tests.fixtures.site import light_site, stand_in

__all__ = ["light_site", "stand_in"]
