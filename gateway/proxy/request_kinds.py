"""What is decided once for all plain requests of one kind, and kept while the configuration stands.

A kind is the method and the keys of all field lines (`head_lines`). Its meaning comes from the functions that judge
every other request: the check, the route matcher, `authorize`, and the header rules. Where their result depends on more
than the kind, or is anything else than "forward", a request takes the usual way.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.domain.configuration import Configuration
from gateway.domain.session import Session
from gateway.domain.tenant import Route, Tenant, longest_match
from gateway.proxy import headers, routing
from gateway.proxy.answers import AnswerRules
from gateway.proxy.authorization import Forward, authorize
from gateway.proxy.blocked_endpoints import folded
from gateway.proxy.head_lines import AnswerLines, decoded, without_secrets
from gateway.proxy.headers import HeaderFields
from gateway.proxy.routing import RouteMatch
from gateway.proxy.upstream_connection import UpstreamResponse
from gateway.proxy.upstream_pool import Upstream, UpstreamOrigin, UpstreamPool
from gateway.web.request_check import Checked, RequestHead, asks_for_service_worker, check, listed

WITH_BODY = frozenset((b"POST", b"PUT", b"PATCH"))
METHODS = WITH_BODY | {b"GET", b"HEAD", b"DELETE"}
"""Methods of plain requests: none is a preflight."""
MOST_KINDS = 1024
MOST_PATHS = 2048
"""Kinds, and paths of one tenant, that are remembered."""
_LONGEST_PATH = 256
_OWN_SITE = (None, "same-origin", "none")
"""Values of `Sec-Fetch-Site` for which no decision reads `Referer`."""
_PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9_~$@=-]+(?:\.[A-Za-z0-9_~$@=-]+)*)+/?|/")
_WITHOUT_DOTS = re.compile(rb"/[A-Za-z0-9_~$@=/-]*")
_MAY_BE_BLOCKED = frozenset((b"keycloaklogin", b"agent", b"admin", b"realms"))
"""The first words of all blocked endpoints."""
_NOT_IN_A_BASE = re.compile(r"keycloaklogin|agent|admin|realms", re.IGNORECASE)


Target = tuple[Route, bytes]
"""The route of a path, and the path that its app gets."""


def is_plain_path(path: bytes) -> bool:
    """Whether every server reads this path alike."""
    if _WITHOUT_DOTS.fullmatch(path) is not None:
        return b"//" not in path
    return _PLAIN_PATH.fullmatch(path) is not None


class Targets:
    """The targets of one tenant's paths."""

    def __init__(self, tenant: Tenant, prefix: str) -> None:
        self._tenant = tenant
        self._prefix = prefix
        own = folded(tuple(prefix.split("/")))
        self._own = own[0].encode() if own else b""
        self._public = frozenset(path.encode() for path in tenant.public_paths)
        self._most = max((len(route.path_segments) for route in tenant.routes), default=0)
        self._known: dict[bytes, Target | None] = {}
        self._routes: dict[tuple[bytes, ...], tuple[Route | None, bool]] = {}
        """By the first segments: the route, and whether its app gets the path as it is."""
        self._simple = len(own) == 1 and not any(
            _NOT_IN_A_BASE.search(urlsplit(route.to).path) for route in tenant.routes
        )

    def find(self, path: bytes) -> Target | None:
        """The target of a path; None: the usual way decides, or the app does not get such a path."""
        if path in self._known:
            return self._known[path]
        if len(path) > _LONGEST_PATH:
            return self._checked(path)
        found = self._plain(path) if self._simple and is_plain_path(path) else self._checked(path)
        if len(self._known) >= MOST_PATHS:
            self._known.clear()
        self._known[path] = found
        return found

    def _plain(self, path: bytes) -> Target | None:
        """As `_checked`, for a path that every server reads alike."""
        words = path.lower().split(b"/")
        if not _MAY_BE_BLOCKED.isdisjoint(words):
            return self._checked(path)
        if words[1] == self._own or path in self._public:
            return None
        first = tuple(path.split(b"/", self._most + 1)[1 : self._most + 1])
        found = self._routes.get(first)
        if found is None:
            found = self._route(first)
        route, as_it_is = found
        if route is None or as_it_is:
            return None if route is None else (route, path)
        return route, routing.upstream_path(route, path.decode()).encode()

    def _route(self, first: tuple[bytes, ...]) -> tuple[Route | None, bool]:
        """The route of the paths with these first segments, as many as any route has."""
        route = longest_match(self._tenant.routes, tuple(segment.decode() for segment in first))
        found = route, route is not None and not route.strip_prefix and not route.base_path
        if len(self._routes) >= MOST_PATHS:
            self._routes.clear()
        self._routes[first] = found
        return found

    def _checked(self, path: bytes) -> Target | None:
        checked = check(RequestHead("GET", path.decode("latin-1"), (1, 1), (("Host", "host"),)))
        match = routing.find(checked, self._tenant, self._prefix) if isinstance(checked, Checked) else None
        if not isinstance(match, RouteMatch) or match.public:
            return None
        return match.route, match.target.encode("latin-1")


