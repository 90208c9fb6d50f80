"""Tests of `efcx-gateway check-config --send-test`, with a real SMTP server and without a gateway, store or tenant."""

import asyncio
import base64
import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.fixtures.clock import FakeClock
from tests.fixtures.config_folder import TENANT, ConfigFolder
from tests.fixtures.genesys_services import CHECK, SEND, genesys_services
from tests.fixtures.http_service import Received, http_server, says
from tests.fixtures.mail import MailServer
from tests.fixtures.otp_manager import ACCEPTED, OtpManager, otp_manager
from tests.fixtures.ports import free_port
from tests.fixtures.sinch_api import KEY, SECRET, fake_sinch

pytestmark = pytest.mark.row("GW-14")
CHANNEL, TO = "otp@example.com", "anna@example.com"


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    """Returns settings without a tenant, whose only channel has a plain relay without an SMTP server."""
    folder = ConfigFolder(tmp_path / "config")
    folder.tenants.clear()
    relay_of(folder, free_port())
    return folder


def relay_of(folder: ConfigFolder, port: int) -> None:
    """Gives the channel a relay on this port."""
    folder.gateway["channels"][0]["relays"] = [{"host": "127.0.0.1", "port": port, "security": "none"}]


def run(folder: ConfigFolder, *words: str, name: str = CHANNEL) -> tuple[int, str]:
    """Runs the command in this process; returns exit code and output."""
    config = str(folder.write())
    done = CliRunner().invoke(app, ["check-config", "--send-test", name, *words, "--config", config])
    return done.exit_code, done.output


async def test_a_test_message_is_sent_and_its_conversation_printed(
    folder: ConfigFolder, mail_server: MailServer
) -> None:
    relay_of(folder, mail_server.port)
    command = [sys.executable, "-m", "gateway", "check-config", "--send-test", CHANNEL, "--to", TO]
    command += ["--config", str(folder.write())]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (await mail_server.wait()).rcpt_tos == (TO,)
    lines = done.stdout.splitlines()
    assert lines[0] == f"127.0.0.1:{mail_server.port}, security none"
    assert f"> RCPT TO:<{TO}>" in lines
    assert lines[-2:] == ["< 250 OK", "sent: the server accepted the message; check that it arrived"]


def test_a_message_that_is_not_sent_is_exit_code_1_with_the_cause(folder: ConfigFolder) -> None:
    code, said = run(folder, "--to", TO)
    assert code == 1
    assert said.splitlines()[-1].startswith("not sent: 127.0.0.1:")
    assert "Connection refused; check host, port and security of the relay" in said


def test_the_conversation_is_data_on_request(folder: ConfigFolder) -> None:
    code, said = run(folder, "--to", TO, "--json")
    found = json.loads(said)
    assert (code, found["ok"], found["channel"]) == (1, False, CHANNEL)
    assert "Connection refused" in found["why"]
    assert len(found["conversation"]) == 1


def test_an_unknown_channel_is_reported_with_the_known_ones(folder: ConfigFolder) -> None:
    code, said = run(folder, "--to", TO, name="sms")
    assert (code, said) == (1, f"efcx-gateway: no channel sms; channels: {CHANNEL}\n")


def test_with_an_error_in_the_file_of_the_channels_nothing_is_sent(folder: ConfigFolder) -> None:
    folder.gateway["channels"][0]["relays"][0]["port"] = "mail"
    code, said = run(folder, "--to", TO)
    assert code == 1
    assert "channels[0].relays[0].port" in said
    assert ">" not in said


@pytest.mark.parametrize("words", [["--to", TO], ["--send-test", CHANNEL]])
def test_channel_and_address_belong_together(words: list[str]) -> None:
    done = CliRunner().invoke(app, ["check-config", *words])
    assert (done.exit_code, "belong together" in done.output) == (2, True)


