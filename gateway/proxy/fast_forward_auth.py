"""Answers the plain questions of another proxy with yes, past aiohttp's request, tasks and timers.

A question becomes the head of the request that it is about (`forward_auth`), and the reader of all other heads reads
that one. So the check, the matcher and `authorize` decide as for a request to the gateway itself. Any other answer than
yes is the application's, and any question that is not plain.
"""

from email.utils import formatdate
from enum import IntEnum, auto

from gateway.domain.configuration import ForwardAuthProxy
from gateway.domain.problem import Problem
from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.proxy.authorization import Forward
from gateway.proxy.forward_auth import NAMED_BY, OF_THE_QUESTION, PATH, allowed_fields, read_alike
from gateway.proxy.head_lines import LONGEST_LINE, MOST_LINES, RequestLines, Role, split_fields
from gateway.proxy.head_reader import Cookies, HeadReader
from gateway.proxy.request_kinds import MOST_PATHS, RequestKinds, RoutedKind, is_plain_path
from gateway.proxy.routing import RouteMatch
from gateway.web.client_address import is_trusted_peer
from gateway.web.request_check import Checked, InvalidRequest, RequestHead, check

_FIRST = 64
"""Bytes within which the path of a question begins."""
_LONGEST_PATH = 256
MOST_USERS = 32
"""Users whose last question is remembered, of one connection."""
_NOT_KEPT = frozenset((b"authorization", b"proxy-authorization", b"referer", b"x-forwarded-for", b"x-request-id"))
"""Names of lines that are secret, or another in most questions."""
_ENDS = {b"keep-alive": False, b"close": True}


class _Means(IntEnum):
    """What a field of a question means."""

    METHOD = 0
    TARGET = auto()
    HOST = auto()
    CONNECTION = auto()
    LENGTH = auto()
    COOKIE = auto()
    PASSES = auto()
    NOTHING = auto()
    NOT_PLAIN = auto()


_ALWAYS_NEW = (_Means.TARGET, _Means.COOKIE)


class Questions:
    """The questions of the configured proxy under one configuration."""

    def __init__(self, kinds: RequestKinds, proxy: ForwardAuthProxy) -> None:
        self.kinds = kinds
        self._path = f"{kinds.configuration.gateway.prefix}{PATH}".encode()
        self._begins = b" " + self._path
        self.envoy = proxy is ForwardAuthProxy.ENVOY
        self.lines = _Lines(proxy)
        self._alike: dict[tuple[str, str, bytes], bool] = {}
        self._most: dict[str, int] = {}
        self._date = (0, b"")

    @classmethod
    def under(cls, kinds: RequestKinds) -> "Questions | None":
        """The questions under this configuration; None: no proxy asks."""
        proxy = kinds.configuration.gateway.forward_auth
        return cls(kinds, proxy) if proxy is not None else None

    def may_be(self, head: bytes) -> bool:
        """Whether this head could be a question."""
        return head.find(self._begins, 0, _FIRST) > 0

    def target(self, target: bytes) -> bytes | None:
        """The target that follows the path of a question of Envoy, b"" for the other proxies; None: no question."""
        if not self.envoy:
            return b"" if target == self._path else None
        return target[len(self._path) :] if target.startswith(self._path + b"/") else None

    def read_alike(self, tenant: Tenant, path: bytes, routed: RoutedKind) -> bool:
        """Whether the proxy must find the same route for a path.

        Only so many segments are read as a route of the tenant has, of a path that every server reads alike.
        """
        plain = is_plain_path(path)
        if plain:
            most = self._most.get(tenant.id)
            if most is None:
                most = self._most[tenant.id] = max(len(route.path_segments) for route in tenant.routes) + 1
            path = b"/".join(path.split(b"/", most)[:most])
        key = (tenant.id, routed.route.path, path)
        known = self._alike.get(key)
        if known is None:
            text, match = path.decode("latin-1"), RouteMatch(routed.route, "/")
            if plain:
                checked: Checked | InvalidRequest = Checked("GET", text, None, tuple(text.split("/")[1:]), "", ())
            else:
                checked = check(RequestHead("GET", text, (1, 1), (("Host", "host"),)))
            known = isinstance(checked, Checked) and not isinstance(read_alike(checked, tenant, match), Problem)
            if len(path) <= _LONGEST_PATH:
                if len(self._alike) >= MOST_PATHS:
                    self._alike.clear()
                self._alike[key] = known
        return known

    def date(self, now: float) -> bytes:
        """The field line with the time."""
        if int(now) != self._date[0]:
            self._date = int(now), f"Date: {formatdate(int(now), usegmt=True)}\r\n".encode()
        return self._date[1]


class _UserReader:
    """The questions with one `Cookie` field on one connection: most lines of each are those of the one before."""

    def __init__(self, lines: RequestLines, peer: str | None) -> None:
        self.reads = HeadReader(lines, peer)
        self._yes: tuple[Session | None, RoutedKind | None, Cookies | None, bytes] = (None, None, None, b"")

    def yes(self, session: Session) -> bytes | None:
        """The lines of a yes; None: the user may not make the request."""
        last_session, last_routed, last_cookies, lines = self._yes
        routed, cookies = self.reads.routed, self.reads.cookies
        if session is not last_session or routed is not last_routed or cookies is not last_cookies:
            if not routed.opens(session):
                return None
            kind, decision = routed.kind, Forward(RouteMatch(routed.route, "/"), session)
            fields = allowed_fields(kind.checked, kind.tenant, decision, cookies.kept)
            lines = "".join(("HTTP/1.1 200 OK\r\n", *(f"{name}: {fields[name]}\r\n" for name in fields))).encode()
            self._yes = session, routed, cookies, lines
        return lines


