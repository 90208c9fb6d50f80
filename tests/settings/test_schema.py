"""Facts about the shipped JSON Schemas."""

import pytest
from pydantic import BaseModel

from gateway.settings.schema import FILES, schema_text
from tests.settings.folder import SHIPPED


@pytest.mark.row("GW-14")
@pytest.mark.parametrize(("name", "model"), FILES)
def test_the_shipped_schema_is_up_to_date(name: str, model: type[BaseModel]) -> None:
    """Else write them anew: `gateway.settings.schema.write(Path("config/schema"))`."""
    assert (SHIPPED / "schema" / name).read_text(encoding="utf-8") == schema_text(model)


@pytest.mark.row("GW-14")
@pytest.mark.parametrize(
    ("sample", "schema"),
    [("gateway.yaml", "schema/gateway.schema.json"), ("tenants/expertflow.yaml", "../schema/tenant.schema.json")],
)
def test_the_first_line_of_a_sample_names_its_schema(sample: str, schema: str) -> None:
    file = SHIPPED / sample
    first, *_ = file.read_text(encoding="utf-8").splitlines()
    assert first == f"# yaml-language-server: $schema={schema}"
    assert (file.parent / schema).is_file()


@pytest.mark.row("GW-14")
@pytest.mark.parametrize(("name", "model"), FILES)
def test_every_setting_has_a_description(name: str, model: type[BaseModel]) -> None:
    schema = model.model_json_schema(by_alias=True)
    sections = [schema, *schema["$defs"].values()]
    undescribed = [
        f"{section.get('title')}.{key}"
        for section in sections
        for key, value in section.get("properties", {}).items()
        if not (value.get("description") or schema["$defs"][value["$ref"].rpartition("/")[2]].get("description"))
    ]
    assert undescribed == []
