"""Tests of the settings of EFCX's otp-manager: how it accepts a code, and where it is."""

from typing import Any

import pytest

from gateway.domain.channel import ChannelKind, OtpManagerService
from tests.fixtures.config_folder import ConfigFolder, to_mend

pytestmark = pytest.mark.row("EF-25", "NX-07")
AT = "tenantSettings.keyCloak.Otp_Manager_Url"


@pytest.fixture
def folder(folder: ConfigFolder) -> ConfigFolder:
    """Returns a tenant whose codes an otp-manager makes."""
    folder.gateway["channels"] = [
        {
            "serviceIdentifier": "otp@example.com",
            "type": "EMAIL",
            "kind": "otp-manager",
            "otp_manager": {"accepted": {"message": "OTP_VERIFIED"}},
        }
    ]
    return folder


def section(folder: ConfigFolder) -> dict[str, Any]:
    found: dict[str, Any] = folder.gateway["channels"][0]["otp_manager"]
    return found


def test_the_channels_kind_decides_that_the_otp_manager_is_asked(folder: ConfigFolder) -> None:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    channel = loaded.configuration.channels["otp@example.com"]
    assert channel.kind is ChannelKind.OTP_MANAGER
    assert isinstance(channel.service, OtpManagerService)
    assert channel.service.accepted == {"message": "OTP_VERIFIED"}
    assert loaded.configuration.tenants[0].keycloak.otp_manager_url == "http://otp:3000/"


@pytest.mark.attack("F8")
def test_a_channel_without_the_positive_answer_is_an_error(folder: ConfigFolder) -> None:
    del section(folder)["accepted"]
    assert "accepted" in folder.diagnostic("channels[0].otp_manager.accepted").path


@pytest.mark.attack("F8")
def test_an_empty_positive_answer_is_an_error(folder: ConfigFolder) -> None:
    section(folder)["accepted"] = {}
    assert folder.diagnostic("channels[0].otp_manager.accepted").text


@pytest.mark.attack("F8")
@pytest.mark.parametrize("word", ["OTP_INVALID", "OTP_EXPIRED", "OTP_MAX_ATTEMPTS"])
def test_a_word_of_rejection_is_no_positive_answer(folder: ConfigFolder, word: str) -> None:
    section(folder)["accepted"] = {"message": word}
    assert "rejects a code" in folder.diagnostic("channels[0].otp_manager.accepted.message").text


def test_a_channel_without_its_section_is_an_error(folder: ConfigFolder) -> None:
    del folder.gateway["channels"][0]["otp_manager"]
    assert folder.diagnostic("channels[0].otp_manager").text.startswith("is missing")


def test_the_address_of_the_otp_manager_is_required_in_every_preset(folder: ConfigFolder) -> None:
    del folder.keycloak["Otp_Manager_Url"]
    folder.two_factor.update(preset="cloudcx", sharedAddress="newest")
    assert folder.diagnostic(AT).text == "is missing: the channel of this tenant asks an otp-manager there"


@pytest.mark.parametrize(
    "url",
    [
        "https://one.example.com/otp-manager/",
        "https://two.example.com/",
        "https://one.example.com:8080/",
        "http://127.0.0.1:8080/",
        "http://localhost:9090/otp/",
        "http://[::1]:8080/",
    ],
)
def test_an_address_that_leads_back_to_this_gateway_is_an_error(folder: ConfigFolder, url: str) -> None:
    folder.another("two")
    folder.keycloak["Otp_Manager_Url"] = url
    assert folder.diagnostic(AT).text.startswith("leads back to this gateway")


@pytest.mark.attack("F8")
def test_an_unprotected_connection_to_another_network_is_an_error(folder: ConfigFolder) -> None:
    folder.keycloak["Otp_Manager_Url"] = "http://otp.example.com/"
    assert "must be https" in folder.diagnostic(AT).text


