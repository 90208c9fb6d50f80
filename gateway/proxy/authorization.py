"""What happens to this request: forward, sign in, step up, or refuse?

Pure. Facts in, one decision out. Because a cookie becomes a bearer here (GW-28), credentials are given only to requests
that the tenant's own pages, a configured origin, or the user himself (a top-level navigation) made.
"""

from dataclasses import dataclass
from urllib.parse import quote

from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.proxy.request_check import Checked
from gateway.proxy.routing import BlockedEndpoint, InvalidPath, NoRoute, RouteMatch

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Forward:
    """To the app. `session` None: a public path, no identity."""

    found: RouteMatch
    session: Session | None


@dataclass(frozen=True, slots=True)
class RedirectToSignIn:
    """A session first: 303 to `location` for a navigation, 401 with it for everything that cannot follow."""

    location: str
    navigation: bool


@dataclass(frozen=True, slots=True)
class RedirectToStepUp:
    """A fresh or further proof first; told in the same two ways."""

    location: str
    navigation: bool


@dataclass(frozen=True, slots=True)
class AnswerPreflight:
    """A CORS preflight of a configured origin: the gateway answers it itself."""

    origin: str


@dataclass(frozen=True, slots=True)
class Deny:
    """No."""

    problem: Problem


Decision = Forward | RedirectToSignIn | RedirectToStepUp | AnswerPreflight | Deny


def authorize(
    checked: Checked,
    tenant: Tenant,
    found: RouteMatch | BlockedEndpoint | NoRoute | InvalidPath,
    session: Session | None,
    prefix: str,
) -> Decision:
    """The one decision about a request on an app path; a session of another tenant counts as none."""
    match found:
        case BlockedEndpoint():
            return Deny(Problem.SIGN_IN_HERE)
        case NoRoute():
            return Deny(Problem.NOT_FOUND)
        case InvalidPath():
            return Deny(Problem.BAD_REQUEST)
    origin = checked.header("origin")
    if is_preflight(checked) and origin in tenant.origins:
        return AnswerPreflight(origin or "")
    if found.public:
        return Forward(found, None)
    if session is None or session.tenant != tenant.id:
        return RedirectToSignIn(login_path(checked, prefix), is_navigation(checked))
    if session.routes is not None and found.route.path not in session.routes:
        return RedirectToStepUp(login_path(checked, prefix, purpose="step-up"), is_navigation(checked))
    if not may_use_credentials(checked, tenant):
        return Deny(Problem.ORIGIN_REFUSED)
    return Forward(found, session)


def is_preflight(checked: Checked) -> bool:
    """Whether a browser asks by `checked` if a cross-origin request may be made."""
    return checked.method == "OPTIONS" and checked.header("access-control-request-method") is not None


def may_use_credentials(checked: Checked, tenant: Tenant) -> bool:
    """GW-28: whether whoever made the request may act as the user of the cookie."""
    site = checked.header("sec-fetch-site")
    origin = checked.header("origin")
    known = origin is not None and (origin in tenant.own_origins or origin in tenant.origins)
    if checked.upgrade:
        # A handshake may be readable across origins and no preflight protects it, so its Origin must be right too.
        return known or (origin is None and site == "same-origin")
    if site is not None:
        return site in ("same-origin", "none") or known or _is_top_level_get(checked)
    if origin is not None:
        return known
    return checked.method in SAFE


def is_navigation(checked: Checked) -> bool:
    """Whether the answer is shown to a person as a page, so that a redirect to the login makes sense.

    Browsers say so (`Sec-Fetch-Mode`); for other clients a plain GET without a sign of a script counts.
    """
    if checked.upgrade:
        return False
    mode = checked.header("sec-fetch-mode")
    if mode is not None:
        return mode == "navigate"
    if (checked.header("x-requested-with") or "").lower() == "xmlhttprequest":
        return False
    accept = ",".join(checked.all("accept")).lower()
    if "text/html" in accept:
        return True
    return checked.method in ("GET", "HEAD") and "json" not in accept and (not accept or "*/*" in accept)


def login_path(checked: Checked, prefix: str, *, purpose: str = "") -> str:
    """The login with the way back; only a page can be come back to, a submitted form cannot."""
    values = [f"purpose={purpose}"] if purpose else []
    if checked.method in ("GET", "HEAD") and not checked.upgrade:
        values.append(f"to={quote(checked.target, safe='/')}")
    return f"{prefix}login?{'&'.join(values)}" if values else f"{prefix}login"


def _is_top_level_get(checked: Checked) -> bool:
    return (
        checked.method == "GET"
        and checked.header("sec-fetch-mode") == "navigate"
        and checked.header("sec-fetch-dest") in (None, "document")
    )
