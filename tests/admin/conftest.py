"""Fixtures of the API's tests: the gateway in this process, on the stand-in identity provider."""

from tests.fixtures.api_site import api_site
from tests.fixtures.site import stand_in

__all__ = ["api_site", "stand_in"]
