"""Descriptions of settings: the docstring below a field of a section.

The gateway reads them from the source only where it needs them: for the JSON Schema, the settings reference and the
words of a fault. A start with valid settings does not.
"""

import ast
import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue


@cache
def docstrings(section: type[Any]) -> Mapping[str, str]:
    """The docstring of each field in the source of the class; none for a class without source."""
    try:
        (made,) = ast.parse(dedent(inspect.getsource(section))).body
    except OSError:
        return {}
    found: dict[str, str] = {}
    for field, text in pairwise(made.body if isinstance(made, ast.ClassDef) else ()):
        match field, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(words))):
                found[name] = inspect.cleandoc(words)
    return found


class DescribedSchema(GenerateJsonSchema):
    """A JSON Schema with a description of each key.

    A section that extends a dataclass has its own keys first.
    """

    def dataclass_schema(self, schema: Any) -> JsonSchemaValue:
        """See the base class."""
        found = super().dataclass_schema(schema)
        properties = found["properties"]
        for base in filter(is_dataclass, schema["cls"].__mro__[1:]):
            for field in fields(base):
                properties[field.name] = properties.pop(field.name)
        return _described(found, schema)

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        """See the base class."""
        return _described(super().model_schema(schema), schema)


def _described(found: JsonSchemaValue, schema: Any) -> JsonSchemaValue:
    properties, keys = found["properties"], _keys(schema["schema"])
    for base in schema["cls"].__mro__:
        if base.__module__.startswith("gateway."):
            for name, text in docstrings(base).items():
                if name in keys:
                    properties[keys[name]].setdefault("description", text)
    return found


def _keys(inner: Any) -> Mapping[str, str]:
    """The key of each field: its alias, where it has one."""
    while "fields" not in inner:
        inner = inner["schema"]
    found = inner["fields"]
    named = found.items() if isinstance(found, dict) else ((field["name"], field) for field in found)
    return {name: field.get("validation_alias", name) for name, field in named}
