"""Tests of the section `sms_http:` of a channel."""

from typing import Any

import pytest

from gateway.domain.channel import ChannelKind
from gateway.domain.secret import Secret
from gateway.domain.sms_gateway import HttpMethod, SmsGateway, Success
from gateway.settings.files.sms_http import headers_of
from gateway.settings.source.diagnostics import Level
from tests.fixtures.config_folder import ConfigFolder, to_mend

AT = "channels[1].sms_http"
JSON = [{"name": "Content-Type", "value": "application/json"}]


@pytest.fixture
def section(folder: ConfigFolder) -> dict[str, Any]:
    """Returns the section of a tenant that sends texts."""
    section: dict[str, Any] = {
        "url": "https://sms.example.com/send",
        "headers": list(JSON),
        "body": '{"to": "{number}", "text": "{text}"}',
        "success": {"json": {"status": "ok"}},
    }
    channel = {"serviceIdentifier": "sms", "type": "SMS", "kind": "sms-http", "sms_http": section}
    folder.gateway["channels"].append(channel)
    folder.two_factor.update(channelType="SMS", channelServiceIdentifier="sms")
    folder.tenants["one.json"]["gateway"] = {"phone_numbers": {"region": "pk"}}
    return section


def built(folder: ConfigFolder) -> SmsGateway:
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    service = loaded.configuration.channels["sms"].service
    assert isinstance(service, SmsGateway)
    return service


@pytest.mark.row("EF-20", "GE-07", "GE-08", "GE-09", "GE-10", "GE-11", "GE-12", "GE-29")
def test_a_tenant_may_send_codes_through_an_sms_gateway(folder: ConfigFolder, section: dict[str, Any]) -> None:
    folder.environment["SMS_PASSWORD"] = "made up"
    section.update(
        method="PUT",
        body='{"to": "{number}", "from": "{sender}", "text": "{text}"}',
        timeout_ms=2500,
        plus_symbol=False,
        sender="EFCX",
        username="efcx",
        password={"env": "SMS_PASSWORD"},
        price=0.05,
        success={"status": [200, 202], "json": {"messages.0.status": ["0", 0], "ok": True}},
    )
    service = built(folder)
    assert (service.method, service.timeout, service.plus_symbol) == (HttpMethod.PUT, 2.5, False)
    assert (service.sender, service.username, service.password) == ("EFCX", "efcx", Secret("made up"))
    assert service.success == Success((200, 202), {"messages.0.status": ("0", 0), "ok": True})
    assert service.headers == (("Content-Type", "application/json"),)
    assert to_mend(folder.load()) == []


@pytest.mark.row("GE-09")
@pytest.mark.parametrize(
    ("written", "headers"),
    [
        ('"Name1:Value1", "Name2:Value2"', (("Name1", "Value1"), ("Name2", "Value2"))),
        ('"Content-Type:application/json"', (("Content-Type", "application/json"),)),
        ('"X-Time:10:42","X-List:a, b"', (("X-Time", "10:42"), ("X-List", "a, b"))),
        ("", ()),
        ("   ", ()),
    ],
)
def test_headers_may_be_written_as_genesys_does(written: str, headers: tuple[tuple[str, str], ...]) -> None:
    assert headers_of(written) == headers


@pytest.mark.row("GE-09")
@pytest.mark.parametrize("written", ["Name:Value", '"Name"', '"Name:Value" "B:c"', '"Name:Value",', '"Name:Va"lue"'])
def test_headers_in_another_form_are_refused(folder: ConfigFolder, section: dict[str, Any], written: str) -> None:
    section["headers"] = written
    assert "must be a list of name and value" in folder.diagnostic(f"{AT}.headers").text


@pytest.mark.row("GE-09")
def test_the_headers_of_genesys_are_those_of_the_request(folder: ConfigFolder, section: dict[str, Any]) -> None:
    section["headers"] = '"Content-Type:application/json", "X-Api:1"'
    assert built(folder).headers == (("Content-Type", "application/json"), ("X-Api", "1"))


@pytest.mark.row("GE-10")
def test_the_body_may_be_blank(folder: ConfigFolder, section: dict[str, Any]) -> None:
    section.update(method="GET", url="https://sms.example.com/send?to={number}&text={text}", headers="", body="")
    assert built(folder).body == ""
    assert to_mend(folder.load()) == []


