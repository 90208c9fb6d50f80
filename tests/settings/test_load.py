"""Tests of the whole configuration: all errors together, with file, line and key; loaded completely or not at all."""

import json
import os
from pathlib import Path

import pytest

from gateway.domain.policy import FactorKind, Method
from gateway.settings.load import load
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import CREATE, SHIPPED, UPDATE, ConfigFolder, shipped, to_mend


@pytest.mark.row("GW-14")
def test_the_faults_of_the_shipped_sample_are_what_an_operator_has_to_fill_in() -> None:
    loaded = load(SHIPPED / "gateway.yaml", environment={})
    assert {(diagnostic.path, diagnostic.level) for diagnostic in to_mend(loaded)} == {
        ("trusted_proxies", Level.WARNING),
        ("tenantSettings.keyCloak.credentials.secret", Level.WARNING),
        ("tenantSettings.keyCloak.auth-server-url", Level.WARNING),
    }
    assert loaded.configuration is not None


@pytest.mark.row("EF-07")
def test_the_create_payload_of_the_guide_loads_unchanged_with_the_shipped_gateway_file(tmp_path: Path) -> None:
    file = shipped(tmp_path / "config")
    (tmp_path / "config" / "tenants" / "expertflow.json").write_bytes(CREATE.read_bytes())
    loaded = load(file, environment={})
    assert loaded.errors == ()
    assert loaded.configuration is not None
    tenant = loaded.configuration.tenants[0]
    assert tenant.public_url == "https://efcx.example.com"
    assert [route.path for route in tenant.routes] == ["/unified-admin", "/agent-manager"]
    assert tenant.policy.methods == (Method(FactorKind.EMAIL, "otp@example.com"),)
    assert (tenant.policy.otp_expiry, tenant.policy.otp_max_attempts) == (60, 3)


@pytest.mark.row("EF-07")
def test_the_status_in_the_guides_payload_gets_a_warning(tmp_path: Path) -> None:
    file = shipped(tmp_path / "config")
    (tmp_path / "config" / "tenants" / "expertflow.json").write_bytes(CREATE.read_bytes())
    diagnostic = next(f for f in load(file, environment={}).diagnostics if f.path == "status")
    assert diagnostic.level is Level.WARNING
    assert diagnostic.line == 83
    assert "not available" in diagnostic.text


@pytest.mark.row("EF-07")
def test_for_a_partial_update_used_as_a_file_the_errors_name_all_missing_keys(tmp_path: Path) -> None:
    file = shipped(tmp_path / "config")
    (tmp_path / "config" / "tenants" / "expertflow.json").write_bytes(UPDATE.read_bytes())
    loaded = load(file, environment={})
    assert loaded.configuration is None
    assert any("partial update" in f.text for f in loaded.errors)
    assert {f.path for f in loaded.errors if f.text.startswith("is missing")} >= {
        "tenantName",
        "tenantId",
        "status",
        "tenantSettings.fqdn",
        "tenantSettings.keyCloak.realm",
        "tenantSettings.keyCloak.auth-server-url",
        "tenantSettings.keyCloak.CLIENT_ID",
    }


BROKEN = """\
tenantName: a
tenantId: bad
status: active
tenantSettings:
  fqdn: https://efcx.example.com
  keyCloak:
    realm: bad
    auth-server-url: keycloak
    CLIENT_ID: cim
    GRANT_TYPE: implicit
    credentials: {secret: {file: nowhere}}
  twoFAConfigs:
    is2FAEnabled: yes
    channelType: WHATSAPP
    otpExpiry: 0
    otpMaxAttempts: "5"
    otpLenght: 5
gateway:
  routes:
    - {path: /ok, to: "http://x"}
    - {path: /no, to: "ftp://x", second_facto: off}
  token_cookie: {domain: com}
"""


