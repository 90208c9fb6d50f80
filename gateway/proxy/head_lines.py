"""Reads the lines of plain heads, of requests and of answers, and remembers what each line means.

Pure. A line that was seen before costs one look-up. A line of a name that decides nothing has its name as its `key`:
all its values mean the same. Of every other line the key is the whole line, so what was decided for a head holds for
each head with the same keys. A line that is not plain has no meaning here: another parser reads its whole message.
"""

import re
from enum import Enum, auto
from typing import NamedTuple

from gateway.proxy import headers
from gateway.web.request_check import MAX_HEADERS

MOST_LINES = 4096
"""Lines remembered in all."""
LONGEST_LINE = 512
"""Bytes of a line that is remembered, at most."""

_NAME = re.compile(rb"[!#$%&'*+^`|~0-9A-Za-z-]+")
PLAIN_BYTES = b"\t" + bytes(range(0x20, 0x7F))
"""Those that a value of a plain line of a request has, besides `Cookie`."""
FIELD_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_READ_BY_DECISIONS = frozenset(
    (
        b"connection",
        b"host",
        b"origin",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"access-control-request-method",
        b"access-control-request-headers",
        b"service-worker",
    )
)
_NOT_PLAIN = frozenset((b"expect", b"upgrade", b"te", b"trailer"))
_READ_OF_ANSWERS = frozenset(
    (
        b"cache-control",
        b"connection",
        b"content-location",
        b"content-type",
        b"link",
        b"location",
        b"refresh",
        b"set-cookie",
    )
)
_SECRET = frozenset((b"authorization", b"proxy-authorization", b"set-cookie"))
"""Lines that are read anew each time: no secret stays in memory."""


class Role(Enum):
    """What is to be done with a line besides what its key says."""

    NONE = auto()
    NOT_PLAIN = auto()
    COOKIE = auto()
    FORWARDED_FOR = auto()
    REQUEST_ID = auto()
    LENGTH = auto()
    CHUNKED = auto()


Line = tuple[bytes, bytes, Role, bytes]
"""The meaning of a line: its key, what the other side gets of it with its line end (b"" for nothing), role, value."""

_NOT_PLAIN_LINE: Line = (b"", b"", Role.NOT_PLAIN, b"")
_ROLES = {
    b"cookie": Role.COOKIE,
    b"x-forwarded-for": Role.FORWARDED_FOR,
    b"x-request-id": Role.REQUEST_ID,
    b"content-length": Role.LENGTH,
    b"transfer-encoding": Role.CHUNKED,
}
_ALWAYS_NEW = frozenset((b"referer",))
"""Lines that differ so often that to remember them saves nothing."""


class _Name(NamedTuple):
    """What the name of a request's field says of all its lines."""

    key: bytes
    role: Role
    passes: bool
    decides: bool
    """Whether the value is part of the line's key."""


_NO_NAME = _Name(b"", Role.NOT_PLAIN, False, False)


class _Names(dict[bytes, _Name]):
    """The meanings of names, as they are spelled."""

    def __missing__(self, name: bytes) -> _Name:
        if not _NAME.fullmatch(name):
            return _NO_NAME
        key = name.lower()
        role = Role.NOT_PLAIN if key in _NOT_PLAIN else _ROLES.get(key, Role.NONE)
        passes = role is Role.NONE and not headers.is_managed(key.decode())
        found = _Name(key, role, passes, key in _READ_BY_DECISIONS)
        if len(self) < MOST_LINES:
            self[name] = found
        return found


class RequestLines(dict[bytes, Line]):
    """The meanings of field lines of requests."""

    def __init__(self) -> None:
        super().__init__()
        self._names = _Names()

    def __missing__(self, line: bytes) -> Line:
        name, colon, value = line.partition(b":")
        key, role, passes, decides = self._names[name]
        value = value.strip(b" \t")
        if not colon or role is Role.NOT_PLAIN:
            return _NOT_PLAIN_LINE
        if role is Role.COOKIE:  # `request_check.is_cookie_field` judges it
            return key, b"", role, value
        if not is_value(role, value):
            return _NOT_PLAIN_LINE
        if role is not Role.NONE:
            return key, b"", role, value
        meaning = (line if decides else key, b"%b: %b\r\n" % (name, value) if passes else b"", role, value)
        return meaning if key in _ALWAYS_NEW else _remembered(self, line, key, meaning)


class AnswerLines(dict[bytes, Line]):
    """The meanings of field lines of answers. `passed` is what the browser gets where nothing is rewritten."""

    def __missing__(self, line: bytes) -> Line:
        name, colon, value = line.partition(b":")
        value = value.strip(b" \t")
        if not colon or not FIELD_NAME.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
            return _NOT_PLAIN_LINE
        key = name.lower()
        if key == b"content-length":
            meaning = (key, b"", Role.LENGTH, value) if _is_framing(Role.LENGTH, value) else _NOT_PLAIN_LINE
        elif key in _NOT_PLAIN or key == b"transfer-encoding":
            return _NOT_PLAIN_LINE
        else:
            special = key in _READ_OF_ANSWERS or key.startswith(b"access-control-")
            meaning = (line if special else key, b"%b: %b\r\n" % (name, value), Role.NONE, value)
        return _remembered(self, line, key, meaning)


def is_value(role: Role, value: bytes) -> bool:
    """Whether a line of a request with this role is plain with this value, without blanks around it."""
    return not value.translate(None, PLAIN_BYTES) and _is_framing(role, value)


def _is_framing(role: Role, value: bytes) -> bool:
    """Whether a field that says where a body ends has a plain value; any other field has."""
    if role is Role.CHUNKED:
        return value == b"chunked"
    return role is not Role.LENGTH or _LENGTH.fullmatch(value) is not None


def split_fields(block: bytes) -> list[bytes] | None:
    """The field lines of a head, without its first line and its end; None: there are too many."""
    lines = block.split(b"\r\n")
    return lines if len(lines) <= MAX_HEADERS else None


def decoded(lines: list[bytes]) -> tuple[tuple[str, str], ...]:
    """The fields of plain lines, one character a byte."""
    pairs = (line.decode("latin-1").partition(":") for line in lines)
    return tuple((name, value.strip(" \t")) for name, _, value in pairs)


def without_secrets(fields: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """The fields of a request as they may stay in memory: without cookies, and without the values of credentials."""
    secret = {name.decode() for name in _SECRET}
    return tuple((name, "" if name.lower() in secret else value) for name, value in fields if name.lower() != "cookie")


def _remembered(known: dict[bytes, Line], line: bytes, key: bytes, meaning: Line) -> Line:
    if len(line) <= LONGEST_LINE and key not in _SECRET:
        if len(known) >= MOST_LINES:
            known.clear()
        known[line] = meaning
    return meaning
