"""Does this form come from one of our own pages, in the browser it was given to?

Two checks, both needed. The *token* is the tag of the browser's login cookie, signed, so every tab of a browser stays
valid, nothing is kept, and the form of another browser is worth nothing. The *origin* is what the browser itself says
about the page that posts.

Tabs that a browser opens at once, before it has any cookie, each get a page and a cookie, and the last cookie stays.
So the password page takes a form with the token of another cookie where the browser says that a page of ours posted it.
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
        return f"{tag}.{self._signer.sign(tenant.id, tag)}"

    def verify(self, tenant: Tenant, tag: str | None, token: str | None) -> bool:
        """Whether `token` was made for this browser at this tenant. No cookie or no token: no."""
        return bool(tag) and self.tag_of(tenant, token) == tag

    def tag_of(self, tenant: Tenant, token: str | None) -> str | None:
        """The tag that `token` was made for at this tenant; None when it is not one of ours."""
        tag, _, signature = (token or "").partition(".")
        return tag if tag and self._signer.verify(signature, tenant.id, tag) else None


def of_own_page(headers: Mapping[str, str], tenant: Tenant) -> bool:
    """Whether the browser says that a page of our own posted this: stricter than `same_origin`, silence is a no."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return headers.get("Origin", "").lower() in tenant.own_origins


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