@pytest.mark.row("GW-14")
def test_all_faults_are_reported_together_with_their_lines(folder: ConfigFolder) -> None:
    folder.tenants = {"bad.yaml": BROKEN}
    folder.gateway["channels"][0]["kind"] = "rsa"
    loaded = folder.load()
    assert loaded.configuration is None
    found = {(Path(f.file).name, f.line, f.path) for f in loaded.errors}
    assert {line for name, line, _ in found if name == "bad.yaml"} == {5, 8, 10, 11, 13, 14, 15, 16, 17, 21, 22}
    assert any(name == "gateway.yaml" and path == "channels[0].kind" for name, _, path in found)


@pytest.mark.row("GW-14")
def test_a_fault_names_file_line_key_error_and_allowed_values(folder: ConfigFolder) -> None:
    folder.tenants = {"bad.yaml": BROKEN}
    written = [str(f) for f in folder.load().diagnostics]
    assert any(
        w.endswith(
            "bad.yaml:14: tenantSettings.twoFAConfigs.channelType: "
            "'WHATSAPP' is not known; allowed: EMAIL, SMS, APP, RSA or EXTERNAL"
        )
        for w in written
    )


@pytest.mark.row("GW-14")
def test_for_an_unknown_key_the_error_names_the_likely_one_and_those_allowed(folder: ConfigFolder) -> None:
    folder.own["token_cooky"] = {}
    diagnostic = folder.diagnostic("gateway.token_cooky")
    assert "did you mean token_cookie?" in diagnostic.text
    assert "branding, clear_storage_at_sign_out, help" in diagnostic.text


@pytest.mark.row("GW-14")
@pytest.mark.row("GW-14")
@pytest.mark.parametrize(
    ("key", "shown"), [("otp\u200bExpiry", "otp\\u200bExpiry"), ("\u202eotpExpiry", "\\u202eotpExpiry")]
)
def test_a_key_with_invisible_characters_is_shown_with_them(folder: ConfigFolder, key: str, shown: str) -> None:
    folder.two_factor[key] = folder.two_factor.pop("otpExpiry")
    said = [str(f) for f in folder.load().errors]
    assert all(line.isprintable() for line in said)
    assert any(shown in line and "did you mean otpExpiry?" in line for line in said)


@pytest.mark.row("GW-14")
def test_a_key_with_lookalike_letters_is_shown_as_written(folder: ConfigFolder) -> None:
    folder.two_factor["\u043etpExpiry"] = folder.two_factor.pop("otpExpiry")
    assert any("'\\u043etpExpiry'" in diagnostic.text for diagnostic in folder.load().errors)


@pytest.mark.row("GW-14")
def test_a_duplicate_key_hides_no_other_fault(folder: ConfigFolder) -> None:
    folder.two_factor["otpMaxAttempts"] = "five"
    text = json.dumps(folder.one, indent=1).replace('"otpExpiry": 120,', '"otpExpiry": 120,\n"otpExpiry": 60,')
    folder.tenants = {"one.json": text}
    line = text[: text.index('"otpExpiry": 60')].count("\n") + 1
    found = {(f.path, f.line) for f in folder.load().errors}
    assert ("tenantSettings.twoFAConfigs.otpExpiry", line) in found
    assert "tenantSettings.twoFAConfigs.otpMaxAttempts" in {path for path, _ in found}


@pytest.mark.row("GW-14")
def test_a_file_name_that_is_not_valid_text_is_shown_without_a_traceback(folder: ConfigFolder) -> None:
    file = folder.write()
    os.rename(folder.path / "tenants" / "one.json", os.fsencode(folder.path / "tenants") + b"/\xff.json")
    hints = [str(f) for f in load(file, environment={}).diagnostics]
    assert any("\\udcff.json:" in line for line in hints)


