"""Checks that every party reads a request in the same way.

Pure. It is the first check of every request, those for the gateway's own pages included. A request that passes has one
host, one path and one framing. A request that can be read in two ways is rejected, so that an app receives, byte for
byte, the path that the gateway decided on. aiohttp's parser does not ensure this: 28 of 97 odd requests passed it.
"""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import unquote_to_bytes

from gateway.domain.problem import Problem
from gateway.domain.tenant import ExtraMethod, Route, decoded_segments

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
EXTRA_METHODS = frozenset(method.value for method in ExtraMethod)
MAX_TARGET = 8192
MAX_SEGMENTS = 256
"""Of a decoded path. Each one is looked at several times; a path of 8 KiB could have 4,000."""
MAX_HEADERS = 100
MAX_HEADER_BYTES = 32768
MAX_COOKIE_BYTES = 32768
"""`Cookie` has its own allowance: the apps of one host share it with the token cookie."""
MAX_COOKIES = 500
"""Browsers keep at most 180 for one site; each one costs time, also an empty one."""

# CGI-like servers read "_", "." and "-" as one: a name that could be read as another is rejected, "_" by its route
_NAME = re.compile(r"[!#$%&'*+^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"(?P<name>[A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_TARGET = re.compile(r"[\x21\x22\x24-\x7e]+")  # printable ASCII without blank and "#"
_QUERY = re.compile(rb"[\x21\x22\x24-\x7e]*")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_COOKIE_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # scripts of apps do set cookies in UTF-8
_COOKIE_BYTES = bytes(byte for byte in range(256) if _COOKIE_VALUE.fullmatch(chr(byte)))
_LENGTH = re.compile(r"[0-9]{1,18}")
_OVERLONG = re.compile(rb"[\xc0\xc1]|\xe0[\x80-\x9f]|\xf0[\x80-\x8f]|\xf8[\x80-\x87]|\xfc[\x80-\x83]")
_MISREAD = re.compile(r"[\\\x00-\x1f\x7f-\x9f]")
# ";x" is a parameter to some servers, and blanks at a segment's end are lost on others: "..;x", ".. "
_DOT_SEGMENT = re.compile(r"/\s*\.\.?\s*(?:[/;]|$)")
_DECODINGS = 4
_SINGLE = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "expect",
        "host",
        "origin",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-websocket-key",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
    }
)
_ONCE = _SINGLE | {"content-location", "content-range", "etag", "max-forwards", "server", "user-agent"}
"""Names that may occur once: those of `_SINGLE`, and all that aiohttp's parser takes once."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request line and header fields as they were sent; text is Latin-1, one character a byte."""

    method: str
    target: str
    version: tuple[int, int]
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Checked:
    """A request with one reading.

    `path` is as sent; `segments` are its decoded segments after the first slash (`/a/b/` → `a`, `b`, ""). `host` is
    lower case without a port. `headers` keep order and spelling of names. `odd_slashes`: the path holds `//` or
    `%2f`, which only a route that says so may take; so with `underscores` (of a header name) and other methods than
    `METHODS`. `length` is the declared body length, None when there is none.
    """

    method: str
    path: str
    query: str | None
    segments: tuple[str, ...]
    host: str
    headers: tuple[tuple[str, str], ...]
    version: tuple[int, int] = (1, 1)
    length: int | None = None
    chunked: bool = False
    upgrade: bool = False
    odd_slashes: bool = False
    underscores: bool = False

    @property
    def target(self) -> str:
        """Path and query, byte for byte as sent."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @cached_property
    def _values(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, tuple[str, ...]] = {}
        for name, value in self.headers:
            key = name.lower()
            found[key] = (*found.get(key, ()), value)
        return found

    def header(self, name: str) -> str | None:
        """The value of the first field named `name` (lower case)."""
        return self._values.get(name, (None,))[0]

    def all(self, name: str) -> tuple[str, ...]:
        """The values of every field named `name` (lower case)."""
        return self._values.get(name, ())


@dataclass(frozen=True, slots=True)
class InvalidRequest:
    """The reason to reject a request; the connection closes after the answer."""

    problem: Problem
    status: int


_BAD = InvalidRequest(Problem.BAD_REQUEST, 400)


def check(head: RequestHead) -> Checked | InvalidRequest:
    """Return `head` in its one reading, or the reason to reject it."""
    if head.version not in ((1, 0), (1, 1)):
        return _BAD
    if head.method not in METHODS and head.method not in EXTRA_METHODS:
        return InvalidRequest(Problem.METHOD_NOT_ALLOWED, 405)
    if len(head.target) > MAX_TARGET:
        return InvalidRequest(Problem.REQUEST_TOO_LARGE, 414)
    if not head.target.startswith("/") or not _TARGET.fullmatch(head.target):
        return _BAD
    raw_path, mark, query = head.target.partition("?")
    path = _check_path(raw_path)
    if isinstance(path, InvalidRequest):
        return path
    segments, odd_slashes = path
    refusal = _check_sizes(head.headers) or _check_fields(head.headers)
    if refusal:
        return refusal
    fields = {name.lower(): value for name, value in head.headers}
    host = _check_host(fields.get("host"))
    if host is None:
        return _BAD
    framing = _check_framing(head.version, fields)
    if isinstance(framing, InvalidRequest):
        return framing
    length, chunked = framing
    expect = fields.get("expect")
    if expect is not None and expect.lower() != "100-continue":
        return InvalidRequest(Problem.BAD_REQUEST, 417)
    # the parser of the server may take this for an upgrade; others than to WebSocket are never passed on
    upgrade = fields.get("upgrade", "").lower() == "websocket" and "upgrade" in listed(
        value for name, value in head.headers if name.lower() == "connection"
    )
    if upgrade and (chunked or length or not _is_websocket_handshake(head, fields)):
        return _BAD
    return Checked(
        method=head.method,
        path=raw_path,
        query=query if mark else None,
        segments=segments,
        host=host,
        headers=head.headers,
        version=head.version,
        length=length,
        chunked=chunked,
        upgrade=upgrade,
        odd_slashes=odd_slashes,
        underscores=any("_" in name for name, _ in head.headers),
    )


def refusal(checked: Checked, route: Route | None) -> InvalidRequest | None:
    """The reason why `route` does not take a request that others may take; None is a path of the gateway's own."""
    extra = {method.value for method in route.methods} if route else ()
    if checked.method not in METHODS and checked.method not in extra:
        return InvalidRequest(Problem.METHOD_NOT_ALLOWED, 405)
    return _BAD if checked.underscores and not (route and route.underscore_headers) else None


def is_ambiguous(name: str, checked: Checked) -> bool:
    """Whether some server could read `name`, which has `_`, as another field of the request, or of its framing."""
    dashed = name.lower().replace("_", "-")
    return "_" in name and (dashed in _SINGLE or checked.header(dashed) is not None)


def fully_decoded(text: str, *, lenient: bool = False) -> str | None:
    """`text` percent-decoded until nothing is left to decode; None when it never ends or is not UTF-8.

    Only the first decoding, which each app does, must give UTF-8: `50%25CBD.pdf` is the name `50%CBD.pdf`. But no
    decoding may give an overlong form, which a lenient decoder reads as another character. `lenient`: `text` has been
    decoded once already.
    """
    for count in range(_DECODINGS):
        if "%" not in text:
            return text
        octets = unquote_to_bytes(text.encode("utf-8", "surrogateescape"))
        try:
            decoded = octets.decode("utf-8", "surrogateescape" if count or lenient else "strict")
        except UnicodeDecodeError:
            return None
        if any("\udc80" <= c <= "\udcff" for c in decoded) and _OVERLONG.search(octets):
            return None
        if decoded == text:
            return text
        text = decoded
    return None


def _check_path(path: str) -> tuple[tuple[str, ...], bool] | InvalidRequest:
    """Return segments and `odd_slashes`, if the path is the same in every reading that some server is known for."""
    if _BAD_PERCENT.search(path):
        return _BAD
    text = fully_decoded(path)
    if text is None or _MISREAD.search(text):
        return _BAD
    if text.count("/") > MAX_SEGMENTS:
        return InvalidRequest(Problem.REQUEST_TOO_LARGE, 414)
    if path.startswith("//") or _DOT_SEGMENT.search(text):  # many readers see another host in "//"
        return _BAD
    segments = decoded_segments(path)
    odd = "//" in path or text.count("/") != len(segments)
    return segments, odd


def is_query(query: bytes) -> bool:
    """Whether a target may end with these bytes after its `?`."""
    return _QUERY.fullmatch(query) is not None


def is_cookie_field(value: bytes) -> bool:
    """Whether a request may have one `Cookie` field of this value."""
    fits = len(value) <= MAX_COOKIE_BYTES and value.count(b";") < MAX_COOKIES
    return fits and not value.translate(None, _COOKIE_BYTES)  # a fifth of the time of a pattern


def _check_sizes(headers: tuple[tuple[str, str], ...]) -> InvalidRequest | None:
    cookies = [value for name, value in headers if name.lower() == "cookie"]
    others = [f"{name}: {value}\r\n" for name, value in headers if name.lower() != "cookie"]
    too_large = len(headers) > MAX_HEADERS or _cookies_too_large(cookies) or len("".join(others)) > MAX_HEADER_BYTES
    return InvalidRequest(Problem.HEADERS_TOO_LARGE, 431) if too_large else None


def _cookies_too_large(values: list[str]) -> bool:
    return len("".join(values)) > MAX_COOKIE_BYTES or ";".join(values).count(";") >= MAX_COOKIES


def _check_fields(headers: tuple[tuple[str, str], ...]) -> InvalidRequest | None:
    seen: set[str] = set()
    for name, value in headers:
        key = name.lower()
        allowed = _COOKIE_VALUE if key == "cookie" else _VALUE
        if not _NAME.fullmatch(name) or not allowed.fullmatch(value) or (key in _ONCE and key in seen):
            return _BAD
        seen.add(key)
    return None


def _check_host(host: str | None) -> str | None:
    match = _HOST.fullmatch(host or "")
    if match is None:
        return None
    name = match["name"].lower()
    return None if name.startswith(".") or name.endswith(".") or ".." in name else name


def _check_framing(version: tuple[int, int], fields: dict[str, str]) -> tuple[int | None, bool] | InvalidRequest:
    """Return the declared length, and whether the body is chunked."""
    coding, length = fields.get("transfer-encoding"), fields.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or length is not None or version != (1, 1):
            return _BAD
        return None, True
    if length is None:
        return None, False
    return (int(length), False) if _LENGTH.fullmatch(length) else _BAD


def _is_websocket_handshake(head: RequestHead, fields: dict[str, str]) -> bool:
    if head.method != "GET" or head.version != (1, 1) or fields.get("sec-websocket-version") != "13":
        return False
    try:
        return len(b64decode(fields.get("sec-websocket-key", ""), validate=True)) == 16
    except (Base64Error, ValueError):
        return False


def asks_for_service_worker(head: RequestHead | Checked) -> bool:
    """Whether a browser fetches the script of a service worker by `head`, to register it or to update it.

    Browsers say it by `Service-Worker: script`, and newer ones by `Sec-Fetch-Dest: serviceworker` too; imported scripts
    carry neither.
    """
    if head.method not in ("GET", "HEAD"):
        return False
    names = {name.lower() for name, _ in head.headers}
    uses = {value.strip().lower() for name, value in head.headers if name.lower() == "sec-fetch-dest"}
    return "service-worker" in names or "serviceworker" in uses


def listed(values: Iterable[str]) -> frozenset[str]:
    """The members of comma-separated header values, lower case."""
    return frozenset(item.strip(" \t").lower() for value in values for item in value.split(",") if item.strip(" \t"))
