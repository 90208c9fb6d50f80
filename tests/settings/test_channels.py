"""Tests of `channels:` in the gateway file."""

from typing import Any

import pytest

from gateway.delivery.smtp import Message, compose
from gateway.domain.channel import Channel, ChannelKind, ChannelType, MailSecurity, Relay
from gateway.domain.secret import Secret
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder, to_mend


def first(folder: ConfigFolder) -> dict[str, Any]:
    found: dict[str, Any] = folder.gateway["channels"][0]
    return found


def channel(folder: ConfigFolder) -> Channel:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    return loaded.configuration.channels["otp@example.com"]


def test_a_mail_channel_has_secure_defaults(folder: ConfigFolder) -> None:
    assert channel(folder) == Channel(
        "otp@example.com",
        ChannelType.EMAIL,
        ChannelKind.SMTP,
        sender="otp@example.com",
        relays=(Relay("smtp.example.com", 587, MailSecurity.STARTTLS),),
    )


@pytest.mark.row("GE-06")
@pytest.mark.parametrize(("security", "port"), [("starttls", 587), ("tls", 465), ("none", 25)])
def test_the_default_port_follows_the_tls_mode(folder: ConfigFolder, security: str, port: int) -> None:
    first(folder)["relays"][0]["security"] = security
    assert channel(folder).relays[0].port == port


def test_relays_keep_their_order_and_credentials(folder: ConfigFolder) -> None:
    folder.environment["SMTP"] = "made up"
    first(folder)["relays"] = [
        {"host": "a.example.com", "port": 2525, "username": "otp", "password": {"env": "SMTP"}, "timeout": 3},
        {"host": "b.example.com"},
    ]
    relays = channel(folder).relays
    assert [r.host for r in relays] == ["a.example.com", "b.example.com"]
    assert (relays[0].username, relays[0].password, relays[0].timeout) == ("otp", Secret("made up"), 3)


@pytest.mark.parametrize("host", ["mail_relay", "mail_relay.internal", "2001:db8::25", "192.0.2.25"])
def test_a_relay_may_have_any_name_or_address_that_the_gateway_alone_resolves(folder: ConfigFolder, host: str) -> None:
    folder.gateway["channels"][0]["relays"] = [{"host": host}]
    assert to_mend(folder.load()) == []


@pytest.mark.parametrize("host", ["smtp://mail.example.com", "mail.example.com:25", "[::1]", "mail example.com", ""])
def test_a_relay_that_is_more_than_a_host_is_refused(folder: ConfigFolder, host: str) -> None:
    folder.gateway["channels"][0]["relays"] = [{"host": host}]
    assert "must be a host name or address alone" in folder.diagnostic("channels[0].relays[0].host").text


def test_a_service_identifier_identifies_one_channel(folder: ConfigFolder) -> None:
    folder.gateway["channels"].append(dict(first(folder)))
    assert "is configured twice" in folder.diagnostic("channels[1].serviceIdentifier").text


@pytest.mark.parametrize("kind", ["SMS", "RSA", "APP"])
def test_a_channel_kind_must_fit_the_channel_type(folder: ConfigFolder, kind: str) -> None:
    first(folder)["type"] = kind
    assert folder.diagnostic("channels[0].kind").text.startswith(f"smtp does not serve {kind}")


def test_for_an_unknown_channel_kind_the_error_lists_the_known_ones(folder: ConfigFolder) -> None:
    first(folder)["kind"] = "pigeon"
    assert "'pigeon' is not known; allowed: smtp" in folder.diagnostic("channels[0].kind").text


def test_a_channel_whose_identifier_is_no_address_needs_a_sender(folder: ConfigFolder) -> None:
    first(folder)["serviceIdentifier"] = "mail-1"
    folder.two_factor["channelServiceIdentifier"] = "mail-1"
    assert folder.diagnostic("channels[0].from").text.startswith("is missing")