@pytest.mark.row("GW-14")
@pytest.mark.parametrize("gateway", ["listen: [\n", "- a\n", "\xff"])
def test_an_invalid_gateway_file_hides_no_fault_of_a_tenant_file(folder: ConfigFolder, gateway: str) -> None:
    folder.gateway = gateway.encode("latin-1")
    folder.two_factor["otpExpiry"] = "soon"
    folder.tenants["two.yaml"] = "tenantId: ["
    found = {(Path(f.file).name, f.path) for f in folder.load().errors}
    assert found == {
        ("gateway.yaml", ""),
        ("one.json", "tenantSettings.twoFAConfigs.otpExpiry"),
        ("two.yaml", ""),
    }


def test_a_fault_in_the_defaults_is_reported_once_and_in_the_gateway_file(folder: ConfigFolder) -> None:
    folder.another("two")
    folder.gateway["defaults"]["routes"][0]["to"] = "nowhere"
    errors = folder.load().errors
    assert [(Path(f.file).name, f.path) for f in errors] == [("gateway.yaml", "defaults.routes[0].to")]


def test_json_and_yaml_tenant_files_can_be_used_together(folder: ConfigFolder) -> None:
    folder.another("two")
    folder.tenants["two.yaml"] = json.dumps(folder.tenants.pop("two.json"))
    configuration = folder.load().configuration
    assert configuration is not None
    assert [t.id for t in configuration.tenants] == ["one", "two"]


def test_other_files_in_the_tenant_folder_are_ignored(folder: ConfigFolder) -> None:
    folder.tenants[".one.json.swp"] = b"\x00"
    folder.tenants["notes.txt"] = "hello"
    assert folder.load().errors == ()


def test_a_tenant_file_not_named_after_its_tenant_gets_a_hint(folder: ConfigFolder) -> None:
    folder.tenants["other.json"] = folder.tenants.pop("one.json")
    diagnostic = folder.diagnostic("tenantId")
    assert diagnostic.level is Level.HINT
    assert "one.json" in diagnostic.text


def test_an_unreadable_tenant_file_rejects_the_whole_configuration(folder: ConfigFolder) -> None:
    folder.tenants["two.json"] = b'{"tenantName": "two"'
    loaded = folder.load()
    assert loaded.configuration is None
    assert [(Path(f.file).name, f.text[:11]) for f in loaded.errors] == [("two.json", "is not JSON")]


def test_a_missing_tenant_folder_is_an_error(folder: ConfigFolder) -> None:
    folder.gateway["tenants"] = "elsewhere"
    assert "cannot be read" in folder.diagnostic("tenants").text


def test_an_empty_tenant_folder_is_an_error(folder: ConfigFolder) -> None:
    folder.tenants = {}
    assert "holds no tenant file" in folder.diagnostic("tenants").text


def test_a_missing_gateway_file_is_an_error(tmp_path: Path) -> None:
    loaded = load(tmp_path / "gateway.yaml", environment={})
    assert loaded.configuration is None
    assert "cannot be read" in loaded.errors[0].text


def test_the_fingerprint_identifies_exactly_the_loaded_bytes(folder: ConfigFolder) -> None:
    first = folder.load()
    assert folder.load().fingerprint == first.fingerprint
    folder.one["tenantName"] = "Other"
    assert folder.load().fingerprint != first.fingerprint


def test_the_fingerprint_changes_with_the_files_of_secrets(folder: ConfigFolder) -> None:
    folder.path.mkdir()
    secret = folder.path / "cim"
    secret.write_text("first")
    folder.keycloak["credentials"] = {"secret": {"file": "cim"}}
    first = folder.load()
    assert secret in first.files
    secret.write_text("second")
    assert folder.load().fingerprint != first.fingerprint


def test_an_error_never_shows_a_secret(folder: ConfigFolder) -> None:
    folder.keycloak["credentials"] = {"secret": ["hunter2"]}
    folder.keycloak["PASSWORD_ADMIN"] = 4711
    folder.gateway["store"] = {"url": "hunter2://x"}
    loaded = folder.load()
    assert len(loaded.errors) == 3
    assert not any("hunter2" in str(f) or "4711" in str(f) for f in loaded.diagnostics)
