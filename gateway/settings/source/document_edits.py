"""Changes a settings file and keeps what the change does not name: order, comments, quotes and the form of numbers.

Pure: bytes in, bytes out. A change is a JSON Merge Patch (RFC 7396): sections are merged key by key, `null` removes a
key, and any other value replaces the old one. JSON stays JSON. The result is read back, and must have exactly the
values of the old file with the change.
"""

import io
import json
import re
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, SingleQuotedScalarString

from gateway.settings.source.yaml_source import read

Patch = Mapping[str, Any]
_INDENT = re.compile(r"\n( +|\t+)\S")
_WIDE = 4096
"""Columns: ruamel.yaml breaks no line before."""
_QUOTED = (DoubleQuotedScalarString, SingleQuotedScalarString)


class NotEditable(Exception):
    """Raised for a file that cannot be written anew with the same values, as one with aliases in the changed part."""


def merged(data: Mapping[str, Any], patch: Patch) -> dict[str, Any]:
    """`data` with the change `patch`."""
    result = dict(data)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            below = result.get(key)
            result[key] = merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[key] = value
    return result


def created(data: Mapping[str, Any]) -> bytes:
    """A new YAML file with these values."""
    stream = io.BytesIO()
    _yaml().dump(dict(data), stream)
    return _checked(stream.getvalue(), data, "new.yaml")


def edited(raw: bytes, patch: Patch, file: str) -> bytes:
    """The bytes of the valid file `raw` with the change `patch`; `file` is its name. Raises `NotEditable`."""
    wanted = merged(read(raw, file).data, patch)
    text = raw.decode("utf-8-sig")
    if file.endswith(".json"):
        indent = _INDENT.search(text)
        made = json.dumps(merged(json.loads(text), patch), indent=indent[1] if indent else None, ensure_ascii=False)
        return _checked((made + text[len(text.rstrip()) :]).encode(), wanted, file)
    try:
        yaml = _yaml()
        document = yaml.load(text)
        yaml.indent(**_indents(document))
        _apply(document, patch)
        stream = io.BytesIO()
        yaml.dump(document, stream)
    except (YAMLError, ValueError, AttributeError, TypeError, KeyError, AssertionError, IndexError) as error:
        raise NotEditable(file) from error
    return _checked(stream.getvalue(), wanted, file)


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = _WIDE
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    return yaml


def _indents(document: CommentedMap) -> dict[str, int]:
    """The columns by which the file indents: those of its first section, and of its first list, inside a section."""
    found = {"mapping": 2, "sequence": 2, "offset": 0}
    sections, first = [document], set[type]()
    while sections:
        section = sections.pop(0)
        for value in section.values():
            if not isinstance(value, CommentedMap | CommentedSeq) or value.fa.flow_style():
                continue
            if type(value) not in first and value:
                first.add(type(value))
                inside = value.lc.col - section.lc.col
                if isinstance(value, CommentedMap):
                    found["mapping"] = inside
                else:
                    found |= {"offset": inside, "sequence": value.lc.item(0)[1] - section.lc.col}
            sections += (
                [value] if isinstance(value, CommentedMap) else [one for one in value if isinstance(one, CommentedMap)]
            )
    return found


def _apply(section: CommentedMap, patch: Patch) -> None:
    for key, value in patch.items():
        below = section.get(key)
        if value is None:
            _remove(section, key)
        elif isinstance(value, Mapping) and isinstance(below, CommentedMap):
            _apply(below, value)
        elif isinstance(value, Mapping):
            section[key] = merged({}, value)
        elif below != value or type(below) is not type(value):
            quoted = isinstance(below, _QUOTED) and isinstance(value, str)
            section[key] = type(below)(value) if quoted else value


def _remove(section: CommentedMap, key: str) -> None:
    """Removes `key` and the comment in its line. The lines of comment below it belong to what follows."""
    if key not in section:
        return
    keys = list(section)
    before = keys[keys.index(key) - 1] if key != keys[0] else None
    comments = section.ca.items.pop(key, None)
    del section[key]
    after = comments[2] if comments else None
    if after is None or "\n" not in after.value.rstrip("\n") or before is None:
        return
    kept = section.ca.items.get(before)
    if kept is None or kept[2] is None:
        after.value = after.value[after.value.index("\n") :]
        section.ca.items[before] = [None, None, after, None]
    else:
        kept[2].value += after.value[after.value.index("\n") + 1 :]


def _checked(made: bytes, wanted: Mapping[str, Any], file: str) -> bytes:
    if read(made, file).data != wanted:
        raise NotEditable(file)
    return made