@pytest.mark.parametrize(
    ("key", "value", "at", "words"),
    [
        ("body", '{"to": {number}, "text": "{text}"}', "body", "is no JSON; write each value in quotes"),
        ("body", '{"text": "{text}"}', "body", "has no {number}"),
        ("body", "", "body", "has no {number} or {text}"),
        ("headers", [], "headers", "need Content-Type"),
        ("headers", [*JSON, {"name": "X-Text", "value": "{text}"}], "headers", "X-Text cannot have {text}"),
        ("headers", [*JSON, {"name": "Bad Name", "value": "1"}], "headers", "'Bad Name' is no name of a header"),
        ("headers", [*JSON, {"name": "Host", "value": "x"}], "headers", "Host is written by the gateway itself"),
        ("headers", [*JSON, {"name": "X", "value": "a\nb"}], "headers[1].value", "must be one line"),
        ("headers", [*JSON, *JSON], "headers", "Content-Type is given twice"),
        ("url", "http://sms.example.com/send", "url", "must be https: http sends codes and passwords"),
        ("url", "http://1.1.1.1/send", "url", "must be https"),
        ("url", "https://{sender}/send", "url", "must be an address"),
        ("url", "https://user:pw@sms.example.com/", "url", "must be an address"),
        ("url", "https://sms.example.com/#x", "url", "must be an address"),
        ("url", "ftp://sms.example.com/", "url", "must be an address"),
        ("url", "https://sms.example.com/a b", "url", "must be an address"),
        ("method", "DELETE", "method", "allowed: POST, GET or PUT"),
        ("method", "GET", "body", "is not sent with GET"),
        ("sender", "EFCX", "sender", "is not used: no template has {sender}"),
        ("username", "efcx", "", "username and password belong together"),
        ("token", {"env": "NOT_SET"}, "token", "NOT_SET is not set"),
        ("success", {"status": [302]}, "success.status[0]", "299"),
        ("timeout_ms", 0, "timeout_ms", "1"),
        ("price", -1, "price", "0"),
    ],
)
def test_each_mistake_is_named_with_its_remedy(
    folder: ConfigFolder, section: dict[str, Any], key: str, value: object, at: str, words: str
) -> None:
    section[key] = value
    diagnostic = folder.diagnostic(f"{AT}.{at}".rstrip("."))
    assert words in diagnostic.text
    assert diagnostic.level is Level.ERROR


def test_a_value_of_a_template_must_be_given(folder: ConfigFolder, section: dict[str, Any]) -> None:
    section["url"] = "https://sms.example.com/send?key={token}"
    assert folder.diagnostic(f"{AT}.token").text == "is missing: a template has {token}"


def test_one_authorization_is_sent(folder: ConfigFolder, section: dict[str, Any]) -> None:
    section.update(username="efcx", password="made up", token="made up as well")
    assert "would send the header Authorization twice" in folder.diagnostic(f"{AT}.password").text


@pytest.mark.parametrize("url", ["http://sms-gateway:8080/send", "http://sms.tools.svc.cluster.local/send"])
def test_http_inside_a_private_network_is_a_hint(folder: ConfigFolder, section: dict[str, Any], url: str) -> None:
    section["url"] = url
    assert folder.diagnostic(f"{AT}.url").level is Level.HINT


def test_http_on_this_machine_needs_no_remark(folder: ConfigFolder, section: dict[str, Any]) -> None:
    section["url"] = "http://127.0.0.1:8080/send"
    assert f"{AT}.url" not in {one.path for one in folder.load().diagnostics}


def test_a_success_by_status_alone_is_pointed_out(folder: ConfigFolder, section: dict[str, Any]) -> None:
    del section["success"]
    assert folder.diagnostic(f"{AT}.success").level is Level.HINT


def test_keys_of_mail_are_refused_at_a_channel_for_texts(folder: ConfigFolder, section: dict[str, Any]) -> None:
    folder.gateway["channels"][1]["from"] = "otp@example.com"
    assert "are for mail" in folder.diagnostic(AT).text


def test_a_channel_for_texts_without_its_section_is_refused(folder: ConfigFolder, section: dict[str, Any]) -> None:
    del folder.gateway["channels"][1]["sms_http"]
    assert "is missing: a channel of kind sms-http needs it" in folder.diagnostic(AT).text


def test_the_section_is_refused_at_a_channel_of_another_kind(folder: ConfigFolder, section: dict[str, Any]) -> None:
    folder.gateway["channels"][0]["sms_http"] = section
    assert "is not for EMAIL by smtp" in folder.diagnostic("channels[0].sms_http").text


def test_a_channel_for_texts_has_its_own_kind(folder: ConfigFolder, section: dict[str, Any]) -> None:
    loaded = folder.load()
    assert loaded.configuration
    assert loaded.configuration.channels["sms"].kind is ChannelKind.SMS_HTTP


@pytest.mark.parametrize(
    ("numbers", "at", "words"),
    [
        ({}, "countries", "is missing: name the countries"),
        ({"region": "ZZ"}, "region", "ZZ is no country"),
        ({"region": "Pakistan"}, "region", "must be a country of two letters"),
        ({"countries": ["PK", "XX"]}, "countries", "XX is no country"),
    ],
)
def test_a_tenant_that_sends_texts_names_the_countries(
    folder: ConfigFolder, section: dict[str, Any], numbers: dict[str, Any], at: str, words: str
) -> None:
    folder.tenants["one.json"]["gateway"]["phone_numbers"] = numbers
    assert words in folder.diagnostic(f"gateway.phone_numbers.{at}").text


@pytest.mark.row("SI-11")
def test_the_attribute_with_the_number_is_read_only_where_texts_are_sent(
    folder: ConfigFolder, section: dict[str, Any]
) -> None:
    folder.tenants["one.json"]["gateway"]["phone_numbers"]["attribute"] = "mobile"
    loaded = folder.load()
    assert loaded.configuration
    assert loaded.configuration.tenants[0].keycloak.phone_attribute == "mobile"
    folder.two_factor.update(channelType="EMAIL", channelServiceIdentifier="otp@example.com")
    loaded = folder.load()
    assert loaded.configuration
    assert loaded.configuration.tenants[0].keycloak.phone_attribute == ""
