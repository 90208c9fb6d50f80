"""Writes the JSON Schemas (draft 2020-12) by which an editor completes and checks the settings files.

    python -m tools.json_schemas

The tool makes them from the types that check the files. The schemas are in `config/schema/`, and the first line of each
sample file names its schema.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gateway.settings.files.gateway_file import GatewayFile
from gateway.settings.files.tenant_file import TenantFile

SCHEMAS = Path(__file__).resolve().parents[1] / "config" / "schema"
FILES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("gateway.schema.json", GatewayFile),
    ("tenant.schema.json", TenantFile),
)


def schema_text(model: type[BaseModel]) -> str:
    """The schema of `model` as its file holds it."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True, mode="validation"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Writes both schemas."""
    for name, model in FILES:
        (SCHEMAS / name).write_text(schema_text(model), encoding="utf-8")


if __name__ == "__main__":
    main()
