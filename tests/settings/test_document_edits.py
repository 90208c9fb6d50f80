"""Tests of changes that keep order, comments and the form of a settings file."""

import json

import pytest

from gateway.settings.source.document_edits import NotEditable, created, edited
from gateway.settings.source.yaml_source import read
from tests.fixtures.config_folder import CREATE, SHIPPED, UPDATE

YAML = SHIPPED / "tenants" / "expertflow.yaml"


def changed_lines(before: bytes, after: bytes) -> list[str]:
    old = before.decode().splitlines()
    return [line for line in after.decode().splitlines() if line not in old]


@pytest.mark.row("GW-15")
@pytest.mark.parametrize("file", [YAML, SHIPPED / "gateway.yaml", CREATE], ids=lambda file: file.name)
def test_a_change_of_nothing_leaves_every_byte(file: object) -> None:
    raw = file.read_bytes()  # type: ignore[attr-defined]
    assert edited(raw, {}, file.name) == raw  # type: ignore[attr-defined]


@pytest.mark.row("GW-15")
@pytest.mark.row("EF-06")
def test_efcxs_partial_payload_changes_the_lines_of_its_keys_alone_and_keeps_their_comments() -> None:
    raw = YAML.read_bytes()
    made = edited(raw, json.loads(UPDATE.read_bytes()), YAML.name)
    assert changed_lines(raw, made) == [
        "    otpExpiry: 60                         # seconds",
        "    otpMaxAttempts: 3",
    ]
    assert len(made.splitlines()) == len(raw.splitlines())


@pytest.mark.row("GW-15")
def test_a_json_file_stays_json_with_its_order_and_indentation() -> None:
    raw = CREATE.read_bytes()
    made = edited(raw, {"status": "active", "tenantSettings": {"fqdn": "über.example.com"}}, CREATE.name)
    assert changed_lines(raw, made) == ['    "fqdn": "über.example.com",', '  "status": "active",']
    assert list(json.loads(made)) == list(json.loads(raw))


@pytest.mark.row("GW-15")
def test_null_removes_a_key_and_the_comment_lines_below_it_stay() -> None:
    made = edited(YAML.read_bytes(), {"tenantSettings": {"twoFAConfigs": {"preset": None}}}, YAML.name).decode()
    assert "preset: efcx " not in made
    assert "# registration: guarded" in made


@pytest.mark.row("GW-15")
def test_quotes_indentation_and_the_form_of_numbers_stay() -> None:
    raw = b'a:\n    b: "x"   # why\n    c:\n      - d: 0x10\n        e: 010\n      - f\n    g: 1\n# end\n'
    wanted = raw.replace(b'"x"', b'"y"').replace(b"g: 1", b"g: 2")
    assert edited(raw, {"a": {"b": "y", "g": 2}}, "a.yaml") == wanted


@pytest.mark.row("GW-15")
def test_a_section_that_is_shared_by_an_alias_is_not_edited() -> None:
    raw = b"a: &both {b: 1}\nc: *both\n"
    with pytest.raises(NotEditable):
        edited(raw, {"a": {"b": 2}}, "a.yaml")


@pytest.mark.row("GW-15")
def test_a_new_file_has_the_values_of_efcxs_whole_payload() -> None:
    payload = json.loads(CREATE.read_bytes())
    assert read(created(payload), "new.yaml").data == payload
