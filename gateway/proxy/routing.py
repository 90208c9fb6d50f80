"""Which app does a path belong to, and which doors of the apps stay closed?

Pure. Routes match whole segments, the longest first; public paths match exactly. The apps' own sign-in, second-factor
and refresh endpoints and Keycloak's token endpoints give a session for a password alone, so they are never forwarded,
however they are spelled (NX-05): Express ignores case and a trailing slash, Tomcat cuts `;x`, others decode twice.
"""

import re
import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.domain.tenant import Route, Tenant, longest_match
from gateway.proxy.request_check import Checked, fully_decoded

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
"""Segments that decide whether a path of Keycloak's is closed. All of a long path for each of its segments would cost
the square of its length."""
_PARAMETERS = re.compile(r"[;?#]")
_PROTOCOL_OPEN = frozenset({"certs", "logout", "userinfo", "login-status-iframe.html", "3p-cookies"})
"""What of Keycloak's `realms/<realm>/protocol/<protocol>/` a route may reach, with what describes the realm (itself,
`.well-known`): an allow-list, for the rest signs in, gives tokens, or lets an account be changed with them."""


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """The route of a request and the target its app gets. `public`: no session asked, no identity given."""

    route: Route
    target: str
    public: bool = False


@dataclass(frozen=True, slots=True)
class BlockedEndpoint:
    """A sign-in door of an app: the answer says where to sign in instead."""


@dataclass(frozen=True, slots=True)
class NoRoute:
    """Nothing is configured there (or it is the gateway's own prefix)."""


@dataclass(frozen=True, slots=True)
class InvalidPath:
    """`//` or `%2f` on a route that does not take them."""


def find(checked: Checked, tenant: Tenant, prefix: str) -> RouteMatch | BlockedEndpoint | NoRoute | InvalidPath:
    """Where `checked` goes. `prefix` is the gateway's own (`/-/`), which no route can cover."""
    segments = checked.segments
    own = _folded(tuple(prefix.split("/")))
    if _folded(segments)[: len(own)] == own:
        return NoRoute()
    route = longest_match(tenant.routes, segments)
    if route is None:
        return NoRoute()
    if checked.odd_slashes and not route.allow_encoded_slash:
        return InvalidPath()
    target = upstream_target(route, checked)
    if is_blocked(segments) or is_blocked(tuple(target.partition("?")[0].split("/"))):
        return BlockedEndpoint()
    public = checked.method in ("GET", "HEAD") and not checked.upgrade and checked.path in tenant.public_paths
    return RouteMatch(route, target, public)


def upstream_target(route: Route, checked: Checked) -> str:
    """The target as the app gets it: the bytes of the request, less the prefix where the route strips it."""
    base = urlsplit(route.to).path.rstrip("/")
    path = checked.path
    if route.strip_prefix:
        path = "/" + "/".join(path.split("/")[1 + len(route.segments) :])
    return f"{base}{path}" if checked.query is None else f"{base}{path}?{checked.query}"


def is_blocked(segments: tuple[str, ...]) -> bool:
    """Whether some server could read these segments as one of the closed doors, wherever it is mounted."""
    words = _folded(segments)
    return any(
        any(words[at : at + len(blocked)] == blocked for blocked in _BLOCKED_OF_APPS)
        or (words[at] in _KEYCLOAK_BEGINS and _is_closed_of_keycloak(words[at : at + _KEYCLOAK_DEPTH]))
        for at in range(len(words))
    )


def _is_closed_of_keycloak(words: tuple[str, ...]) -> bool:
    match words:
        case ("admin", "realms", *_) | ("admin", _, "console", *_):
            return True
        case ("realms", _, "protocol", _, endpoint, *_):
            return endpoint not in _PROTOCOL_OPEN
        case ("realms", _, below, *_):
            return below != "well-known"  # folded: without its dot
    return False


def _folded(segments: tuple[str, ...]) -> tuple[str, ...]:
    """The segments as the most lenient of servers reads them: decoded to the end, without case, parameters, blanks and
    what cannot be seen; a decoded `?` or `#` ends them, as it does behind a proxy that decodes."""
    text = "/".join(segments)
    text = unicodedata.normalize("NFKC", fully_decoded(text) or text)
    if not text.isascii():  # some compare in capitals, where a dotless i is an I
        text = "".join(c for c in text if unicodedata.category(c) != "Cf").upper()
    words = (_PARAMETERS.split(word)[0].strip(" .+\t") for word in text.casefold().replace("\\", "/").split("/"))
    return tuple(word for word in words if word)