@pytest.mark.parametrize("sender", ["x", "a@b@c", "A <a@example.com>", "a@b.com,b@b.com", "a@example.com\n"])
def test_the_sender_must_be_one_mail_address(folder: ConfigFolder, sender: str) -> None:
    first(folder)["from"] = sender
    assert "must be one mail address" in folder.diagnostic("channels[0].from").text


@pytest.mark.parametrize(
    ("sender", "sent"),
    [
        ("otp@bücher.example", "otp@xn--bcher-kva.example"),
        ("otp@xn--bcher-kva.example", "otp@xn--bcher-kva.example"),
        ("otp@mail.corp.local", "otp@mail.corp.local"),
        ("otp@mailhost", "otp@mailhost"),
    ],
)
def test_the_sender_is_written_as_mails_carry_it(folder: ConfigFolder, sender: str, sent: str) -> None:
    first(folder)["from"] = sender
    found = channel(folder)
    assert found.sender == sent
    message = Message("anna@cc.example", "Code", "t", "h", "en", "")
    assert sent.encode() in compose(message, sender=found.sender, sender_name="Büro", now=0, unique="u")


def test_a_sender_whose_local_part_is_not_ascii_is_refused(folder: ConfigFolder) -> None:
    first(folder)["from"] = "büro@example.com"
    assert "must be one mail address" in folder.diagnostic("channels[0].from").text


@pytest.mark.parametrize("key", ["from_name", "subject"])
def test_header_texts_must_be_one_line(folder: ConfigFolder, key: str) -> None:
    first(folder)[key] = "a\r\nBcc: b@example.com"
    assert "one line" in folder.diagnostic(f"channels[0].{key}").text


def test_a_channel_without_relays_is_an_error(folder: ConfigFolder) -> None:
    first(folder)["relays"] = []
    assert "at least one SMTP server" in folder.diagnostic("channels[0].relays").text


def test_username_and_password_must_be_set_together(folder: ConfigFolder) -> None:
    first(folder)["relays"][0]["username"] = "otp"
    assert "belong together" in folder.diagnostic("channels[0].relays[0]").text


@pytest.mark.parametrize(("more", "level"), [({}, Level.HINT), ({"username": "a", "password": "b"}, Level.WARNING)])
def test_mail_without_tls_is_a_warning(folder: ConfigFolder, more: dict[str, str], level: Level) -> None:
    first(folder)["relays"][0].update(security="none", **more)
    assert folder.diagnostic("channels[0].relays[0].security").level is level


def test_mail_without_tls_to_a_relay_on_this_machine_is_no_fault(folder: ConfigFolder) -> None:
    first(folder)["relays"][0].update(security="none", host="127.0.0.1", port=2525)
    assert to_mend(folder.load()) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("kind", "otp-manager"),
        ("kind", "smpt"),
        ("type", "SMS"),
        ("rate", 0),
        ("relays", [{"host": "x", "port": "25"}]),
    ],
)
def test_a_channel_with_a_fault_is_not_reported_as_missing_at_its_tenant(
    folder: ConfigFolder, key: str, value: object
) -> None:
    first(folder)[key] = value
    assert {f.path.partition("[")[0] for f in folder.load().errors} == {"channels"}


def test_channels_that_are_not_a_list_are_one_fault(folder: ConfigFolder) -> None:
    folder.gateway["channels"] = None
    assert [f.path for f in folder.load().errors] == ["channels"]


def test_an_undefined_channel_is_reported_although_another_has_a_fault(folder: ConfigFolder) -> None:
    folder.gateway["channels"].append({**first(folder), "serviceIdentifier": "other@example.com", "rate": 0})
    folder.two_factor["channelServiceIdentifier"] = "third@example.com"
    assert "names no channel" in folder.diagnostic("tenantSettings.twoFAConfigs.channelServiceIdentifier").text


def test_a_service_identifier_must_be_one_line(folder: ConfigFolder) -> None:
    first(folder)["serviceIdentifier"] = "otp@example.com\nBcc: x"
    assert "one line" in folder.diagnostic("channels[0].serviceIdentifier").text