class RoutedKind:
    """The requests of one kind to the app of one route."""

    def __init__(self, kind: "RequestKind", route: Route, app: Upstream, lines: AnswerLines) -> None:
        self.kind = kind
        self.route = route
        self.app = app
        self.private = not route.shared_cache
        checked, tenant = kind.checked, kind.tenant
        self._match = RouteMatch(route, "/")
        self.first = f"{checked.method} ".encode()
        """What precedes the target of a request to the app."""
        self.host = b" HTTP/1.1\r\n" + headers.field_lines((("Host", headers.app_host(checked, route, tenant)),))
        """What follows the target."""
        self.forwarded = headers.field_lines(headers.forwarded_fields(checked, route, tenant))
        self.end = b"\r\nContent-Length: 0\r\n\r\n" if checked.method.encode() in WITH_BODY else b"\r\n\r\n"
        """The end of a head without a body, after its last value."""
        self.answers = AnswerRules(checked, route, tenant, kind.prefix, lines, private=self.private)

    def opens(self, session: Session) -> bool:
        """Whether the session's user may make these requests."""
        kind = self.kind
        return isinstance(authorize(kind.checked, kind.tenant, self._match, session, kind.prefix), Forward)

    def credentials(self, session: Session, cookies: Sequence[str]) -> bytes:
        """The lines with the identity of the user, and with the client's own `cookies`."""
        return headers.field_lines(
            headers.credential_fields(self.kind.checked, self._match, self.kind.tenant, session, cookies)
        )

    def answer_fields(self, answer: UpstreamResponse) -> HeaderFields:
        """The fields of an answer for the browser, without framing."""
        kind = self.kind
        return headers.response_fields(
            answer.fields,
            kind.checked,
            self.route,
            kind.tenant,
            kind.prefix,
            status=answer.status,
            private=self.private,
        )


@dataclass(frozen=True, slots=True)
class RequestKind:
    """The requests with one method and the same keys of field lines."""

    checked: Checked
    tenant: Tenant
    prefix: str
    targets: Targets
    closes: bool
    """Whether the client ends the connection after the answer."""
    routed: dict[str, RoutedKind]


class RequestKinds:
    """The kinds under one configuration."""

    def __init__(self, configuration: Configuration, pool: UpstreamPool, lines: AnswerLines) -> None:
        self.configuration = configuration
        self._pool = pool
        self._lines = lines
        self._targets: dict[str, Targets] = {}
        self._known: dict[tuple[bytes, ...], RequestKind | None] = {}

    def of(self, keys: tuple[bytes, ...], lines: list[bytes], passed: bytes) -> RequestKind | None:
        """The kind of a request; None: the usual way decides.

        `keys`: the method and the keys of `lines`. `passed`: what the app gets of the lines.
        """
        try:
            return self._known[keys]
        except KeyError:
            found = self._made(keys[0].decode(), without_secrets(decoded(lines)), passed)
        if len(self._known) >= MOST_KINDS:
            self._known.clear()
        self._known[keys] = found
        return found

    def routed(self, kind: RequestKind, route: Route) -> RoutedKind:
        """The requests of this kind to the app of `route`."""
        found = kind.routed.get(route.path)
        if found is None:
            app = self._pool.at(UpstreamOrigin.of(route))
            found = kind.routed[route.path] = RoutedKind(kind, route, app, self._lines)
        return found

    def _made(self, method: str, fields: HeaderFields, passed: bytes) -> RequestKind | None:
        head = RequestHead(method, "/", (1, 1), fields)
        checked = check(head)
        if not isinstance(checked, Checked) or headers.field_lines(headers.client_fields(checked)) != passed:
            return None
        gateway = self.configuration.gateway
        tenant = self.configuration.tenants_by_host.get(checked.host)
        if tenant is None or tenant.apps is not None or not tenant.active or asks_for_service_worker(head):
            return None
        connection = listed(checked.all("connection"))
        if checked.header("sec-fetch-site") not in _OWN_SITE or not connection <= {"keep-alive", "close"}:
            return None
        if tenant.id not in self._targets:
            self._targets[tenant.id] = Targets(tenant, gateway.prefix)
        return RequestKind(checked, tenant, gateway.prefix, self._targets[tenant.id], "close" in connection, {})
