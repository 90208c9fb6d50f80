"""Tests of `efcx-gateway tenant …`."""

import copy
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.main import app
from tests.fixtures.config_folder import TENANT, ConfigFolder

pytestmark = pytest.mark.row("GW-17")


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    """Settings with the tenants `one`, and `two` whose second factor is off."""
    made = ConfigFolder(tmp_path)
    two = copy.deepcopy(TENANT) | {"tenantId": "two", "tenantName": "Two"}
    two["tenantSettings"]["fqdn"] = "two.example.com"
    two["tenantSettings"]["keyCloak"]["realm"] = "two"
    two["tenantSettings"]["twoFAConfigs"]["is2FAEnabled"] = False
    made.tenants["two.json"] = two
    return made


def run(folder: ConfigFolder, *words: str) -> Result:
    """Runs the command."""
    return CliRunner().invoke(app, ["tenant", *words, "--config", str(folder.write())])


def test_the_list_has_address_realm_and_second_factor_of_each_tenant(folder: ConfigFolder) -> None:
    lines = [line.split() for line in run(folder, "list").stdout.splitlines()]
    assert ["one", "https://one.example.com", "one", "email"] in lines
    assert ["two", "https://two.example.com", "two", "off"] in lines


def test_the_list_is_data_with_json(folder: ConfigFolder) -> None:
    tenants = json.loads(run(folder, "list", "--json").stdout)
    assert [(one["id"], one["second_factor"]) for one in tenants] == [("one", "email"), ("two", "off")]


def test_a_tenant_is_shown_with_the_defaults_that_its_file_does_not_name(folder: ConfigFolder) -> None:
    shown = json.loads(run(folder, "show", "one", "--json").stdout)
    assert (shown["policy"]["otp_expiry"], shown["policy"]["otp_length"]) == (120, 6)


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_no_secret_of_a_tenant_is_shown(folder: ConfigFolder, form: tuple[str, ...]) -> None:
    secret = folder.tenants["one.json"]["tenantSettings"]["keyCloak"]["credentials"]["secret"]
    said = run(folder, "show", "one", *form).stdout
    assert secret not in said
    assert "•••" in said


def test_an_unknown_tenant_is_answered_with_the_names_of_the_known_ones(folder: ConfigFolder) -> None:
    assert "configured tenants: one, two" in str(run(folder, "show", "three").exception)


def test_a_tenant_is_checked_while_the_file_of_another_has_errors(folder: ConfigFolder) -> None:
    folder.tenants["two.json"]["tenantSettings"]["twoFAConfigs"]["otpExpiry"] = "soon"
    good, bad = run(folder, "check", "one"), run(folder, "check", "two")
    assert (good.exit_code, good.stdout) == (0, "ok: tenant one\n")
    assert bad.exit_code == 1
    assert "otpExpiry" in bad.stdout


def test_a_check_is_data_with_json(folder: ConfigFolder) -> None:
    folder.tenants["two.json"]["tenantSettings"]["twoFAConfigs"]["otpExpiry"] = "soon"
    said = json.loads(run(folder, "check", "two", "--json").stdout)
    assert (said["ok"], [one["level"] for one in said["faults"]]) == (False, ["error"])
