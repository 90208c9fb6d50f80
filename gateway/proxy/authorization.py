"""Decides on a request to an app: forward it, send its user to the login, or deny it.

Pure. `authorize` is complete: its caller, the proxy or an endpoint for another proxy, only carries the decision out.
The gateway turns a cookie into a bearer token. So it gives credentials only to requests of the tenant's own pages, of a
configured origin, or of the user (a top-level navigation).
"""

from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tenant import Route, Tenant
from gateway.proxy.routing import RouteMatch
from gateway.web.request_check import Checked, asks_for_service_worker

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request to the app. `session` None: a public path, without identity."""

    match: RouteMatch
    session: Session | None


@dataclass(frozen=True, slots=True)
class RedirectToSignIn:
    """The user needs a session: 303 to `location` for a navigation, else 401 with it."""

    location: str
    navigation: bool


@dataclass(frozen=True, slots=True)
class RedirectToStepUp:
    """The user needs a further proof: 303 to `location` for a navigation, else 401 with it."""

    location: str
    navigation: bool


@dataclass(frozen=True, slots=True)
class RedirectHome:
    """A user asked for the bare address, and no app is there."""

    location: str


@dataclass(frozen=True, slots=True)
class AnswerPreflight:
    """A CORS preflight of a configured origin: the gateway answers it itself."""

    route: Route


@dataclass(frozen=True, slots=True)
class UnregisterWorker:
    """The script of a service worker that may not be had: the worker is unregistered. `why` is for the log."""

    why: str
    route: Route | None


@dataclass(frozen=True, slots=True)
class Deny:
    """The request is rejected."""

    problem: Problem


@dataclass(frozen=True, slots=True)
class DenyApp:
    """The user of `session` may not use the app of `route`: its `allow` has none of their roles and groups."""

    route: Route
    session: Session


Decision = (
    Forward | RedirectToSignIn | RedirectToStepUp | RedirectHome | AnswerPreflight | UnregisterWorker | Deny | DenyApp
)


def needs_session(checked: Checked, match: RouteMatch | Problem) -> bool:
    """Whether the decision depends on a session. The store is not asked for any other."""
    return isinstance(match, RouteMatch) and not match.public and not is_preflight(checked)


def authorize(
    checked: Checked, tenant: Tenant, match: RouteMatch | Problem, session: Session | None, prefix: str
) -> Decision:
    """Decide on a request to an app. `match` is its route; a session of another tenant counts as none."""
    decision = _decide(checked, tenant, match, session, prefix)
    if isinstance(decision, Forward) or not asks_for_service_worker(checked):
        return decision
    return UnregisterWorker(_why(decision), match.route if isinstance(match, RouteMatch) else None)


def _decide(
    checked: Checked, tenant: Tenant, match: RouteMatch | Problem, session: Session | None, prefix: str
) -> Decision:
    if isinstance(match, Problem):
        bare = match is Problem.NOT_FOUND and checked.path == "/" and is_navigation(checked)
        return RedirectHome(tenant.home) if bare else Deny(match)
    origin = checked.header("origin")
    if is_preflight(checked) and origin in tenant.origins:
        return AnswerPreflight(match.route)
    if match.public:
        return Forward(match, None)
    if session is None or session.tenant != tenant.id:
        return RedirectToSignIn(login_path(checked, tenant, prefix), is_navigation(checked))
    if not session.may_use(match.route):  # before a step-up, which would ask for a proof in vain
        return DenyApp(match.route, session)
    if not session.opens(tenant, match.route.path):
        return RedirectToStepUp(login_path(checked, tenant, prefix, strict=match.route), is_navigation(checked))
    if not may_use_credentials(checked, tenant):
        return Deny(Problem.ORIGIN_REFUSED)
    return Forward(match, session)


def _why(decision: Decision) -> str:
    match decision:
        case RedirectToSignIn():
            return "no session"
        case Deny(problem):
            return problem.value
        case DenyApp():
            return Problem.APP_NOT_ALLOWED.value
        case RedirectHome():
            return Problem.NOT_FOUND.value
        case _:
            return "the session does not open this route"


def is_preflight(checked: Checked) -> bool:
    """Whether a browser asks by `checked` if a cross-origin request may be made."""
    return checked.method == "OPTIONS" and checked.header("access-control-request-method") is not None


def may_use_credentials(checked: Checked, tenant: Tenant) -> bool:
    """Whether the page that made the request may act as the user of the cookie."""
    site = checked.header("sec-fetch-site")
    origin = checked.header("origin")
    known = origin is not None and (origin in tenant.own_origins or origin in tenant.origins)
    if checked.upgrade:
        # A handshake may be readable across origins and no preflight protects it, so its Origin must be right too.
        return known or (origin is None and site == "same-origin")
    if site is not None:
        return site in ("same-origin", "none") or known or _is_top_level_get(checked) or _is_embedded(checked, tenant)
    if origin is not None:
        return known
    return checked.method in SAFE


def is_navigation(checked: Checked) -> bool:
    """Whether the browser shows the answer as a page, so that a redirect to the login makes sense.

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


def login_path(checked: Checked, tenant: Tenant, prefix: str, *, strict: Route | None = None) -> str:
    """The login with the way back: to the page that was asked for, or to the page whose form or script asked.

    `strict`: a step-up for this route. It leads back to this route only: the login redirects to a page of a route that
    the session opens at once, without the proof.
    """
    values = ["purpose=step-up"] if strict else []
    target = _way_back(checked, tenant, prefix)
    if target and strict in (None, tenant.route_of(target.partition("?")[0])):
        values.append(f"to={quote(target, safe='/')}")
    return f"{prefix}login?{'&'.join(values)}" if values else f"{prefix}login"


def _way_back(checked: Checked, tenant: Tenant, prefix: str) -> str | None:
    """A browser cannot send a form again after the login, but the user can: on its page, which is in `Referer`."""
    if checked.upgrade:
        return None
    if checked.method in ("GET", "HEAD"):
        return checked.target
    referer = checked.header("referer") or ""
    origin = next((origin for origin in tenant.own_origins if referer.startswith(f"{origin}/")), None)
    if origin is None:
        return None
    path = referer.removeprefix(origin).partition("#")[0]
    return None if path.startswith(prefix) or tenant.route_of(path.partition("?")[0]) is None else path


def _is_top_level_get(checked: Checked) -> bool:
    return (
        checked.method == "GET"
        and checked.header("sec-fetch-mode") == "navigate"
        and checked.header("sec-fetch-dest") in (None, "document")
    )


def _is_embedded(checked: Checked, tenant: Tenant) -> bool:
    """Whether a page of a configured origin shows this in a frame, or as an image.

    Browsers send no `Origin` then, but `Referer`, which no page can forge. After a redirect by another site, which
    could have chosen the path, `Sec-Fetch-Site` is `cross-site`. From another site browsers send no session cookie.
    """
    if checked.method not in ("GET", "HEAD") or checked.header("sec-fetch-site") != "same-site":
        return False
    referer = urlsplit(checked.header("referer") or "")
    return checked.header("origin") is None and f"{referer.scheme}://{referer.netloc}" in tenant.origins
