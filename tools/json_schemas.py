"""Writes the JSON Schemas (draft 2020-12) by which an editor completes and checks the settings files.

    python -m tools.json_schemas

The tool makes them from the types that check the files. The schemas are in `config/schema/`, and the first line of each
sample file names its schema.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from gateway.settings.files.gateway_file import GatewayFile
from gateway.settings.files.tenant_file import TenantFile
from gateway.settings.source.descriptions import DescribedSchema

SCHEMAS = Path(__file__).resolve().parents[1] / "config" / "schema"
FILES: tuple[tuple[str, type[Any]], ...] = (
    ("gateway.schema.json", GatewayFile),
    ("tenant.schema.json", TenantFile),
)


class _InOrder(DescribedSchema):
    """A set has no order, but the text of a schema must be the same each time."""

    def encode_default(self, dft: Any) -> Any:
        encoded = super().encode_default(dft)
        return sorted(encoded) if isinstance(dft, frozenset) else encoded


def schema_of(kind: type[Any]) -> dict[str, Any]:
    """The schema of a file."""
    return TypeAdapter(kind).json_schema(schema_generator=_InOrder)


def schema_text(kind: type[Any]) -> str:
    """The schema of a file as text."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema_of(kind),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes both schemas."""
    for name, kind in FILES:
        (SCHEMAS / name).write_text(schema_text(kind), encoding="utf-8")


if __name__ == "__main__":
    main()
