"""Tests of the sources of secrets."""

import hashlib

import pytest

from gateway.domain.secret import Secret
from gateway.settings.source import secret_refs
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder

PATH = "tenantSettings.keyCloak.credentials.secret"


def secret(folder: ConfigFolder, source: object) -> Secret | None:
    folder.keycloak["credentials"] = {"secret": source}
    loaded = folder.load()
    return loaded.configuration.tenants[0].keycloak.sign_in.secret if loaded.configuration else None


@pytest.mark.parametrize("source", ["plain", {"value": "plain"}])
def test_a_secret_can_be_a_literal_value(folder: ConfigFolder, source: object) -> None:
    assert secret(folder, source) == Secret("plain")


def test_a_secret_can_be_read_from_an_environment_variable(folder: ConfigFolder) -> None:
    folder.environment["CIM"] = "from there"
    assert secret(folder, {"env": "CIM"}) == Secret("from there")


@pytest.mark.parametrize(("raw", "value"), [(b"x y\n", "x y"), (b"x\r\n", "x"), (b"x\n\n", "x\n"), (b" x ", " x ")])
def test_a_secret_can_be_read_from_a_file_without_its_last_line_end(
    folder: ConfigFolder, raw: bytes, value: str
) -> None:
    folder.path.mkdir()
    (folder.path / "cim").write_bytes(raw)
    assert secret(folder, {"file": "cim"}) == Secret(value)


def test_a_variable_that_is_not_set_is_named_in_the_error(folder: ConfigFolder) -> None:
    secret(folder, {"env": "CIM"})
    assert folder.diagnostic(PATH).text == "the environment variable CIM is not set for this process"


@pytest.mark.parametrize(("raw", "why"), [(b"", "empty"), (b"\n", "empty"), (b"\xff", "UTF-8"), (b"x" * 65537, "big")])
def test_a_file_without_a_secret_is_named_in_the_error(folder: ConfigFolder, raw: bytes, why: str) -> None:
    folder.path.mkdir()
    (folder.path / "cim").write_bytes(raw)
    secret(folder, {"file": "cim"})
    assert why in folder.diagnostic(PATH).text


def test_a_missing_file_is_named_in_the_error(folder: ConfigFolder) -> None:
    secret(folder, {"file": "nowhere"})
    assert folder.diagnostic(PATH).text == (
        f"the file {folder.path / 'nowhere'} cannot be read: No such file or directory"
    )


@pytest.mark.parametrize("source", [{"env": "A", "file": "b"}, {}, {"vault": "x"}, ["x"], {"env": 1}, {"value": 4711}])
def test_any_other_form_of_a_secret_is_refused(folder: ConfigFolder, source: object) -> None:
    assert secret(folder, source) is None
    assert "must be text, {env: NAME} or {file: path}" in folder.diagnostic(PATH).text


def test_the_published_sample_secret_gets_a_warning_that_names_it(
    folder: ConfigFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = hashlib.sha256(b"stands in for the guide's").hexdigest()
    monkeypatch.setattr(secret_refs, "_WELL_KNOWN", frozenset({known}))
    secret(folder, "stands in for the guide's")
    diagnostic = folder.diagnostic(PATH)
    assert diagnostic.level is Level.WARNING
    assert "everybody knows" in diagnostic.text


def test_the_stored_hash_of_the_sample_secret_matches_the_guides_secret(folder: ConfigFolder) -> None:
    (known,) = secret_refs._WELL_KNOWN
    assert known.startswith("dda0b4a65d3d2952")
    assert secret(folder, "anything else") == Secret("anything else")
    assert folder.diagnostics(PATH) == []
