"""Reads the heads of one client connection: what each asks for, who asks, and what its app gets of it.

Most heads of a connection are like the one before. So only lines that changed are read, and what the others mean stays.
Lines that changed once are expected to change again (`head_shape`). A head that is not plain is not read at all: the
usual way decides.
"""

from itertools import compress, count
from operator import ne

from gateway.domain.session import Session
from gateway.domain.tenant import Tenant
from gateway.proxy import headers
from gateway.proxy.head_lines import PLAIN_BYTES, RequestLines, Role, is_value, split_fields
from gateway.proxy.head_shape import HeadShape
from gateway.proxy.request_kinds import METHODS, RequestKind, RequestKinds, RoutedKind
from gateway.sessions.session_key import SessionKey, of_cookie
from gateway.web import cookies
from gateway.web.client_address import client_address, is_trusted_peer
from gateway.web.cookies import Cookie
from gateway.web.middleware import is_request_id
from gateway.web.request_check import MAX_TARGET, is_cookie_field, is_query

LONGEST_BLOCK = 12_288
"""Bytes of all field lines of a plain request."""
_VERSION = b"HTTP/1.1"
_END = b"\r\n\r\n"


class Cookies:
    """What the `Cookie` field of a request means."""

    __slots__ = ("kept", "place", "tenant", "token")

    def __init__(self, tenant: Tenant, place: SessionKey, *, token: str | None, kept: tuple[str, ...]) -> None:
        self.tenant = tenant
        self.place = place
        self.token = token
        """The value of the token cookie."""
        self.kept = kept
        """The cookies that the app gets."""

    @classmethod
    def read(cls, field: bytes, tenant: Tenant) -> "Cookies | None":
        """None: no session cookie that the gateway can have made, or a field that must be rejected."""
        if not is_cookie_field(field):
            return None
        pairs = [pair.strip(" \t") for pair in field.decode("latin-1").split(";")]
        found = cookies.of_pairs(pairs)
        value = found.get(cookies.name_of(Cookie.SESSION, tenant))
        place = of_cookie(tenant.id, value) if value else None
        if place is None:
            return None
        kept = headers.kept_pairs(pairs, tenant)
        return cls(tenant, place, token=found.get(tenant.token_cookie.name), kept=kept)


