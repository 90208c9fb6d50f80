"""What must never stand in a log line, whatever was passed to it?

`clean` goes over the values of a line: what is named like a secret becomes dots, mail addresses and telephone numbers
are masked, tokens and passwords inside longer texts are cut out, control characters are escaped so that no value can
forge a line. It is the last line of defence: callers do not pass secrets in the first place.
"""

import re
from collections.abc import Mapping
from enum import Enum
from typing import Any

DOTS = "•••"

_SECRET_WORDS = frozenset(
    {"password", "passwd", "pwd", "secret", "otp", "code", "codes", "token", "tokens", "authorization", "cookie"}
    | {"cookies", "credential", "credentials", "apikey", "seed", "otpauth", "csrf", "bearer", "jwt", "assertion"}
)
_HARMLESS = frozenset({"error_code", "status_code", "close_code", "cookie_name", "token_type", "problem_code"})
_WORDS = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
_MAIL = re.compile(r"(?<![\w.+*-])([\w.+%-]{1,64})@([A-Za-z0-9][A-Za-z0-9.-]{0,252})")
_PHONE = re.compile(r"\+\d[\d ()/-]{5,18}\d")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){1,4}")
_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}")
_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_ASSIGNED = re.compile(
    r"(?i)\b((?:\w*(?:password|secret|token|otp)|code)[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s&,;\"']+)"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_DEEPEST = 6


def clean(values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `values` that may be written anywhere."""
    return {name: _value(name, value, 0) for name, value in values.items()}


def clean_text(text: str, *, lines: bool = False) -> str:
    """`text` without addresses, tokens, passwords and (unless `lines`) line breaks."""
    text = _USERINFO.sub(f"{DOTS}@", text)
    text = _JWT.sub(DOTS, text)
    text = _CREDENTIAL.sub(rf"\1 {DOTS}", text)
    text = _ASSIGNED.sub(rf"\1{DOTS}", text)
    text = _MAIL.sub(_masked_mail, text)
    text = _PHONE.sub(lambda found: f"***{found.group()[-2:]}", text)
    return _CONTROL.sub(lambda c: c.group() if lines and c.group() in "\n\t" else repr(c.group())[1:-1], text)


def is_secret(name: str) -> bool:
    """Whether a value of this name is never shown."""
    if name in _HARMLESS:
        return False
    return any(word.lower() in _SECRET_WORDS for word in _WORDS.findall(name))


def _value(name: str, value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if is_secret(name) and name not in ("event", "logger"):
        return DOTS
    if isinstance(value, int | float):
        return value
    if isinstance(value, Enum):
        return _value(name, value.value, depth)
    if isinstance(value, str):
        return clean_text(value, lines=name == "exception")
    if depth >= _DEEPEST:
        return DOTS
    if isinstance(value, Mapping):
        return {str(key): _value(str(key), inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(name, inner, depth + 1) for inner in value]
    return clean_text(str(value))


def _masked_mail(found: re.Match[str]) -> str:
    host, dot, top = found[2].rpartition(".")
    return f"{found[1][:1]}***@{(host or top)[:1]}***{dot}{top if dot else ''}"
