"""Tests of channels of kind `sinch`, and of the secret entry that is named as in the vendor's product."""

from typing import Any

import pytest

from gateway.domain.channel import Channel, ChannelKind, ChannelType, SinchAuthentication, SinchService
from gateway.domain.secret import Secret
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder, to_mend

AT = "channels[1].sinch"
NAMED = "secrets.sinch-verification-api"
SECRET = "bWFkZSB1cA=="


@pytest.fixture
def sinch(folder: ConfigFolder) -> dict[str, Any]:
    """Returns the section of a complete channel."""
    section: dict[str, Any] = {
        "endpoint": "https://verification.api.sinch.com",
        "authentication": "application-signed",
        "authentication_id": "key-1",
        "secret": SECRET,
    }
    folder.gateway["channels"].append({"serviceIdentifier": "sinch", "type": "SMS", "kind": "sinch", "sinch": section})
    return section


def built(folder: ConfigFolder, name: str = "sinch") -> Channel:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    return loaded.configuration.channels[name]


@pytest.mark.row("SI-13")
@pytest.mark.parametrize("authentication", ["basic", "application-signed"])
def test_a_channel_has_endpoint_authentication_and_secret(
    folder: ConfigFolder, sinch: dict[str, Any], authentication: str
) -> None:
    sinch.update(authentication=authentication, timeout=4)
    service = built(folder).service
    assert isinstance(service, SinchService)
    assert service.endpoint == "https://verification.api.sinch.com"
    assert (service.authentication, service.key) == (SinchAuthentication(authentication), "key-1")
    assert (service.secret, service.timeout) == (Secret(SECRET), 4)
    assert to_mend(folder.load()) == []


@pytest.mark.row("SI-12")
def test_the_named_secret_replaces_that_of_the_channel(folder: ConfigFolder, sinch: dict[str, Any]) -> None:
    folder.environment["SINCH"] = "bmFtZWQ="
    folder.gateway["secrets"] = {"sinch-verification-api": {"authentication_id": "key-2", "secret": {"env": "SINCH"}}}
    service = built(folder).service
    assert isinstance(service, SinchService)
    assert (service.key, service.secret) == ("key-2", Secret("bmFtZWQ="))
    found = folder.diagnostic(AT)
    assert found.level is Level.HINT
    assert "is not used" in found.text


@pytest.mark.row("SI-12")
def test_the_named_secret_is_enough(folder: ConfigFolder, sinch: dict[str, Any]) -> None:
    del sinch["authentication_id"], sinch["secret"]
    folder.gateway["secrets"] = {"sinch-verification-api": {"authentication_id": "key-2", "secret": SECRET}}
    service = built(folder).service
    assert isinstance(service, SinchService)
    assert service.key == "key-2"
    assert to_mend(folder.load()) == []


@pytest.mark.row("SI-15")
@pytest.mark.parametrize("key", ["endpoint", "authentication", "authentication_id", "secret"])
def test_a_channel_that_lacks_a_part_is_refused_and_the_part_is_named(
    folder: ConfigFolder, sinch: dict[str, Any], key: str
) -> None:
    del sinch[key]
    found = folder.diagnostic(f"{AT}.{key}")
    assert found.level is Level.ERROR
    assert found.text.startswith("is missing: write ")


@pytest.mark.row("SI-15")
def test_everything_that_is_missing_is_named_at_once(folder: ConfigFolder, sinch: dict[str, Any]) -> None:
    sinch.clear()
    assert {f.path for f in folder.load().errors} >= {
        f"{AT}.{key}" for key in ("endpoint", "authentication", "authentication_id", "secret")
    }


@pytest.mark.row("SI-15")
def test_a_channel_without_its_section_is_refused(folder: ConfigFolder, sinch: dict[str, Any]) -> None:
    del folder.gateway["channels"][1]["sinch"]
    assert "needs it" in folder.diagnostic(AT).text


@pytest.mark.row("SI-15")
@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("endpoint", "verification.api.sinch.com", "must be an address without a path"),
        ("endpoint", "https://verification.api.sinch.com/verification/v1", "must be an address without a path"),
        ("endpoint", "ftp://verification.api.sinch.com", "must be an address without a path"),
        ("authentication", "public", "allowed: basic or application-signed"),
        ("authentication_id", "a:b", "must be the key of an app"),
        ("secret", "not base 64!", "must be Base64"),
        ("secret", {"env": "MISSING"}, "is not set"),
    ],
)
def test_a_part_that_cannot_be_used_is_refused(
    folder: ConfigFolder, sinch: dict[str, Any], key: str, value: object, text: str
) -> None:
    sinch[key] = value
    assert text in folder.diagnostic(f"{AT}.{key}").text


def test_a_secret_that_cannot_be_used_is_not_shown(folder: ConfigFolder, sinch: dict[str, Any]) -> None:
    sinch["secret"] = "not base 64!"
    assert "not base 64" not in str([str(f) for f in folder.load().diagnostics])


def test_for_basic_the_secret_may_be_any_text(folder: ConfigFolder, sinch: dict[str, Any]) -> None:
    sinch.update(authentication="basic", secret="not base 64!")
    assert built(folder).service


@pytest.mark.row("SI-15")
def test_a_named_secret_that_cannot_be_used_is_refused_at_its_place(
    folder: ConfigFolder, sinch: dict[str, Any]
) -> None:
    folder.gateway["secrets"] = {"sinch-verification-api": {"authentication_id": "key-2", "secret": "?"}}
    assert "must be Base64" in folder.diagnostic(f"{NAMED}.secret").text


@pytest.mark.parametrize(
    ("host", "levels"), [("sinch.example.com", [Level.ERROR]), ("sinch-proxy", [Level.HINT]), ("127.0.0.1:8085", [])]
)
def test_an_endpoint_without_tls_is_for_private_networks(
    folder: ConfigFolder, sinch: dict[str, Any], host: str, levels: list[Level]
) -> None:
    sinch["endpoint"] = f"http://{host}"
    assert [f.level for f in folder.diagnostics(f"{AT}.endpoint")] == levels


@pytest.mark.row("SI-13")
def test_mail_has_the_sender_of_its_channel_and_uses_the_relays(folder: ConfigFolder) -> None:
    folder.gateway["channels"][0].update(kind="sinch", **{"from": "codes@cc.example", "from_name": "Contact Centre"})
    found = built(folder, "otp@example.com")
    assert (found.type, found.kind, found.service) == (ChannelType.EMAIL, ChannelKind.SINCH, None)
    assert (found.sender, found.sender_name) == ("codes@cc.example", "Contact Centre")
    assert len(found.relays) == 1


@pytest.mark.row("SI-15")
def test_mail_without_relays_is_refused(folder: ConfigFolder) -> None:
    folder.gateway["channels"][0].update(kind="sinch", relays=[])
    assert "at least one SMTP server" in folder.diagnostic("channels[0].relays").text


def test_the_section_is_refused_where_it_is_of_no_use(folder: ConfigFolder, sinch: dict[str, Any]) -> None:
    folder.gateway["channels"][0]["sinch"] = sinch
    assert folder.diagnostic("channels[0].sinch").text == "is not for EMAIL by smtp: leave it out"
