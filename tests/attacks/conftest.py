"""The whole gateway on the stand-in identity provider, for hostile tests."""

from tests.fixtures.site import light_site, sso_site, stand_in

__all__ = ["light_site", "sso_site", "stand_in"]
