"""Tests of texts sent through an SMS gateway that is called by HTTP."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

import pytest

from gateway.delivery.http_calls import HttpCalls, NoAnswer
from gateway.delivery.sms_http import FORM, authorized, send
from gateway.domain.secret import Secret
from gateway.domain.sms_gateway import HttpMethod, SmsGateway, Success
from tests.fixtures.http_service import ODD_BODIES, HttpServer, Received, Reply, http_server, never, says

NUMBER = "+491701234567"
TEXT = "123456 is your sign-in code.\n\n@cc.example #123456"
JSON_BODY = '{"to": "{number}", "from": "{sender}", "text": "{text}"}'
HOSTILE = [
    '"',
    '","to":"+19005550100","x":"',
    "\\",
    "\\u0022",
    "{number}",
    "{password}",
    "&to=%2B19005550100",
    "a=b;c=d+e%20f",
    "\r\nX-Injected: yes",
    "?to=1#x",
    "/../admin",
    "]]></text><to>+19005550100</to>",
    "<!ENTITY x SYSTEM 'file:///etc/passwd'>&x;",
    "\N{LINE SEPARATOR}\N{RIGHT-TO-LEFT OVERRIDE}'",
    "رمز",
    "\N{GRINNING FACE}",
]
"""Values that end a JSON string, a form field, a part of a URL or an element where they are written as they are."""


def json_gateway(server: HttpServer) -> SmsGateway:
    return SmsGateway(url=f"{server.url}/send", headers=(("Content-Type", "application/json"),), body=JSON_BODY)


@pytest.fixture
async def calls() -> AsyncIterator[HttpCalls]:
    """Yields the calls of one process."""
    made = HttpCalls()
    yield made
    await made.close()


def accepts(_: Received) -> Reply:
    return says({"status": "accepted"})


@pytest.mark.row("EF-20", "GE-07", "GE-08", "GE-09", "GE-10")
async def test_the_request_has_method_url_headers_and_body_of_the_settings(calls: HttpCalls) -> None:
    async with http_server(accepts) as server:
        gateway = replace(
            json_gateway(server),
            method=HttpMethod.PUT,
            url=f"{server.url}/v1/send?from={{sender}}",
            headers=(("Content-Type", "application/json"), ("X-To", "{number}")),
            sender="EFCX",
        )
        assert await send(calls, gateway, NUMBER, TEXT) is None
    [request] = server.requests
    assert (request.method, request.target) == ("PUT", "/v1/send?from=EFCX")
    assert (request.headers["Content-Type"], request.headers["X-To"]) == ("application/json", NUMBER)
    assert request.body == (
        b'{"to": "+491701234567", "from": "EFCX", "text": "123456 is your sign-in code.\\n\\n@cc.example #123456"}'
    )


@pytest.mark.row("GE-12")
@pytest.mark.parametrize(("plus_symbol", "number"), [(True, "+491701234567"), (False, "491701234567")])
async def test_the_plus_symbol_before_the_number_is_a_setting(calls: HttpCalls, plus_symbol: bool, number: str) -> None:
    async with http_server(accepts) as server:
        await send(calls, replace(json_gateway(server), plus_symbol=plus_symbol), NUMBER, TEXT)
    assert server.requests[0].json()["to"] == number


@pytest.mark.row("GE-29")
async def test_the_sender_of_a_text_is_a_setting(calls: HttpCalls) -> None:
    async with http_server(accepts) as server:
        await send(calls, replace(json_gateway(server), sender="+4915550000"), NUMBER, TEXT)
    assert server.requests[0].json()["from"] == "+4915550000"


@pytest.mark.row("GE-11")
async def test_a_gateway_that_does_not_answer_in_time_is_an_unknown_ending(calls: HttpCalls) -> None:
    async with http_server(lambda _: never()) as server:
        found = await send(calls, replace(json_gateway(server), timeout=0.2), NUMBER, TEXT)
    assert found == NoAnswer("no response within 0.2 s", unknown=True)


async def test_a_gateway_that_is_down_is_a_known_ending(calls: HttpCalls) -> None:
    async with http_server(accepts) as server:
        gateway = json_gateway(server)
    found = await send(calls, gateway, NUMBER, TEXT)
    assert found
    assert not found.unknown


@pytest.mark.parametrize(
    ("changes", "header"),
    [
        ({"username": "efcx", "password": Secret("pä:ss")}, "Basic ZWZjeDpww6Q6c3M="),
        ({"token": Secret("t0ken")}, "Bearer t0ken"),
        ({}, None),
    ],
    ids=["basic", "token", "none"],
)
async def test_the_account_is_sent_as_authorization(
    calls: HttpCalls, changes: dict[str, object], header: str | None
) -> None:
    async with http_server(accepts) as server:
        gateway = authorized(replace(json_gateway(server), **changes))  # type: ignore[arg-type]
        await send(calls, gateway, NUMBER, TEXT)
    assert server.requests[0].headers.get("Authorization") == header


async def test_secrets_in_a_template_replace_the_authorization(calls: HttpCalls) -> None:
    async with http_server(accepts) as server:
        gateway = replace(
            json_gateway(server),
            url=f"{server.url}/?key={{token}}",
            body='{"u": "{username}", "p": "{password}", "t": "{text}", "n": "{number}"}',
            username="efcx",
            password=Secret('p"a'),
            token=Secret("a&b"),
        )
        await send(calls, authorized(gateway), NUMBER, TEXT)
    [request] = server.requests
    assert "Authorization" not in request.headers
    assert (request.target, request.json()["p"]) == ("/?key=a%26b", 'p"a')


@pytest.mark.parametrize("value", HOSTILE)
async def test_no_value_can_end_a_json_string(calls: HttpCalls, value: str) -> None:
    async with http_server(accepts) as server:
        await send(calls, replace(json_gateway(server), sender=value), NUMBER, value)
    assert json.loads(server.requests[0].body) == {"to": NUMBER, "from": value, "text": value}


@pytest.mark.parametrize("value", HOSTILE)
async def test_no_value_can_end_a_form_field(calls: HttpCalls, value: str) -> None:
    async with http_server(accepts) as server:
        gateway = replace(
            json_gateway(server),
            headers=(("Content-Type", f"{FORM}; charset=utf-8"),),
            body="To={number}&From={sender}&Body={text}",
            sender=value,
        )
        await send(calls, gateway, NUMBER, value)
    fields = parse_qsl(server.requests[0].body.decode(), keep_blank_values=True, strict_parsing=True)
    assert fields == [("To", NUMBER), ("From", value), ("Body", value)]


@pytest.mark.parametrize("value", HOSTILE)
async def test_no_value_can_end_a_part_of_the_url(calls: HttpCalls, value: str) -> None:
    async with http_server(accepts) as server:
        gateway = SmsGateway(
            method=HttpMethod.GET, url=f"{server.url}/{{sender}}/send?to={{number}}&text={{text}}", sender=value
        )
        await send(calls, gateway, NUMBER, value)
    url = urlsplit(server.requests[0].target)
    assert url.path.count("/") == 2
    assert parse_qsl(url.query, strict_parsing=True) == [("to", NUMBER), ("text", value)]


@pytest.mark.parametrize("value", [one for one in HOSTILE if one.isprintable()])
async def test_no_value_can_end_an_xml_element(calls: HttpCalls, value: str) -> None:
    async with http_server(accepts) as server:
        body = '<?xml version="1.0" encoding="ISO-8859-1"?><sms to="{number}" from="{sender}"><text>{text}</text></sms>'
        gateway = replace(json_gateway(server), headers=(("Content-Type", "application/xml"),), body=body, sender=value)
        await send(calls, gateway, NUMBER, value)
    root = ElementTree.fromstring(server.requests[0].body)
    assert root.attrib == {"to": NUMBER, "from": value}
    assert [(child.tag, child.text) for child in root] == [("text", value)]


async def test_no_value_can_begin_another_line_of_plain_text(calls: HttpCalls) -> None:
    async with http_server(accepts) as server:
        gateway = replace(
            json_gateway(server), headers=(("Content-Type", "text/plain"),), body="to={number}\ntext={text}\nend=1"
        )
        await send(calls, gateway, NUMBER, "a\nto=+19005550100")
    assert server.requests[0].body == b"to=+491701234567\ntext=a to=+19005550100\nend=1"


async def test_a_text_at_the_end_of_plain_text_keeps_its_lines(calls: HttpCalls) -> None:
    async with http_server(accepts) as server:
        gateway = replace(json_gateway(server), headers=(("Content-Type", "text/plain"),), body="{number}\n{text}")
        await send(calls, gateway, NUMBER, TEXT)
    assert server.requests[0].body.decode() == f"{NUMBER}\n{TEXT}"


async def test_no_value_can_begin_another_header(calls: HttpCalls) -> None:
    async with http_server(accepts) as server:
        gateway = replace(json_gateway(server), headers=(("X-From", "{sender}"),), sender="a\r\nX-Injected: yes")
        found = await send(calls, gateway, NUMBER, TEXT)
    assert isinstance(found, NoAnswer)
    assert server.requests == []


@pytest.mark.parametrize(
    ("rule", "body", "status", "sent"),
    [
        (Success(), b"whatever", 202, True),
        (Success(), b"whatever", 301, False),
        (Success(), b"whatever", 500, False),
        (Success(status=(201,)), b"", 201, True),
        (Success(status=(201,)), b"", 200, False),
        (Success(json={"status": "queued"}), b'{"status":"queued"}', 200, True),
        (Success(json={"status": "queued"}), b'{"status":"failed"}', 200, False),
        (Success(json={"status": "queued"}), b'{"status":"queued"}', 400, False),
        (Success(json={"status": ("queued", "sent")}), b'{"status":"sent"}', 200, True),
        (Success(json={"messages.0.status": "0"}), b'{"messages":[{"status":"0"}]}', 200, True),
        (Success(json={"messages.0.status": "0"}), b'{"messages":[{"status":0}]}', 200, False),
        (Success(json={"messages.0.status": "0"}), b'{"messages":[]}', 200, False),
        (Success(json={"messages.0.status": "0"}), b'{"messages":{"0":"0"}}', 200, False),
        (Success(json={"ok": True}), b'{"ok":true}', 200, True),
        (Success(json={"ok": True}), b'{"ok":1}', 200, False),
        (Success(json={"error": None}), b'{"error":null}', 200, True),
        (Success(json={"error": None}), b"{}", 200, False),
        (Success(json={"a": 1, "b": 2}), b'{"a":1,"b":3}', 200, False),
        (Success(starts_with="ID:"), b"ID: 4711", 200, True),
        (Success(starts_with="ID:"), b"ERR: no ID: 4711", 200, False),
    ],
)
async def test_only_a_response_that_matches_means_sent(
    calls: HttpCalls, rule: Success, body: bytes, status: int, sent: bool
) -> None:
    async with http_server(lambda _: says(body, status)) as server:
        found = await send(calls, replace(json_gateway(server), success=rule), NUMBER, TEXT)
    assert (found is None) is sent


@pytest.mark.attack("F8")
@pytest.mark.parametrize(
    "rule", [Success(json={"status": "accepted"}), Success(starts_with="ID:")], ids=["json", "text"]
)
async def test_no_odd_response_with_status_200_means_sent(calls: HttpCalls, rule: Success) -> None:
    own = (b'{"Status":"accepted"}', b'{"status":["accepted"]}', b'[{"status":"accepted"}]', b" ID: 1", b"id: 1")
    odd = (*ODD_BODIES, *own)
    bodies = iter(odd)
    async with http_server(lambda _: says(next(bodies))) as server:
        gateway = replace(json_gateway(server), success=rule)
        found = [await send(calls, gateway, NUMBER, TEXT) for _ in odd]
    assert all(found)
    assert len(server.requests) == len(odd) >= 40
