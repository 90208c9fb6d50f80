"""The strict bases of the sections that the settings files alone have.

An unknown key is an error, a word is never taken for a number, and the docstring of a field is its line in the settings
reference and in the JSON Schema. Sections whose value is used as the file has it are dataclasses of `gateway.domain`.
"""

from dataclasses import is_dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class Section(BaseModel):
    """A section in which every key is known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class ForeignSection(BaseModel):
    """A section of EFCX's own object: keys that the gateway does not use are kept and ignored."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, use_attribute_docstrings=True)


class Extended:
    """A section that adds keys to a dataclass of the domain.

    Pydantic reads the docstrings of a class's own fields only; the JSON Schema takes the others from the base class.
    It has the added keys first.
    """

    __slots__ = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: Any) -> JsonSchemaValue:
        found: JsonSchemaValue = handler(schema)
        properties = handler.resolve_ref_schema(found)["properties"]
        for base in filter(is_dataclass, cls.__mro__[1:]):
            for key, about in TypeAdapter(base).json_schema()["properties"].items():
                properties[key] = {**about, **properties.pop(key)}
        return found