class QuestionReader:
    """The questions on one connection, one after the other."""

    def __init__(self, lines: RequestLines, peer: str | None) -> None:
        self._known = lines
        self._peer = peer
        self._users: dict[bytes, _UserReader] = {}
        self._user = _UserReader(lines, peer)
        """Of the last question."""
        self._last: tuple[Questions | None, bytes] = (None, b"")
        self._trusted_under: tuple[Questions | None, bool] = (None, False)
        self.closes = False
        """Whether the proxy ends the connection after the answer."""

    @property
    def cookies(self) -> Cookies:
        """Those of the request in question."""
        return self._user.reads.cookies

    @property
    def request_id(self) -> bytes:
        """The id that the proxy gave the request, or b""."""
        return self._user.reads.request_id

    def read(self, questions: Questions, head: bytes) -> bool:
        """Read a question; False: the usual way answers."""
        if self._last == (questions, head):
            return True
        self._last = None, b""
        if questions is not self._trusted_under[0]:
            trusted = questions.kinds.configuration.gateway.trusted_proxies
            self._trusted_under = questions, is_trusted_peer(self._peer, trusted)
        found = self._in_question(questions, head) if self._trusted_under[1] else None
        reads = self._user.reads
        if found is None or not reads.read(questions.kinds, found) or reads.has_body:
            return False
        path = found.split(b" ", 2)[1].partition(b"?")[0]
        if not questions.read_alike(reads.cookies.tenant, path, reads.routed):
            return False
        self._last = questions, head
        return True

    def yes(self, session: Session) -> bytes | None:
        """The lines of a yes; None: the user may not make the request."""
        return self._user.yes(session)

    def _of(self, cookie: bytes) -> _UserReader:
        """The reader of the questions with this line of cookies."""
        user = self._users.get(cookie)
        if user is None:
            if len(self._users) >= MOST_USERS:
                del self._users[next(iter(self._users))]
            user = self._users[cookie] = _UserReader(self._known, self._peer)
        return user

    def _in_question(self, questions: Questions, head: bytes) -> bytes | None:
        """The head of the request in question; None: the usual way reads the question."""
        end = head.find(b"\r\n")
        method, _, rest = head[:end].partition(b" ")
        target, _, version = rest.partition(b" ")
        asked = questions.target(target)
        lines = split_fields(head[end + 2 : -4])
        if asked is None or lines is None or method == b"HEAD":
            return None
        named: list[bytes | None] = [None] * len(_Means)
        if questions.envoy:
            named[_Means.METHOD], named[_Means.TARGET] = method, asked
        cookie, passed, dropped = b"", list[bytes](), set[bytes]()
        for line in lines:
            means = questions.lines[line]
            if means is _Means.PASSES:
                passed.append(line)
                continue
            name, _, value = line.partition(b":")
            if means is _Means.COOKIE:
                passed.append(line)
                cookie = line
            elif means is _Means.NOTHING:
                if name.lower() in dropped or self._known[line][2] is Role.NOT_PLAIN:
                    return None
                dropped.add(name.lower())
            elif means is _Means.NOT_PLAIN or named[means] is not None:
                return None
            else:
                named[means] = value.strip(b" \t")
        of_method, of_target, of_host, connection, length = named[:5]
        ends = _ENDS.get((connection or b"keep-alive").lower())
        if of_method is None or of_target is None or of_host is None or ends is None or length not in (None, b"0"):
            return None
        self.closes, self._user = ends, self._of(cookie)
        return b"\r\n".join((b"%b %b %b" % (of_method, of_target, version), b"Host: " + of_host, *passed, b"", b""))


class _Lines(dict[bytes, _Means]):
    """What the field lines of questions mean. Lines that have no secret and occur again are remembered."""

    def __init__(self, proxy: ForwardAuthProxy) -> None:
        super().__init__()
        self._names = _meanings(proxy)

    def __missing__(self, line: bytes) -> _Means:
        name = line.partition(b":")[0].lower()
        means = self._names.get(name, _Means.PASSES)
        if means not in _ALWAYS_NEW and len(line) <= LONGEST_LINE and name not in _NOT_KEPT:
            if len(self) >= MOST_LINES:
                self.clear()
            self[line] = means
        return means


def _meanings(proxy: ForwardAuthProxy) -> dict[bytes, _Means]:
    """What the names mean that are not those of the request in question."""
    plain = ("connection", "content-length", "host", "http2-settings", "keep-alive", "proxy-connection")
    means = dict.fromkeys((*OF_THE_QUESTION, "sec-websocket-key"), _Means.NOT_PLAIN)
    means |= dict.fromkeys(plain, _Means.NOTHING)
    means |= {
        "cookie": _Means.COOKIE,
        "x-forwarded-host": _Means.NOTHING,
        "connection": _Means.CONNECTION,
        "content-length": _Means.LENGTH,
    }
    named = NAMED_BY.get(proxy, ("", "", "host"))
    means |= dict(zip(named, (_Means.METHOD, _Means.TARGET, _Means.HOST), strict=True))
    return {name.encode(): meaning for name, meaning in means.items() if name}
