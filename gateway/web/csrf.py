"""Checks that a form comes from one of our own pages, in the browser that got it, for the act it was made for.

Two checks, both needed. The *token* names a browser (the tag of its login cookie) or a session, and an act, and is
signed: every tab of a browser stays valid, nothing is stored, and the form of another browser or act is rejected.
The *origin* is the browser's own statement about the page that posts.

Neither proves that the user sends a form: a script of an app on the same origin can read a page of ours and submit its
form (see `docs/security.md`). So a form that shows or changes a factor contains a proof of its own.

Tabs that a browser opens at once, before it has any cookie, each get a page and a cookie, and the last cookie stays.
So the password page takes a form with the token of another cookie where the browser says that a page of ours posted it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.crypto.key_ring import Signer
from gateway.domain.tenant import Tenant

PURPOSE = "csrf"
"""The purpose for which the `Signer` is made."""
LOGIN, LOGOUT = "login", "logout"
"""Acts of forms; the account page has one for each of its buttons (`account_act`)."""


def account_act(kind: str, factor: str, version: int, target: str = "") -> tuple[str, ...]:
    """The act of one button of the account page: what it does, to which factor, at which version of the enrolments.

    `target` names one of several sessions, browsers or apps.
    """
    return ("account", kind, factor, str(version), *((target,) if target else ()))


@dataclass(frozen=True, slots=True)
class Csrf:
    """Makes and verifies the hidden field `csrf`.

    `act` names what the form is for: `LOGIN`, `LOGOUT`, or an act of the account page with its target and the version
    of the user's enrolments. A token of one act is none of another.
    """

    signer: Signer

    def token(self, tenant: Tenant, tag: str, *act: str) -> str:
        """The token for the form of `act` in the browser (or session) named `tag`."""
        return f"{tag}.{self.signer.sign(tenant.id, tag, *act)}"

    def verify(self, tenant: Tenant, tag: str | None, token: str | None, *act: str) -> bool:
        """Whether `token` was made for this act, browser and tenant. No cookie or no token: no."""
        return bool(tag) and self.tag_of(tenant, token, *act) == tag

    def tag_of(self, tenant: Tenant, token: str | None, *act: str) -> str | None:
        """The tag that `token` was made for, for this act at this tenant; None when the gateway did not make it."""
        tag, _, signature = (token or "").partition(".")
        return tag if tag and self.signer.verify(signature, tenant.id, tag, *act) else None


def is_navigation(headers: Mapping[str, str]) -> bool:
    """Whether a browser loads this as a page of its own: no script reads it, no frame shows it.

    Fetch Metadata (`Sec-Fetch-Mode`, `Sec-Fetch-Dest`), where the browser sends it; a client that sends neither may be
    a program, or a browser by plain http. Pages and data with a form token are given to navigations only.
    """
    return headers.get("Sec-Fetch-Mode", "navigate") == "navigate" and (
        headers.get("Sec-Fetch-Dest", "document") == "document"
    )


def of_own_page(headers: Mapping[str, str], tenant: Tenant) -> bool:
    """Whether the browser says that a page of our own posted this. Unlike `same_origin`, silence means no."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return headers.get("Origin", "").lower() in tenant.own_origins


def same_origin(headers: Mapping[str, str], tenant: Tenant) -> bool:
    """Whether a POST to one of our own pages comes from a page of our own.

    `Sec-Fetch-Site` decides where the browser sends it (`none` is the address bar), else `Origin` must be an own one.
    A browser sends one of them with every POST; a client that sends neither is no browser, and has only its token.
    By http on a name that is not loopback browsers do not send `Sec-Fetch-Site`. There a page with the policy
    `no-referrer` posts `Origin: null` even to itself (measured, Chromium 156), so the token alone decides.
    """
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("Origin")
    if origin is None or (origin == "null" and not tenant.secure):
        return True
    return origin.lower() in tenant.own_origins


def foreign_origin(headers: Mapping[str, str], tenant: Tenant) -> dict[str, Any]:
    """What a log line says of a rejected form if its origin is not one of ours; {} if it is."""
    if same_origin(headers, tenant):
        return {}
    return {
        "origin": headers.get("Origin", "")[:200],
        "expected": " ".join(sorted(tenant.own_origins)),
        "hint": "if users open this address, correct gateway.public_url",
    }
