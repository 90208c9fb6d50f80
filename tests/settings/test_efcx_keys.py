"""Tests of the page that lists EFCX's keys."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.settings.files.keycloak import CredentialsSection, EfcxKeycloakSection
from gateway.settings.files.tenant_file import TenantFile, TenantSettingsSection
from tests.fixtures.config_folder import CREATE, SHIPPED

PAGE = SHIPPED.parent / "docs" / "efcx-keys.md"


def names(section: dict[str, Any], inside: str = "") -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict) and value and key in ("tenantSettings", "keyCloak", "credentials", "twoFAConfigs"):
            yield from names(value, key)
        else:
            yield key


@pytest.mark.row("EF-24")
def test_every_key_of_the_guides_payload_is_documented_as_used_or_kept() -> None:
    page = PAGE.read_text(encoding="utf-8")
    listed = {part for quoted in re.findall(r"`([^`]+)`", page) for part in quoted.split(".")}
    assert set(names(json.loads(CREATE.read_bytes()))) - listed == set()


def first_column(heading: str) -> set[str]:
    """Returns the keys of the table under a heading."""
    section = PAGE.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"(?m)^\| (`[^|]+) \|", section)
    return {quoted.rpartition(".")[2] for cell in cells for quoted in re.findall(r"`([^`]+)`", cell)}


def read_by_the_program() -> set[str]:
    """Returns the keys outside of `gateway` and `twoFAConfigs` that the gateway reads."""
    models = (TenantFile, TenantSettingsSection, EfcxKeycloakSection, CredentialsSection)
    fields = {field.alias or name for model in models for name, field in model.model_fields.items()}
    return fields - {"tenantSettings", "gateway", "keyCloak", "credentials", "twoFAConfigs"}


@pytest.mark.row("EF-24")
def test_every_key_that_the_gateway_reads_is_documented_as_used_and_not_as_kept() -> None:
    assert read_by_the_program() - first_column("Used") == set()
    assert read_by_the_program() & first_column("Kept, not used") == set()


@pytest.mark.row("EF-24")
@pytest.mark.parametrize("key", ["TWILIO_SID", "redis", "mongo", "policy-enforcer"])
def test_every_key_for_other_efcx_services_is_documented_as_kept(key: str) -> None:
    assert key in first_column("Kept, not used")