async def through_otp_manager(folder: ConfigFolder, manager: OtpManager | None) -> tuple[int, str]:
    """Sends a test message through an otp-manager whose address a tenant has."""
    service = {"type": "EMAIL", "kind": "otp-manager", "otp_manager": {"accepted": ACCEPTED}}
    folder.gateway["channels"] = [{"serviceIdentifier": CHANNEL, **service}]
    if manager:
        folder.tenants["one.json"] = copy.deepcopy(TENANT)
        folder.keycloak["Otp_Manager_Url"] = manager.url
    return await asyncio.to_thread(run, folder, "--to", TO)


async def test_a_service_that_is_called_by_http_is_shown_in_the_same_way(folder: ConfigFolder) -> None:
    async with otp_manager() as manager:
        code, said = await through_otp_manager(folder, manager)
    assert code == 0, said
    assert [to for to, _ in manager.sent] == [TO]
    lines = said.splitlines()
    assert lines[:3] == [manager.http.url, "> POST /otp/generate", "> Content-Type: application/json"]
    assert '< {"message": "OTP_SENT"}' in lines


TOKEN = "made up: \"a' <b>"
NUMBER = "+491701234567"


async def texted(folder: ConfigFolder, reply: web.Response) -> tuple[int, list[str], list[Received]]:
    """Sends a test message through an SMS gateway; returns exit code, lines and the requests that it got."""
    async with http_server(lambda _: reply) as server:
        service = {
            "url": f"{server.url}/send",
            "headers": [{"name": "Content-Type", "value": "application/json"}],
            "body": '{"to": "{number}", "text": "{text}", "key": "{token}"}',
            "token": TOKEN,
            "success": {"json": {"status": "accepted"}},
        }
        folder.gateway["channels"] = [{"serviceIdentifier": CHANNEL, "type": "SMS", "kind": "sms-http"}]
        folder.gateway["channels"][0]["sms_http"] = service
        code, said = await asyncio.to_thread(run, folder, "--to", NUMBER)
        return code, said.splitlines(), server.requests


async def test_the_code_and_the_secrets_of_a_text_are_masked(folder: ConfigFolder) -> None:
    code, lines, [request] = await texted(folder, says({"status": "accepted", "echo": TOKEN}))
    assert (code, request.json()["to"], request.json()["key"]) == (0, NUMBER, TOKEN)
    [sent] = set(re.findall(r"\b\d{6}\b", request.json()["text"]))
    shown = "\n".join(lines)
    assert sent not in shown
    assert TOKEN not in shown.replace("\\", "")
    assert '"key": "•••"' in shown


@pytest.mark.parametrize(
    ("reply", "advice"),
    [
        (says({"error": "no"}, 401), "the service rejects the user name, password or token of the channel"),
        (says("", 404), "correct the URL of the channel"),
        (says("", 302, {"Location": "/login"}), "the gateway follows no redirect: correct the URL of the channel"),
        (says({"status": "failed"}), "the response is not what the channel takes for success"),
    ],
    ids=["credentials", "url", "redirect", "rejected"],
)
async def test_the_response_of_a_service_that_sends_nothing_is_explained(
    folder: ConfigFolder, reply: web.Response, advice: str
) -> None:
    code, lines, _ = await texted(folder, reply)
    assert code == 1
    assert lines[-1].startswith("not sent: ")
    assert lines[-1].endswith(advice)


async def test_a_service_that_does_not_answer_has_not_sent_the_message(folder: ConfigFolder) -> None:
    async with otp_manager() as manager:
        await manager.http.stop()
        code, said = await through_otp_manager(folder, manager)
    assert code == 1
    assert said.splitlines()[-1] == "not sent: Connection refused"


async def test_without_the_tenant_that_has_its_address_a_service_is_not_called(folder: ConfigFolder) -> None:
    assert await through_otp_manager(folder, None) == (1, "not sent: no otp-manager is configured\n")


