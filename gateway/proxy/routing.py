"""Finds the app of a path, and blocks the sign-in endpoints of the apps.

Pure. Routes match whole segments, the longest first; public paths match exactly. The apps' own sign-in, second-factor
and refresh endpoints and Keycloak's token endpoints give a session for a password alone. The gateway never forwards
them, in any spelling: Express ignores case and a trailing slash, Tomcat cuts `;x`, others decode twice.
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.domain.problem import Problem
from gateway.domain.tenant import Route, Tenant, longest_match
from gateway.web.request_check import Checked, fully_decoded

_BLOCKED_OF_APPS = (
    ("keycloaklogin",),
    ("agent", "login"),
    ("agent", "refresh-token"),
    ("agent", "send-sms-otp"),
    ("agent", "register-phone"),
    ("agent", "validate-otp"),
)
_KEYCLOAK_BEGINS = frozenset({"admin", "realms"})
_KEYCLOAK_DEPTH = 5
"""Segments that decide whether a path of Keycloak's is blocked. All of a long path for each of its segments would cost
the square of its length."""
_PARAMETERS = re.compile(r"[;?#]")
_PROTOCOL_OPEN = frozenset({"certs", "logout", "userinfo", "login-status-iframe.html", "3p-cookies"})
"""The endpoints of Keycloak's `realms/<realm>/protocol/<protocol>/` that a route may reach, besides the description of
the realm (itself, `.well-known`). An allow-list: the others sign in, give tokens, or change an account."""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route of a request and the target that its app gets. `public`: without session and identity."""

    route: Route
    target: str
    public: bool = False


def find(checked: Checked, tenant: Tenant, prefix: str) -> RouteMatch | Problem:
    """Find the route of `checked`. `prefix` is the gateway's own (`/-/`), which no route can cover.

    `NOT_FOUND`: no route, or the gateway's own prefix. `BAD_REQUEST`: `//` or `%2f` on a route that does not take them.
    `SIGN_IN_HERE`: a blocked endpoint of an app.
    """
    segments = checked.segments
    own = _folded(tuple(prefix.split("/")))
    if _folded(segments)[: len(own)] == own:
        return Problem.NOT_FOUND
    route = longest_match(tenant.routes, segments)
    if route is None:
        return Problem.NOT_FOUND
    if checked.odd_slashes and not route.allow_encoded_slash:
        return Problem.BAD_REQUEST
    target = upstream_target(route, checked)
    if is_blocked(segments) or is_blocked(tuple(target.partition("?")[0].split("/"))):
        return Problem.SIGN_IN_HERE
    public = checked.method in ("GET", "HEAD") and not checked.upgrade and checked.path in tenant.public_paths
    return RouteMatch(route, target, public)


def upstream_target(route: Route, checked: Checked) -> str:
    """The target for the app: the bytes of the request, less the prefix where the route strips it."""
    base = urlsplit(route.to).path.rstrip("/")
    path = checked.path
    if route.strip_prefix:
        path = "/" + "/".join(path.split("/")[1 + len(route.segments) :])
    return f"{base}{path}" if checked.query is None else f"{base}{path}?{checked.query}"


def is_blocked(segments: tuple[str, ...]) -> bool:
    """Whether some server could read these segments as a blocked endpoint, wherever it is mounted."""
    words = _folded(segments)
    return any(
        any(words[at : at + len(blocked)] == blocked for blocked in _BLOCKED_OF_APPS)
        or (words[at] in _KEYCLOAK_BEGINS and _is_blocked_of_keycloak(words[at : at + _KEYCLOAK_DEPTH]))
        for at in range(len(words))
    )


def _is_blocked_of_keycloak(words: tuple[str, ...]) -> bool:
    match words:
        case ("admin", "realms", *_) | ("admin", _, "console", *_):
            return True
        case ("realms", _, "protocol", _, endpoint, *_):
            return endpoint not in _PROTOCOL_OPEN
        case ("realms", _, below, *_):
            return below != "well-known"  # folded: without its dot
    return False


def _folded(segments: tuple[str, ...]) -> tuple[str, ...]:
    """The segments as the most lenient of servers reads them.

    They are decoded to the end, without case, parameters, blanks and invisible characters. A decoded `?` or `#` ends
    them, as it does behind a proxy that decodes.
    """
    text = "/".join(segments)
    text = unicodedata.normalize("NFKC", fully_decoded(text) or text)
    if not text.isascii():  # some compare in capitals, where a dotless i is an I
        text = "".join(c for c in text if unicodedata.category(c) != "Cf").upper()
    words = (_PARAMETERS.split(word)[0].strip(" .+\t") for word in text.casefold().replace("\\", "/").split("/"))
    return tuple(word for word in words if word)
