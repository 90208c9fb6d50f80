"""Tests of the SMS gateways in the guide: each request byte for byte, at a server that answers as its vendor says."""

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from gateway.delivery.http_calls import HttpCalls
from gateway.delivery.sms_http import send
from gateway.domain.sms_gateway import SmsGateway
from tests.fixtures.config_folder import ConfigFolder
from tests.fixtures.http_service import HttpServer, http_server, says
from tests.test_docs import fences

GUIDE = Path(__file__).parents[2] / "docs" / "sms.md"
SAMPLES = [
    found["channels"][0]
    for text in fences(GUIDE, "yaml")
    if text.startswith("# config/gateway.yaml")
    for found in [YAML(typ="safe").load(text)]
]
GENERIC, TWILIO, VONAGE = range(3)
SECRETS = {"SMS_TOKEN": "t0ken", "TWILIO_AUTH_TOKEN": "tw1l10", "VONAGE_API_SECRET": "v&nage"}
NUMBER = "+923001234567"
TEXT = "123456 is your sign-in code for R&D. Don't share it.\n\n@cc.example #123456"
ARABIC = "رمز: 1"


@pytest.fixture
async def calls() -> AsyncIterator[HttpCalls]:
    """Yields the calls of one process."""
    made = HttpCalls()
    yield made
    await made.close()


def sample(folder: ConfigFolder, number: int, server: HttpServer) -> SmsGateway:
    """Returns a gateway of the guide as the settings make it, at `server`."""
    folder.environment |= SECRETS
    folder.gateway["channels"].append(SAMPLES[number])
    loaded = folder.load()
    assert loaded.configuration is not None, [str(f) for f in loaded.errors]
    gateway = loaded.configuration.channels["sms"].service
    assert isinstance(gateway, SmsGateway)
    parts = urlsplit(gateway.url)
    return replace(gateway, url=gateway.url.replace(f"{parts.scheme}://{parts.netloc}", server.url))


async def test_the_sample_of_a_json_api(folder: ConfigFolder, calls: HttpCalls) -> None:
    async with http_server(lambda _: says({"id": "1", "status": "accepted"}, status=202)) as server:
        assert await send(calls, sample(folder, GENERIC, server), NUMBER, TEXT) is None
    [request] = server.requests
    assert (request.method, request.target) == ("POST", "/v1/messages")
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Authorization"] == "Bearer t0ken"
    assert request.body == (
        b'{"to": "+923001234567", "from": "Expertflow", "text": "123456 is your sign-in code for R&D. Don\'t share it.'
        b'\\n\\n@cc.example #123456"}'
    )


async def test_the_sample_of_twilio(folder: ConfigFolder, calls: HttpCalls) -> None:
    answer: Mapping[str, Any] = {"sid": "SM1", "status": "queued", "error_code": None, "to": NUMBER}
    async with http_server(lambda _: says(answer, status=201)) as server:
        assert await send(calls, sample(folder, TWILIO, server), NUMBER, TEXT) is None
    [request] = server.requests
    account = "AC00000000000000000000000000000000"
    assert (request.method, request.target) == ("POST", f"/2010-04-01/Accounts/{account}/Messages.json")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Authorization"] == f"Basic {base64.b64encode(f'{account}:tw1l10'.encode()).decode()}"
    assert request.body == (
        b"To=%2B923001234567&From=%2B15005550006&Body=123456+is+your+sign-in+code+for+R%26D.+Don%27t+share+it."
        b"%0A%0A%40cc.example+%23123456"
    )


async def test_the_sample_of_vonage(folder: ConfigFolder, calls: HttpCalls) -> None:
    answer = {"message-count": "1", "messages": [{"to": "923001234567", "message-id": "0A", "status": "0"}]}
    async with http_server(lambda _: says(answer)) as server:
        gateway = sample(folder, VONAGE, server)
        assert await send(calls, gateway, NUMBER, TEXT) is None
        assert await send(calls, gateway, NUMBER, ARABIC) is None
    [request, arabic] = server.requests
    assert (request.method, request.target) == ("POST", "/sms/json")
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert "Authorization" not in request.headers
    assert request.body == (
        b"api_key=abcd1234&api_secret=v%26nage&from=Expertflow&to=923001234567&type=text&text=123456+is+your+sign-in"
        b"+code+for+R%26D.+Don%27t+share+it.%0A%0A%40cc.example+%23123456"
    )
    assert b"&type=unicode&text=%D8%B1%D9%85%D8%B2%3A+1" in arabic.body


@pytest.mark.parametrize(
    ("number", "status", "answer"),
    [
        (GENERIC, 202, {"status": "rejected"}),
        (GENERIC, 200, {"status": "accepted"}),
        (TWILIO, 201, {"sid": "SM1", "status": "failed", "error_code": None}),
        (TWILIO, 201, {"sid": "SM1", "status": "queued", "error_code": 21610}),
        (TWILIO, 400, {"code": 21211, "message": "The 'To' number is not valid.", "status": 400}),
        (VONAGE, 200, {"message-count": "1", "messages": [{"status": "4", "error-text": "Bad Credentials"}]}),
        (VONAGE, 200, {"message-count": "0", "messages": []}),
    ],
)
async def test_a_text_that_the_vendor_rejects_is_not_sent(
    folder: ConfigFolder, calls: HttpCalls, number: int, status: int, answer: dict[str, Any]
) -> None:
    async with http_server(lambda _: says(answer, status=status)) as server:
        found = await send(calls, sample(folder, number, server), NUMBER, TEXT)
    assert found
    assert not found.unknown