class HeadReader:
    """The heads of one connection, one after the other. After `read` has returned True, the attributes describe it."""

    routed: RoutedKind
    target: bytes
    """The path and query that the app gets."""
    cookies: Cookies

    def __init__(self, lines: RequestLines, peer: str | None) -> None:
        self._known = lines
        self._peer = peer
        self.method = b""
        self.passed = b""
        """The field lines that the app gets unchanged."""
        self.request_id = b""
        """The one that a trusted proxy gave, or b""."""
        self.client_line = b""
        """The field line that tells the app the client's address."""
        self.added = b""
        """The lines that the app gets after those of `passed`, up to the request's id; see `opens`."""
        self.length: int | None = None
        """Bytes of the body; None: none are declared."""
        self.chunked = False
        self.closes = False
        """Whether the client ends the connection after the answer."""
        # ---- the last head; `_lines` is empty until all of it is read
        self._kinds: RequestKinds | None = None
        self._kind: RequestKind | None = None
        self._lines: list[bytes] = []
        self._keys: list[bytes] = []
        self._parts: list[bytes] = []
        self._roles: list[Role] = []
        self._cookie: bytes | None = None
        self._given_id: bytes | None = None
        self._hops: list[str] = []
        self._shape: HeadShape | None = None
        self._pieces: list[bytes] = []
        """Of `passed`; the places of `_expected` are for values."""
        self._expected: tuple[tuple[Role, int], ...] = ()
        """What to do with each value of `_shape`: its role, and its place in `_pieces`, 0 for none."""
        # ---- what was read of former heads
        self._cookies_of: tuple[bytes, Cookies | None] = (b"", None)
        self._trusted_under: tuple[RequestKinds | None, bool] = (None, False)
        self._client_of: tuple[RequestKinds | None, list[str]] = (None, [])
        self._added_for: tuple[Session | None, RoutedKind | None, Cookies | None, bytes] = (None, None, None, b"")

    @property
    def has_body(self) -> bool:
        """Whether a body follows, which may be empty."""
        return self.chunked or self.length is not None

    def read(self, kinds: RequestKinds, head: bytes) -> bool:
        """Read one head, which ends with an empty line; False: the usual way decides, or it is more than one."""
        shape, found = self._shape, None
        if shape is not None and kinds is self._kinds and len(head) <= LONGEST_BLOCK:
            found = shape.values(head)
        if found is not None and self._read_values(found):
            target = found[0]
        else:
            end = head.find(b"\r\n")
            method, _, rest = head[:end].partition(b" ")
            target, _, version = rest.partition(b" ")
            if version != _VERSION or method not in METHODS or len(target) > MAX_TARGET or not head.endswith(_END):
                return False
            if not self._read_fields(kinds, method, head[end + 2 : -4]):
                return False
        kind = self._kind
        path, mark, query = target.partition(b"?")
        if kind is None or (query and not is_query(query)):
            return False
        asked = kind.targets.find(path)
        if asked is None:
            return False
        route, app_path = asked
        self.routed = kind.routed.get(route.path) or kinds.routed(kind, route)
        self.target = target if app_path == path else app_path + mark + query
        return True

    def opens(self, session: Session) -> bool:
        """Whether the user may make this request. Then `added` tells the app who they are, and the rest of it."""
        last_session, last_routed, last_cookies, last_client = self._added_for
        routed, given, client = self.routed, self.cookies, self.client_line
        if (
            session is not last_session
            or routed is not last_routed
            or given is not last_cookies
            or client is not last_client
        ):
            if not routed.opens(session):
                return False
            self.added = b"".join((routed.credentials(session, given.kept), client, routed.forwarded))
            self._added_for = session, routed, given, client
        return True

    def _read_values(self, found: list[bytes]) -> bool:
        """Read the values of a head of the known shape; False if one of them means something else."""
        at, new_cookie, new_id = 1, False, False
        for role, place in self._expected:
            value = found[at].strip(b" \t")
            at += 1
            if role is Role.COOKIE:
                new_cookie, self._cookie = True, value
            elif value.translate(None, PLAIN_BYTES) or (role is Role.LENGTH and not is_value(role, value)):
                return False
            elif place:
                self._pieces[place] = value
            elif role is Role.REQUEST_ID:
                new_id, self._given_id = True, value
            elif role is Role.LENGTH:
                self.length = int(value)
        kind, kinds = self._kind, self._kinds
        if kind is None or kinds is None or (new_cookie and not self._reads_cookies(kind.tenant)):
            return False
        if new_id and not self._reads_client(kinds):
            return False
        self.passed = b"".join(self._pieces)
        return True

    def _read_fields(self, kinds: RequestKinds, method: bytes, block: bytes) -> bool:
        lines = split_fields(block) if len(block) <= LONGEST_BLOCK else None
        like_last = len(self._lines) == len(lines or ()) and method == self.method and kinds is self._kinds
        self._lines, last, self._shape = [], self._lines, None
        if lines is None:
            return False
        changed = self._read_changed(lines, last) if like_last else None
        if changed is None:
            if not self._read_all(lines):
                return False
            self._kind = kinds.of((method, *self._keys), lines, b"".join(self._parts))
        self.passed = b"".join(self._parts)
        if self._kind is None or not self._reads_cookies(self._kind.tenant) or not self._reads_client(kinds):
            return False
        self._kinds, self.method, self._lines, self.closes = kinds, method, lines, self._kind.closes
        if changed is not None:
            self._expect(method, changed)
        return True

    def _expect(self, method: bytes, varying: list[int]) -> None:
        """Expect heads like the last one, but for the values of the lines with these numbers."""
        self._shape = HeadShape(method, self._lines, varying)
        pieces, expected, piece, begin = list[bytes](), list[tuple[Role, int]](), b"", 0
        for at in varying:
            part = self._parts[at]
            piece += b"".join(self._parts[begin:at])
            begin = at + 1
            if part:
                name = part[: part.find(b":") + 2]
                pieces += (piece + name, part[len(name) : -2])
                expected.append((self._roles[at], len(pieces) - 1))
                piece = b"\r\n"
            else:
                expected.append((self._roles[at], 0))
            self._lines[at] = b""  # is read anew if a head has another shape
        self._pieces = [*pieces, piece + b"".join(self._parts[begin:])]
        self._expected = tuple(expected)

    def _read_changed(self, lines: list[bytes], last: list[bytes]) -> list[int] | None:
        """Read the lines that differ from the last head's; their numbers, or None if one means something else."""
        changed = list(compress(count(), map(ne, lines, last)))
        for at in changed:
            key, part, role, value = self._known[lines[at]]
            if key != self._keys[at]:
                return None
            if role is Role.NONE:
                self._parts[at] = part
            elif role is Role.COOKIE:
                self._cookie = value
            elif role is Role.REQUEST_ID:
                self._given_id = value
            elif role is Role.LENGTH:
                self.length = int(value)
            else:
                return None
        return changed

    def _read_all(self, lines: list[bytes]) -> bool:
        self._keys, self._parts, self._roles, self._hops = [], [], [], []
        self._cookie = self._given_id = self.length = None
        self.chunked = False
        for line in lines:
            key, part, role, value = self._known[line]
            if role is not Role.NONE:
                if role is Role.COOKIE and self._cookie is None:
                    self._cookie = value
                elif role is Role.REQUEST_ID and self._given_id is None:
                    self._given_id = value
                elif role is Role.LENGTH and self.length is None:
                    self.length = int(value)
                elif role is Role.CHUNKED and not self.chunked:
                    self.chunked = True
                elif role is Role.FORWARDED_FOR:
                    self._hops.append(value.decode())
                else:
                    return False
            self._keys.append(key)
            self._parts.append(part)
            self._roles.append(role)
        return True

    def _reads_cookies(self, tenant: Tenant) -> bool:
        """Read the cookies; False: there is no session's, or the usual way has to reject them."""
        field, (last_field, last) = self._cookie, self._cookies_of
        if field is None:
            return False
        if field != last_field or last is None or last.tenant is not tenant:
            last = Cookies.read(field, tenant)
            self._cookies_of = field, last
        if last is None:
            return False
        self.cookies = last
        return True

    def _reads_client(self, kinds: RequestKinds) -> bool:
        """Read who the client is; False where the usual way has something to tell or to reject."""
        trusted = kinds.configuration.gateway.trusted_proxies
        if kinds is not self._trusted_under[0]:
            self._trusted_under = kinds, is_trusted_peer(self._peer, trusted)
        by_proxy, given, hops = self._trusted_under[1], self._given_id, self._hops
        self.request_id = given if by_proxy and given and is_request_id(given.decode()) else b""
        if hops and not by_proxy:
            return False
        if (kinds, hops) != self._client_of:
            address = client_address(self._peer, hops, trusted)
            if address is None:
                return False
            self._client_of = kinds, hops
            self.client_line = headers.field_lines(((headers.FORWARDED_FOR, address),))
        return True
