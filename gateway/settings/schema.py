"""How does an editor know what may stand in the settings files?

JSON Schemas (draft 2020-12) made from the models; they are shipped in `config/schema/` and named in the first line of
the sample files.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gateway.settings.files.gateway_file import GatewayFile
from gateway.settings.files.tenant_file import TenantFile

FILES: tuple[tuple[str, type[BaseModel]], ...] = (
    ("gateway.schema.json", GatewayFile),
    ("tenant.schema.json", TenantFile),
)


def schema_text(model: type[BaseModel]) -> str:
    """The schema of `model` as it stands in its file."""
    schema: dict[str, Any] = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **model.model_json_schema(by_alias=True, mode="validation"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path) -> None:
    """Write both schemas into `folder`."""
    for name, model in FILES:
        (folder / name).write_text(schema_text(model), encoding="utf-8")
