"""Tests of the settings of RSA SecurID: EFCX's keys of the tenant, and the channel."""

from typing import Any

import pytest

from gateway.domain.channel import RsaServer, RsaService
from gateway.domain.policy import FactorKind, Method
from gateway.domain.secret import Secret
from gateway.domain.tenant import Tenant
from tests.fixtures.config_folder import ConfigFolder, to_mend

pytestmark = pytest.mark.row("EF-20")
AT = "tenantSettings.keyCloak"
OWN = {
    "RSA_Server_URL": "https://rsa.example.com:5555/",
    "RSA_Client_ID": "gateway.example.com",
    "RSA_Client_Key": "made up key",
}
SERVER = RsaServer("https://rsa.example.com:5555/", "gateway.example.com", Secret("made up key"))
SHARED = {"url": "https://rsa.example.com:5555/", "client_id": "gateway.example.com", "client_key": "made up key"}


@pytest.fixture
def folder(folder: ConfigFolder) -> ConfigFolder:
    """Returns a tenant with RSA, without a server."""
    folder.gateway["channels"].append({"serviceIdentifier": "rsa", "type": "RSA", "kind": "rsa", "rsa": {}})
    folder.two_factor["channelType"] = "RSA"
    folder.two_factor["channelServiceIdentifier"] = ""
    return folder


def rsa(folder: ConfigFolder) -> dict[str, Any]:
    found: dict[str, Any] = folder.gateway["channels"][-1]["rsa"]
    return found


def tenant(folder: ConfigFolder) -> Tenant:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    return loaded.configuration.tenants[0]


def service(folder: ConfigFolder) -> RsaService:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    found = loaded.configuration.channels["rsa"].service
    assert isinstance(found, RsaService)
    return found


def test_the_filled_keys_of_efcx_are_the_tenants_own_server(folder: ConfigFolder) -> None:
    folder.keycloak.update(OWN)
    assert tenant(folder).rsa == SERVER


def test_with_empty_keys_the_server_of_the_channel_counts(folder: ConfigFolder) -> None:
    folder.keycloak.update({key: "" for key in OWN})
    rsa(folder).update(SHARED)
    assert tenant(folder).rsa is None
    assert service(folder).server == SERVER


def test_without_a_service_identifier_the_only_rsa_channel_is_used(folder: ConfigFolder) -> None:
    folder.keycloak.update(OWN)
    assert tenant(folder).policy.methods == (Method(FactorKind.RSA, "rsa"),)


def test_a_tenant_with_rsa_and_without_a_server_is_an_error(folder: ConfigFolder) -> None:
    assert folder.diagnostic(f"{AT}.RSA_Server_URL").text.startswith("is missing: neither this tenant nor the channel")


@pytest.mark.parametrize("key", OWN)
def test_a_tenant_with_a_part_of_the_keys_is_an_error(folder: ConfigFolder, key: str) -> None:
    folder.keycloak.update({**OWN, key: ""})
    assert "belong together" in folder.diagnostic(f"{AT}.{key}").text


def test_a_channel_with_a_part_of_the_keys_is_an_error(folder: ConfigFolder) -> None:
    rsa(folder)["url"] = SHARED["url"]
    assert "belong together" in folder.diagnostic("channels[1].rsa").text


@pytest.mark.attack("F8")
@pytest.mark.parametrize("url", ["http://rsa.example.com:5555/", "http://192.0.2.5/", "http://rsa.svc.example.com/"])
def test_an_unprotected_connection_to_another_network_is_an_error(folder: ConfigFolder, url: str) -> None:
    folder.keycloak.update({**OWN, "RSA_Server_URL": url})
    assert "must be https" in folder.diagnostic(f"{AT}.RSA_Server_URL").text


@pytest.mark.parametrize("url", ["http://127.0.0.1:5555/", "http://rsa:5555", "http://rsa.auth.svc:5555/"])
def test_an_unprotected_connection_inside_the_cluster_is_allowed(folder: ConfigFolder, url: str) -> None:
    folder.keycloak.update({**OWN, "RSA_Server_URL": url})
    assert to_mend(folder.load()) == []


def test_the_bounds_of_a_passcode_must_be_in_order(folder: ConfigFolder) -> None:
    rsa(folder).update({**SHARED, "shortest": 12, "longest": 10})
    assert folder.diagnostic("channels[1].rsa.longest").text == "10 is less than shortest (12)"


def test_the_keys_of_a_tenant_without_rsa_are_not_read(folder: ConfigFolder) -> None:
    folder.two_factor["channelType"] = "APP"
    folder.keycloak.update({"RSA_Server_URL": "not a URL", "RSA_Client_Key": {"env": "NOT_SET"}})
    assert tenant(folder).rsa is None
