"""Removes secrets from log lines, limits their length and masks addresses.

`clean` checks the values of a line. It replaces a value whose name is that of a secret with dots. It masks mail
addresses and telephone numbers, removes tokens and passwords inside longer texts, and escapes control characters, so
that no value can forge a line. It shortens every value before it applies a pattern, and every pattern is linear: a
client can choose what is logged, but not what it costs. Callers pass no secrets; this is the second line of defence.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from gateway.domain.policy import AddressHint

DOTS = "•••"

_SECRET_WORDS = frozenset(
    {"password", "passwd", "pwd", "secret", "otp", "code", "codes", "token", "tokens", "authorization", "cookie"}
    | {"cookies", "credential", "credentials", "apikey", "seed", "otpauth", "csrf", "bearer", "jwt", "assertion"}
)
_HARMLESS = frozenset({"error_code", "status_code", "close_code", "cookie_name", "token_type", "problem_code"})
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
# Each pattern is linear: a match can begin at only one place in a run of characters, or a match never fails late.
_MAIL = re.compile(r"(?<![\w.+%*-])[\w.+%-]++@[A-Za-z0-9][A-Za-z0-9.-]{0,252}")
_PHONE = re.compile(r"\+\d[\d ()/-]{5,18}\d")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}")
_CREDENTIAL = re.compile(
    r"\b((?i:bearer|basic))\s++(?=[A-Z]?+[a-z._~+/-]*+[A-Z0-9=]|[a-z._~+/-]{24})[A-Za-z0-9._~+/=-]{6,}"
)
"""A word after `basic` is a credential only if it has more than small letters: mail servers write "basic
authentication is disabled"."""
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_ASSIGNED = re.compile(
    r"(?i)\b((?:\w*(?:password|secret|token|otp)|code)[\"']?\s*[=:]\s*)"
    r"(?:\"(?:[^\"\\]|\\.?)*+\"?|'(?:[^'\\]|\\.?)*+'?|[^\s&,;\"']+)",
    re.DOTALL,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_PLAIN = re.compile(r"[A-Za-z0-9_./*-]*+")
"""A text of these characters without `eyJ` matches no pattern above: event names, ids, IPv4 addresses."""
_CUT_USERINFO = re.compile(r"(?<=://)[^/\s@]+\Z")
_CUT_PHONE = re.compile(r"\+\d[\d ()/-]{0,19}\Z")
_CUT_WORD = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@?\Z")

MAX_TEXT = 2_000
"""Characters of one value. The log shows only how many more were cut off."""
MAX_EXCEPTION = 16_000
"""Characters of a traceback."""
MAX_LINE = 40_000
"""Characters of all values and names of one line together, as JSON in ASCII writes them."""
MAX_ITEMS = 50
"""Items of one list or mapping."""
MAX_NAME = 100
_FIRST = ("level", "logger", "event", "request_id", "tenant", "reference", "exception")
"""Names that are kept first if a line is too long."""
_DEEPEST = 6
_PUNCTUATION = 4
"""Characters of brackets, commas and the like for each value."""
_LONGEST_ESCAPE = 12
"""Largest number of characters that JSON in ASCII needs for one character."""


def clean(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `values` of bounded length that is safe to write anywhere.

    A text has at most `MAX_TEXT` characters (`exception`: `MAX_EXCEPTION`), a list or mapping `MAX_ITEMS` items and
    the whole `MAX_LINE` characters. Each cut is marked with the amount that was cut off.
    """
    first = {name: values[name] for name in _FIRST if name in values}
    return _Line().mapping({**first, **values}, 0)


def clean_text(text: str, *, lines: bool = False, most: int = MAX_TEXT) -> str:
    """Return `text` without addresses, tokens, passwords and (unless `lines`) line breaks.

    The text is cut to `most` characters before any pattern is applied. If the cut divides a secret, its beginning is
    removed too.
    """
    shown = text[:most]
    cut = len(text) - len(shown)
    shown = _USERINFO.sub(f"{DOTS}@", shown)
    if cut:
        shown = _CUT_USERINFO.sub(DOTS, shown)
    shown = _JWT.sub(DOTS, shown)
    shown = _CREDENTIAL.sub(rf"\1 {DOTS}", shown)
    shown = _ASSIGNED.sub(rf"\1{DOTS}", shown)
    shown = _MAIL.sub(lambda found: mask_address(found.group()), shown)
    shown = _PHONE.sub(lambda found: f"***{found.group()[-2:]}", shown)
    if cut:
        shown = _CUT_WORD.sub("", _CUT_PHONE.sub(DOTS, shown))
    shown = _CONTROL.sub(lambda c: c.group() if lines and c.group() in "\n\t" else repr(c.group())[1:-1], shown)
    return f"{shown}… ({cut} more characters)" if cut else shown


@lru_cache(maxsize=512)
def is_secret(name: str) -> bool:
    """Whether values with this name are never shown."""
    if name in _HARMLESS:
        return False
    return any(word.lower() in _SECRET_WORDS for word in _WORDS.findall(name))


@dataclass(slots=True)
class _Line:
    """Cleans the values of one line. `left` is the number of characters that its other values may still have."""

    left: int = MAX_LINE

    def mapping(self, values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for number, (key, value) in enumerate(values.items()):
            self.left -= _PUNCTUATION
            if number >= MAX_ITEMS or self.left <= 0:
                found["…"] = f"{len(values) - number} more"
                break
            name, size = _clean_name(str(key)[: MAX_NAME + 1])
            self.left -= size
            is_short = type(value) is str and len(value) <= min(MAX_TEXT, self.left)
            if is_short and _PLAIN.fullmatch(value) and "eyJ" not in value and not is_secret(name):
                self.left -= len(value)
                found[name] = value
            else:
                found[name] = self._value(name, value, depth)
        return found

    def _items(self, name: str, values: Collection[Any], depth: int) -> list[Any]:
        found: list[Any] = []
        for number, value in enumerate(values):
            self.left -= _PUNCTUATION
            if number >= MAX_ITEMS or self.left <= 0:
                found.append(f"… {len(values) - number} more")
                break
            found.append(self._value(name, value, depth))
        return found

    def _value(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            value = value.value
        if value is None or isinstance(value, bool):
            return value
        if is_secret(name):
            return DOTS
        if isinstance(value, int) and value.bit_length() > 64:
            return f"a number of {value.bit_length()} bits"
        if isinstance(value, int | float):
            self.left -= len(str(value))
            return value
        if isinstance(value, bytes | bytearray):
            value = repr(bytes(value[:MAX_TEXT]))
        elif not isinstance(value, str):
            if depth >= _DEEPEST:
                return DOTS
            if isinstance(value, Mapping):
                return self.mapping(value, depth + 1)
            if isinstance(value, list | tuple | set | frozenset):
                return self._items(name, value, depth + 1)
            value = str(value)
        is_traceback = name == "exception"
        shown = clean_text(value, lines=is_traceback, most=MAX_EXCEPTION if is_traceback else MAX_TEXT)
        size = len(json.dumps(shown))
        if size > self.left:
            shown = clean_text(value, lines=is_traceback, most=max(0, self.left) // _LONGEST_ESCAPE)
            size = len(json.dumps(shown))
        self.left -= size
        return shown


@lru_cache(maxsize=512)
def _clean_name(name: str) -> tuple[str, int]:
    """Return the name as it may be written, and its size."""
    shown = clean_text(name, most=MAX_NAME)
    return shown, len(json.dumps(shown))


def address_hint(address: str, hint: AddressHint) -> str:
    """Return an address as a page shows it to a user: `anna@example.com` → `an•••@example.com` or `a•••@e•••.com`.

    With its domain, a user sees which mailbox to open.
    """
    name, at, domain = address.strip().rpartition("@")
    if not at or hint is AddressHint.SHORT:
        return mask_address(address).replace("***", DOTS)
    return f"{name[: 2 if len(name) > 3 else 1]}{DOTS}@{domain}"


def mask_address(address: str) -> str:
    """Return an address with which its owner recognises it and other readers learn little.

    `anna@example.com` → `a***@e***.com`, `+49 170 1234512` → `***12`. The number of stars is always three.
    """
    name, at, domain = address.strip().rpartition("@")
    if not at:
        tail = "".join(c for c in address if c.isalnum())
        return f"***{tail[-2:]}" if len(tail) > 4 else "***"
    host, dot, top = domain.rpartition(".")
    return f"{name[:1]}***@{(host or top)[:1]}***{dot}{top if dot else ''}"
