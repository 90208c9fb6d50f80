"""Validates the sections of a settings file with pydantic.

An unknown key is an error, a word is never taken for a number, and the docstring of a field is its line in the settings
reference and in the JSON Schema. Sections whose value is used as the file has it are dataclasses of `gateway.domain`;
here are the bases of the others. `salvage` gets as much as possible out of a section with faults, so that one run
reports all faults.
"""

import copy
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from gateway.settings.source.descriptions import DescribedSchema
from gateway.settings.source.diagnostics import Diagnostics
from gateway.settings.source.yaml_source import Path

T = TypeVar("T")
_NOTHING: Mapping[Path, object] = MappingProxyType({})
_ROUNDS = 8


class Section(BaseModel):
    """A section in which every key is known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)


class ForeignSection(Section):
    """A section of EFCX's own object: keys that the gateway does not use are kept and ignored."""

    model_config = ConfigDict(extra="allow")


def salvage(
    file: TypeAdapter[T], data: Mapping[str, Any], report: Diagnostics, stand_ins: Mapping[Path, object] = _NOTHING
) -> T | None:
    """Makes the value of a `file` with this `data`; reports the faults, and continues without the values at fault.

    Later checks are silent on these values. A missing value is replaced by its stand-in. The result is None when the
    rest makes no value.
    """
    rest: dict[str, Any] = copy.deepcopy(dict(data))
    for turn in range(_ROUNDS):
        try:
            return file.validate_json(json.dumps(rest))
        except ValidationError as error:
            if turn == 0:
                report.invalid(error, file.json_schema(schema_generator=DescribedSchema))
            for detail in error.errors(include_url=False, include_input=False):
                path = detail["loc"]
                if path in stand_ins:
                    report.mute(path)
                    _section(rest, path[:-1])[path[-1]] = copy.deepcopy(stand_ins[path])
                    continue
                drop = path[:-1] if detail["type"] == "missing" else path
                # Without one item the others would move up and get wrong names: the gateway drops the whole list.
                drop = drop[: next((n for n, part in enumerate(drop) if isinstance(part, int)), len(drop))]
                if not drop:
                    return None
                report.mute(drop)
                _section(rest, drop[:-1]).pop(drop[-1], None)
    return None


def _section(data: Any, path: Path) -> dict[str | int, Any]:
    """The section at `path`; an empty one where there is none any more."""
    for part in path:
        data = data.get(part) if isinstance(data, dict) else None
    return data if isinstance(data, dict) else {}
