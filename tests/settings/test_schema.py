"""Tests of the shipped JSON Schemas."""

import re
from typing import Any

import pytest

from gateway.settings.files.tenant_file import TenantFile
from tests.fixtures.config_folder import SHIPPED, ConfigFolder
from tools.json_schemas import FILES, schema_of, schema_text


@pytest.mark.row("GW-14")
@pytest.mark.parametrize(("name", "model"), FILES)
def test_the_shipped_schema_is_up_to_date(name: str, model: type[Any]) -> None:
    """Otherwise write the schemas again: `python -m tools.json_schemas`."""
    assert (SHIPPED / "schema" / name).read_text(encoding="utf-8") == schema_text(model)


@pytest.mark.row("GW-14")
@pytest.mark.parametrize(
    ("sample", "schema"),
    [("gateway.yaml", "schema/gateway.schema.json"), ("tenants/expertflow.yaml", "../schema/tenant.schema.json")],
)
def test_the_first_line_of_each_sample_names_its_schema(sample: str, schema: str) -> None:
    file = SHIPPED / sample
    first, *_ = file.read_text(encoding="utf-8").splitlines()
    assert first == f"# yaml-language-server: $schema={schema}"
    assert (file.parent / schema).is_file()


@pytest.mark.row("GW-14")
@pytest.mark.parametrize(("name", "model"), FILES)
def test_every_setting_has_a_description(name: str, model: type[Any]) -> None:
    schema = schema_of(model)
    sections = [schema, *schema["$defs"].values()]
    undescribed = [
        f"{section.get('title')}.{key}"
        for section in sections
        for key, value in section.get("properties", {}).items()
        if not (value.get("description") or schema["$defs"][value["$ref"].rpartition("/")[2]].get("description"))
    ]
    assert undescribed == []


@pytest.mark.row("GW-14")
@pytest.mark.parametrize(
    ("where", "key"),
    [
        ("TwoFactorSection", "channelType"),
        ("TwoFactorSection", "trustBrowserDays"),
        ("TwoFactorSection", "preset"),
        ("TokenCookie", "same_site"),
    ],
)
def test_the_schema_and_the_gateway_allow_the_same_values(folder: ConfigFolder, where: str, key: str) -> None:
    about = schema_of(TenantFile)["$defs"][where]["properties"][key]
    words = next(one["enum"] for one in (about, *about.get("anyOf", ())) if "enum" in one)
    section = folder.two_factor if where == "TwoFactorSection" else folder.own.setdefault("token_cookie", {})
    path = f"tenantSettings.twoFAConfigs.{key}" if where == "TwoFactorSection" else f"gateway.token_cookie.{key}"
    for word in words:
        section[key] = word
        assert not [f for f in folder.diagnostics(path) if "not known" in f.text or "not allowed" in f.text], word
    section[key] = "WHATSAPP" if isinstance(words[0], str) else 7
    assert any("allowed" in f.text for f in folder.diagnostics(path))


def _patterns(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["pattern"]] if isinstance(schema.get("pattern"), str) else []
        return own + [p for inner in schema.values() for p in _patterns(inner)]
    return [p for inner in schema for p in _patterns(inner)] if isinstance(schema, list) else []


@pytest.mark.row("GW-14")
@pytest.mark.parametrize(("name", "model"), FILES)
def test_every_pattern_of_the_schema_is_valid_in_editors(name: str, model: type[Any]) -> None:
    """ECMA 262 and Python agree on those without inline flags and named groups."""
    found = _patterns(schema_of(model))
    assert found
    assert not [p for p in found if "(?" in p or re.compile(p) is None]