def test_a_channel_that_sends_no_messages_is_named(folder: ConfigFolder) -> None:
    folder.gateway["channels"].append({"serviceIdentifier": "rsa", "type": "RSA", "kind": "rsa", "rsa": {}})
    code, said = run(folder, "--to", TO, name="rsa")
    assert (code, said) == (1, f"efcx-gateway: channel rsa sends no messages; channels: {CHANNEL}\n")


async def test_a_test_text_is_sent_through_an_sms_gateway_with_its_account_masked(folder: ConfigFolder) -> None:
    async with http_server(lambda _: says({"status": "queued"}, status=201)) as server:
        section = {
            "url": f"{server.url}/send?key={{token}}",
            "headers": '"Content-Type:application/json"',
            "body": '{"to": "{number}", "text": "{text}"}',
            "username": "efcx",
            "password": "p4ssw0rd!",
            "token": "t0ken/made-up",
        }
        channel = {"serviceIdentifier": "sms", "type": "SMS", "kind": "sms-http", "sms_http": section}
        folder.gateway["channels"].append(channel)
        code, said = await asyncio.to_thread(run, folder, "--to", "+49 170 1234567", name="sms")
    lines = said.splitlines()
    assert (code, lines[-1]) == (0, "sent: the server accepted the message; check that it arrived")
    assert lines[0] == server.url
    assert "> POST /send?key=•••" in lines
    assert '< {"status": "queued"}' in lines
    assert server.requests[0].json()["to"] == "+491701234567"
    encoded = base64.b64encode(b"efcx:p4ssw0rd!").decode()
    assert not any(secret in said for secret in ("p4ssw0rd", "t0ken", encoded))


def test_a_test_text_needs_a_phone_number_with_its_country_code(folder: ConfigFolder) -> None:
    section = {"url": "https://sms.example.com/?to={number}&text={text}", "method": "GET"}
    channel = {"serviceIdentifier": "sms", "type": "SMS", "kind": "sms-http", "sms_http": section}
    folder.gateway["channels"].append(channel)
    code, said = run(folder, "--to", TO, name="sms")
    assert (code, said) == (1, f"not sent: {TO} is no address for this channel: bad-number\n")


async def test_a_service_that_knows_the_addresses_is_asked_with_the_name_of_a_user(folder: ConfigFolder) -> None:
    async with genesys_services(anna={"email": "a@b.example"}) as services:
        folder.gateway["channels"] = [services.settings()]
        code, said = await asyncio.to_thread(run, folder, "--to", "anna", name="services")
    assert (code, services.sent) == (0, [("anna", "Email")])
    assert [service for service, _ in services.asked] == [CHECK, SEND]
    assert "> customer=anna" in said.splitlines()


async def test_a_verification_of_sinch_is_started_and_its_secret_is_masked(
    folder: ConfigFolder, clock: FakeClock
) -> None:
    async with fake_sinch(clock) as sinch:
        section = {"endpoint": sinch.http.url, "authentication": "basic", "authentication_id": KEY, "secret": SECRET}
        channel = {"serviceIdentifier": "sinch", "type": "SMS", "kind": "sinch", "sinch": section}
        folder.gateway["channels"] = [channel]
        code, said = await asyncio.to_thread(run, folder, "--to", NUMBER, name="sinch")
    assert code == 0, said
    assert [one.number for one in sinch.sent] == [NUMBER]
    assert "> Authorization: •••" in said.splitlines()
    assert SECRET not in said


async def test_a_mail_with_the_sender_of_a_sinch_channel_is_sent_by_its_relay(
    folder: ConfigFolder, mail_server: MailServer
) -> None:
    relay_of(folder, mail_server.port)
    folder.gateway["channels"][0]["kind"] = "sinch"
    code, said = await asyncio.to_thread(run, folder, "--to", TO)
    assert code == 0, said
    assert (await mail_server.wait()).subject == "Test message"
