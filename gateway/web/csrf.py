"""Does this form come from one of our own pages, in the browser it was given to?

Two checks, both needed. The *token* is a signature over the tag of the browser's login cookie, so every tab of a
browser stays valid, nothing is kept, and the form of another browser is worth nothing. The *origin* is what the
browser itself says about the page that posts.
"""

from collections.abc import Mapping

from gateway.crypto.signing import Signer
from gateway.domain.tenant import Tenant

PURPOSE = "csrf"
"""The purpose for which the `Signer` is made."""


class Csrf:
    """Makes and verifies the hidden field `csrf`."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def token(self, tenant: Tenant, tag: str) -> str:
        """The token for the forms of the browser with the login cookie tag `tag`."""
        return self._signer.sign(tenant.id, tag)

    def verify(self, tenant: Tenant, tag: str | None, token: str | None) -> bool:
        """Whether `token` was made for this browser at this tenant. No cookie or no token: no."""
        return bool(tag) and bool(token) and self._signer.verify(token or "", tenant.id, tag or "")


def same_origin(headers: Mapping[str, str], tenant: Tenant) -> bool:
    """Whether a POST to one of our own pages comes from a page of our own.

    `Sec-Fetch-Site` decides where the browser sends it (`none` is the address bar), else `Origin` must be an own one.
    A browser sends one of them with every POST; a client that sends neither is no browser, and has only its token.
    By http on a name that is not loopback browsers keep `Sec-Fetch-Site` to themselves, and a page with the policy
    `no-referrer` posts `Origin: null` even to itself (measured, Chromium 156): there the token alone has to do.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("Origin")
    if origin is None or (origin == "null" and not tenant.secure):
        return True
    return origin.lower() in tenant.own_origins
