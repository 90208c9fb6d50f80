"""Tests of `tls:`: the files exist, have the right content, and belong together."""

from pathlib import Path

import pytest
import trustme

from gateway.domain.channel import TlsSettings
from tests.fixtures.config_folder import ConfigFolder


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def put(folder: ConfigFolder, authority: trustme.CA) -> None:
    folder.path.mkdir(exist_ok=True)
    authority.cert_pem.write_to_path(str(folder.path / "ca.pem"))
    pair = authority.issue_cert("gateway.example.com")
    pair.private_key_pem.write_to_path(str(folder.path / "own.key"))
    pair.cert_chain_pems[0].write_to_path(str(folder.path / "own.pem"))


def where(folder: ConfigFolder, name: str) -> str:
    return str(folder.path / name)


@pytest.mark.row("GW-33")
def test_one_private_ca_is_used_for_every_outgoing_connection(folder: ConfigFolder, authority: trustme.CA) -> None:
    put(folder, authority)
    folder.gateway["tls"] = {"ca_file": "ca.pem"}
    configuration = folder.load().configuration
    assert configuration is not None
    tenant = configuration.tenants[0]
    everything = TlsSettings(ca_file=where(folder, "ca.pem"))
    assert tenant.keycloak.tls == tenant.routes[0].tls == everything
    assert configuration.gateway.store.tls == configuration.channels["otp@example.com"].relays[0].tls == everything


@pytest.mark.row("GW-33")
def test_one_client_may_have_a_different_private_ca(folder: ConfigFolder, authority: trustme.CA) -> None:
    put(folder, authority)
    own = {"ca_file": "ca.pem", "certificate_file": "own.pem", "key_file": "own.key"}
    folder.gateway["tls"] = {"smtp": own}
    folder.own["keycloak"] = {"tls": {"ca_file": "ca.pem"}}
    configuration = folder.load().configuration
    assert configuration is not None
    relay = configuration.channels["otp@example.com"].relays[0]
    assert relay.tls == TlsSettings(where(folder, "ca.pem"), where(folder, "own.pem"), where(folder, "own.key"))
    assert configuration.tenants[0].keycloak.tls == TlsSettings(ca_file=where(folder, "ca.pem"))
    assert configuration.tenants[0].routes[0].tls == configuration.gateway.store.tls == TlsSettings()


@pytest.mark.row("GW-33")
def test_a_missing_certificate_file_is_named_in_the_error(folder: ConfigFolder) -> None:
    folder.gateway["tls"] = {"keycloak": {"ca_file": "nowhere.pem"}}
    assert folder.diagnostic("tls.keycloak.ca_file").text == "the file cannot be read: No such file or directory"


@pytest.mark.row("GW-33")
@pytest.mark.parametrize("content", ["", "none", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_certificates_is_named_in_the_error(folder: ConfigFolder, content: str) -> None:
    folder.path.mkdir()
    (folder.path / "ca.pem").write_text(content)
    folder.gateway["tls"] = {"ca_file": "ca.pem"}
    assert "holds no certificates" in folder.diagnostic("tls.ca_file").text


@pytest.mark.row("GW-33")
def test_a_private_key_of_another_certificate_is_named_in_the_error(
    folder: ConfigFolder, authority: trustme.CA
) -> None:
    put(folder, authority)
    authority.issue_cert("other.example.com").private_key_pem.write_to_path(where(folder, "own.key"))
    folder.gateway["tls"] = {"certificate_file": "own.pem", "key_file": "own.key"}
    assert "do not make a pair" in folder.diagnostic("tls.certificate_file").text


@pytest.mark.row("GW-33")
def test_a_private_key_without_a_certificate_is_named_in_the_error(folder: ConfigFolder, authority: trustme.CA) -> None:
    put(folder, authority)
    folder.own["routes"] = [{"path": "/a", "to": "https://a", "tls": {"key_file": "own.key"}}]
    assert folder.diagnostic("gateway.routes[0].tls.certificate_file").text.startswith("is missing")


@pytest.mark.row("GW-33")
def test_a_changed_certificate_is_a_changed_configuration(folder: ConfigFolder, authority: trustme.CA) -> None:
    put(folder, authority)
    folder.gateway["tls"] = {"ca_file": "ca.pem"}
    first = folder.load()
    trustme.CA().cert_pem.write_to_path(where(folder, "ca.pem"))
    assert folder.load().fingerprint != first.fingerprint
    assert Path(where(folder, "ca.pem")) in first.files