@pytest.mark.parametrize(
    "url", ["http://ef-cx-otp-manager-svc:3000/", "http://otp.efcx.svc:3000", "http://127.0.0.1:3000/"]
)
def test_the_otp_manager_of_the_cluster_is_accepted(folder: ConfigFolder, url: str) -> None:
    folder.keycloak["Otp_Manager_Url"] = url
    assert to_mend(folder.load()) == []


def test_another_service_on_the_host_of_a_tenant_is_accepted(folder: ConfigFolder) -> None:
    folder.keycloak["Otp_Manager_Url"] = "https://one.example.com:3000/"
    assert to_mend(folder.load()) == []


def test_a_code_of_each_users_own_is_not_possible_for_a_shared_address(folder: ConfigFolder) -> None:
    folder.two_factor["sharedAddress"] = "separate"
    told = folder.diagnostics("tenantSettings.twoFAConfigs.sharedAddress")
    assert any("is not possible" in diagnostic.text for diagnostic in told)


def test_with_kind_smtp_the_address_is_not_used(folder: ConfigFolder) -> None:
    folder.gateway["channels"] = [
        {"serviceIdentifier": "otp@example.com", "type": "EMAIL", "kind": "smtp", "relays": [{"host": "127.0.0.1"}]}
    ]
    folder.keycloak["Otp_Manager_Url"] = "http://127.0.0.1:8080/"
    assert to_mend(folder.load()) == []


# ---------------------------------------------------------------------- the gateway as an otp-manager

SERVER = {"listen": "127.0.0.1:3000", "secret": "0123456789abcdef" * 2, "clients": ["10.0.0.0/8"]}


def server(folder: ConfigFolder, **changes: object) -> ConfigFolder:
    folder.gateway["otp_manager_server"] = {**SERVER, **changes}
    return folder


@pytest.mark.attack("F9")
def test_the_gateway_is_no_otp_manager_unless_it_is_configured(folder: ConfigFolder) -> None:
    loaded = folder.load()
    assert loaded.configuration is not None
    assert loaded.configuration.gateway.otp_manager_server is None


def test_the_listener_of_the_otp_manager_is_configured(folder: ConfigFolder) -> None:
    loaded = server(folder).load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    found = loaded.configuration.gateway.otp_manager_server
    assert found is not None
    assert (found.listen.port, [str(network) for network in found.clients]) == (3000, ["10.0.0.0/8"])


@pytest.mark.attack("F9")
@pytest.mark.parametrize("secret", ["short", "0123456789abcdef" * 2 + "/", "a" * 40, "0123456789abcdef", "a b" * 20])
def test_the_secret_of_the_otp_manager_has_128_bits(folder: ConfigFolder, secret: str) -> None:
    assert "128 random bits" in server(folder, secret=secret).diagnostic("otp_manager_server.secret").text


@pytest.mark.attack("F9")
@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_the_otp_manager_is_not_for_every_client(folder: ConfigFolder, network: str) -> None:
    assert "every client" in server(folder, clients=[network]).diagnostic("otp_manager_server.clients[0]").text


@pytest.mark.attack("F9")
def test_the_clients_of_the_otp_manager_must_be_listed(folder: ConfigFolder) -> None:
    assert server(folder, clients=[]).diagnostic("otp_manager_server.clients").text


@pytest.mark.attack("F9")
@pytest.mark.parametrize("listen", ["127.0.0.1:8080", "127.0.0.1:9090"])
def test_the_otp_manager_has_a_listener_of_its_own(folder: ConfigFolder, listen: str) -> None:
    assert "an address of its own" in server(folder, listen=listen).diagnostic("otp_manager_server.listen").text


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "gateway:3000", "gateway.efcx.svc"])
def test_a_tenant_that_asks_the_gateways_own_otp_manager_is_an_error(folder: ConfigFolder, host: str) -> None:
    server(folder)
    folder.keycloak["Otp_Manager_Url"] = f"http://{host}/{SERVER['secret']}/"
    assert folder.diagnostic(AT).text.startswith("leads back to this gateway")
