"""Reads a settings file: bytes in, plain values and line numbers out.

YAML 1.2 and JSON have the same rules (`no` is a word, not false; 010 is ten; dates are text). Rejected, each with its
line: more than 1 MiB, other encodings than UTF-8, tags and directives, aliases that multiply, deep nesting, more than
one document. A rejection never quotes the file. A repeated key is noted, so that one run finds the other faults too.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.reader import ReaderError

Path = tuple[str | int, ...]

LARGEST = 1024 * 1024
_MOST_VALUES = 50_000
_DEEPEST = 40
_MOST_BRACKETS = 200
_ADVICE = {
    "expected <block end>": "indent it as the lines around it, with blanks",
    "found character '\\t'": "use blanks, not tabs",
    "expected '<document start>'": "this line, or the one before, is not written as key: value",
    "could not find expected ':'": "write key: value, with a blank after the colon",
    "mapping values are not allowed here": "put a text that contains a colon in quotes, and indent with care",
}
"""What to do, by the beginning of the parser's own words."""
_PLAIN_TEXT = "tag:yaml.org,2002:str"


@dataclass(frozen=True, slots=True)
class Document:
    """One file: its values as plain Python ones, and the line (from 1) of every path in it.

    `repeated` are the paths that occur again, each with its line; `data` has the first value. `open_to_all`: every user
    of the host may read the file.
    """

    file: str
    data: dict[str, Any]
    lines: dict[Path, int] = field(repr=False)
    repeated: tuple[tuple[Path, int], ...] = ()
    open_to_all: bool = False

    def depth(self, path: Path) -> int:
        """How many leading parts of `path` this file has."""
        return next((n for n in range(len(path), 0, -1) if path[:n] in self.lines), 0)

    def line(self, path: Path) -> int:
        """The line of `path`, or of the nearest section around it."""
        return self.lines.get(path[: self.depth(path)], 1)


class UnreadableFile(Exception):
    """Raised for bytes that are no settings; `line` from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(text)
        self.line = line
        self.text = text


def read(raw: bytes, file: str) -> Document:
    """Reads the document in `raw`; `file` is the name to show. Raises `UnreadableFile`."""
    if len(raw) > LARGEST:
        raise UnreadableFile(1, f"is larger than 1 MiB ({len(raw)} bytes)")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(raw.count(b"\n", 0, error.start) + 1, "is not UTF-8 text") from error
    depth = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("%"):
            raise UnreadableFile(number, "directives (%YAML, %TAG) are not allowed: files are read as YAML 1.2")
        depth += line.count("[") + line.count("{") - line.count("]") - line.count("}")
        if depth > _MOST_BRACKETS:  # the parser would take minutes for them
            raise UnreadableFile(number, "is nested too deeply")
    if file.endswith(".json"):
        _check_json(text)
    loaded, repeated = _load(text)
    if loaded is None:
        raise UnreadableFile(1, "is empty")
    if not isinstance(loaded, CommentedMap):
        raise UnreadableFile(1, "must be a section of keys and values")
    plain = _Plain(repeated)
    return Document(file, plain.section(loaded, ()), plain.lines, tuple(plain.repeated))


def _check_json(text: str) -> None:
    try:
        json.loads(text, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise UnreadableFile(error.lineno, f"is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise UnreadableFile(1, "is nested too deeply") from error


def _no_number(word: str) -> NoReturn:
    raise UnreadableFile(1, f"is not JSON: {word} is no number there")


_Repeated = dict[int, list[tuple[str, int]]]
"""The repeated keys of a section, each with its line, by the identity of the section."""


class _Constructor(RoundTripConstructor):
    """Notes repeated keys, and the line of a number that Python does not read."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.repeated: _Repeated = defaultdict(list)

    def check_mapping_key(self, node: Any, key_node: Any, mapping: Any, key: Any, value: Any) -> bool:
        if key not in mapping:
            return True
        self.repeated[id(mapping)].append((str(key), key_node.start_mark.line + 1))
        return False

    def number(self, node: Any) -> Any:
        try:
            return self.construct_yaml_int(node)
        except ValueError as error:
            raise UnreadableFile(node.start_mark.line + 1, "holds a number that is too long") from error

    def as_written(self, node: Any) -> str:
        return str(node.value)


