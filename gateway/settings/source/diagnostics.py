"""The faults of the settings, each with its place.

A fault names file, line and path, what is wrong and what is allowed, so that an operator can correct all of them in one
pass. With an error the gateway uses nothing of the whole configuration; a warning names a danger, a hint something to
consider. A fault quotes a value only where it cannot be a secret.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.domain.texts import visible
from gateway.settings.source.yaml_source import Document, Path

_QUOTED_AT_MOST = 60
_NOT_A_VALUE = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text (put it in quotes)",
    "list_type": "must be a list",
    "tuple_type": "must be a list",
    "frozen_set_type": "must be a list",
    "model_type": "must be a section of keys and values",
    "dataclass_type": "must be a section of keys and values",
}
_QUOTABLE = ("bool_type", "int_type", "float_type")
_BOUNDS = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must not be empty",
}


class Level(Enum):
    """Severity of a fault."""

    ERROR = "error"
    WARNING = "warning"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One fault; `line` from 1, `path` as `tenantSettings.twoFAConfigs.otpExpiry`."""

    file: str
    line: int
    path: str
    text: str
    level: Level = Level.ERROR

    def __str__(self) -> str:
        word = "" if self.level is Level.ERROR else f"{self.level.value}: "
        path = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}: {path}{word}{visible(self.text)}"


@dataclass(frozen=True, slots=True)
class Layer:
    """A document that contributed to the checked value: paths below `at` are below `inside` in it."""

    document: Document
    at: Path = ()
    inside: Path = ()

    def locate(self, path: Path) -> tuple[int, Path] | None:
        """How many parts of `path` this document has, and the path in it; None when it did not contribute that part."""
        if path[: len(self.at)] != self.at:
            return None
        here = (*self.inside, *path[len(self.at) :])
        written_here = self.document.depth(here) - len(self.inside)
        return (written_here + len(self.at) if written_here > 0 else 0), here


class Diagnostics:
    """Collects the faults of one value made of one or more layers (the nearer one first)."""

    def __init__(self, *layers: Layer) -> None:
        self._layers = layers
        self._diagnostics: dict[Diagnostic, None] = {}
        self._muted: set[Path] = set()
        for path, line in layers[0].document.repeated:
            text = f"is given a second time, first in line {layers[0].document.line(path)}; keep one of them"
            self._diagnostics.setdefault(Diagnostic(layers[0].document.file, line, written(path), text))

    @property
    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """The faults in the order of their reports, each once."""
        return tuple(self._diagnostics)

    def mute(self, path: Path) -> None:
        """Drops further faults at and below `path`, whose value is known to be wrong."""
        self._muted.add(path)

    def error(self, path: Path, text: str) -> None:
        """Reports a fault with which the configuration cannot be used."""
        self._add(path, text, Level.ERROR)

    def warning(self, path: Path, text: str) -> None:
        """Reports a danger."""
        self._add(path, text, Level.WARNING)

    def hint(self, path: Path, text: str) -> None:
        """Reports something to consider."""
        self._add(path, text, Level.HINT)

    def invalid(self, error: ValidationError, schema: Mapping[str, Any]) -> None:
        """Reports every error of pydantic in the gateway's words; `schema` is the JSON Schema of the value."""
        details = error.errors(include_url=False)
        lists = {detail["loc"][:-1] for detail in details}
        for detail in details:
            if detail["type"] != "too_short" or detail["loc"] not in lists:  # pydantic counts the valid items
                self.error(detail["loc"], _sentence(detail, schema))

    def is_open_to_all(self, path: Path) -> bool:
        """Whether every user of the host may read the value at `path`, because of the mode of its file."""
        return self._locate(path)[1].open_to_all

    def _locate(self, path: Path) -> tuple[Path, Document]:
        found = [(place, layer) for layer in self._layers if (place := layer.locate(path)) is not None]
        (_, here), layer = max(found, key=lambda pair: pair[0][0])  # the first of equals: the nearer layer
        return here, layer.document

    def _add(self, path: Path, text: str, level: Level) -> None:
        if any(path[: len(muted)] == muted for muted in self._muted):
            return
        here, document = self._locate(path)
        diagnostic = Diagnostic(document.file, document.line(here), written(here), text, level)
        self._diagnostics.setdefault(diagnostic)


def written(path: Path) -> str:
    """`("gateway", "routes", 0, "to")` as `gateway.routes[0].to`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return visible(text)


def one_of(values: Iterable[object]) -> str:
    """`a, b or c`."""
    words = [str(v) for v in values]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _sentence(detail: ErrorDetails, schema: Mapping[str, Any]) -> str:
    kind, (*inside, key) = detail["type"], detail["loc"] or ("",)
    if kind == "missing":
        about = _about(schema, inside, key)
        return f"is missing{f': {about}' if about else ''}"
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return _unknown_key(str(key), _properties(schema, inside))
    if kind == "value_error":
        return str(detail.get("ctx", {}).get("error", detail["msg"]))
    if kind in ("enum", "literal_error"):
        expected = str(detail.get("ctx", {}).get("expected", "")).replace("'", "")
        return f"{_quoted(detail['input'])} is not known; allowed: {expected}"
    about = _about(schema, inside, key)
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(**detail.get("ctx", {})) + (f" ({about})" if about else "")
    what, given = _NOT_A_VALUE.get(kind), detail["input"]
    if (
        what and kind in _QUOTABLE and isinstance(given, str | int | float)
    ):  # no key for a number or truth value holds a secret
        what += f", not {_quoted(given)}"
        if isinstance(given, str) and given.isdecimal():
            what += f"; write {given} without quotes"
    if what:
        what = f"is empty; it {what}" if given is None else what
        return what + (f" ({about})" if about else "")
    return detail["msg"][:1].lower() + detail["msg"][1:]


def _about(schema: Mapping[str, Any], inside: Iterable[str | int], key: object) -> str:
    """The first sentence of a key's description; "" for an item of a list."""
    section = {} if isinstance(key, int) else _properties(schema, inside)
    text: str = section.get(str(key), {}).get("description", "")
    return _within_a_sentence(" ".join(text.partition(". ")[0].split()).rstrip("."))


def _within_a_sentence(text: str) -> str:
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]  # EFCX keeps its capitals


def _quoted(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _QUOTED_AT_MOST else text[:_QUOTED_AT_MOST] + "…"


def _unknown_key(key: str, allowed: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, allowed, n=1)
    odd = "" if key.isascii() else f", as it is written: {key!a}"
    meant = f" (did you mean {near[0]}?)" if near else ""
    return f"unknown key{odd}{meant}; allowed: {', '.join(sorted(allowed))}"


def _properties(schema: Mapping[str, Any], path: Iterable[str | int]) -> Mapping[str, Any]:
    """The part of a JSON Schema that describes the keys of the section at `path`."""
    section: Any = schema
    for key in path:
        if isinstance(key, str):  # a number is an item, and the key before it led to the section of the items
            section = _inside(section["properties"][key], schema["$defs"])
    found: Mapping[str, Any] = section.get("properties", {})
    return found


def _inside(about: Mapping[str, Any], sections: Mapping[str, Any]) -> Any:
    """The section that a key holds by itself, as one of several forms, or as the items of a list."""
    for form in (about, *about.get("anyOf", ())):
        if name := form.get("items", form).get("$ref", ""):
            return sections[name.rpartition("/")[2]]
    return {}