_Constructor.add_constructor("tag:yaml.org,2002:int", _Constructor.number)
_Constructor.add_constructor("tag:yaml.org,2002:timestamp", _Constructor.as_written)


def _load(text: str) -> tuple[object, _Repeated]:
    yaml = YAML(typ="rt", pure=True)
    yaml.Constructor = _Constructor
    try:
        return yaml.load(text), yaml.constructor.repeated
    except MarkedYAMLError as error:
        unfinished = error.problem == "could not find expected ':'"  # the parser sees it one line later
        mark = (error.context_mark if unfinished else error.problem_mark) or error.context_mark
        problem = str(error.problem or error.context)
        advice = next((text for beginning, text in _ADVICE.items() if problem.startswith(beginning)), "")
        what = f"is not YAML: {problem}{f'; {advice}' if advice else ''}"
        raise UnreadableFile(mark.line + 1 if mark else 1, what) from error
    except ReaderError as error:
        raise UnreadableFile(text.count("\n", 0, error.position) + 1, "contains a control character") from error
    except (YAMLError, ValueError, AttributeError, TypeError, KeyError, AssertionError, IndexError) as error:
        # For a few odd inputs the parser raises other errors than its own.
        raise UnreadableFile(1, "is not YAML") from error
    except RecursionError as error:
        raise UnreadableFile(1, "is nested too deeply") from error


class _Plain:
    """Turns the parser's values into plain ones and notes lines, within a budget (aliases multiply)."""

    def __init__(self, repeated: _Repeated) -> None:
        self.lines: dict[Path, int] = {(): 1}
        self._left = _MOST_VALUES
        self._repeated = repeated
        self.repeated: list[tuple[Path, int]] = []

    def section(self, node: CommentedMap, path: Path) -> dict[str, Any]:
        self.repeated.extend(((*path, key), line) for key, line in self._repeated.get(id(node), ()))
        return {str(key): value for key, value in self._items(node, path)}

    def _items(self, node: CommentedMap | CommentedSeq, path: Path) -> Iterator[tuple[str | int, Any]]:
        """Every value with its key, or with its number in a list."""
        if node.tag.value is not None:
            raise UnreadableFile(self.lines[path], "tags (!…) are not allowed")
        if len(path) >= _DEEPEST:
            raise UnreadableFile(self.lines[path], "is nested too deeply")
        for key, value in node.items() if isinstance(node, CommentedMap) else enumerate(node):
            line = self._line_of(node, key, path)
            if isinstance(node, CommentedMap) and not isinstance(key, str):
                raise UnreadableFile(line, "a key must be text (put it in quotes)")
            here = (*path, _text(key, self.lines[path]) if isinstance(key, str) else key)
            self.lines[here] = line
            yield here[-1], self._value(value, here)

    def _line_of(self, node: CommentedMap | CommentedSeq, key: object, path: Path) -> int:
        try:
            return int(node.lc.key(key)[0] if isinstance(node, CommentedMap) else node.lc.item(key)[0]) + 1
        except (KeyError, AttributeError, TypeError, IndexError):  # merged in by `<<`
            return self.lines[path]

    def _value(self, value: object, path: Path) -> Any:
        self._left -= 1
        if self._left < 0:
            raise UnreadableFile(self.lines[path], f"says more than {_MOST_VALUES} values (aliases count each time)")
        if isinstance(value, CommentedMap):
            return self.section(value, path)
        if isinstance(value, CommentedSeq):
            return [inner for _, inner in self._items(value, path)]
        if isinstance(value, TaggedScalar) and value.tag.value == _PLAIN_TEXT:
            value = str(value.value)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return _text(str(value), self.lines[path])
        if isinstance(value, int | float):
            return int(value) if isinstance(value, int) else float(value)
        raise UnreadableFile(self.lines[path], "tags (!…) are not allowed")


def _text(value: str, line: int) -> str:
    """JSON writes characters beyond the BMP as surrogate pairs, which the parser leaves apart."""
    try:
        return value.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as error:
        raise UnreadableFile(line, "contains half a character (a lone surrogate)") from error
