"""Tests of the conversation that an operator reads after a test message, with real SMTP servers."""

import asyncio
import base64
import secrets
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from gateway.delivery.conversation import MOST, Conversation
from gateway.delivery.http_calls import HttpCall, HttpCalls
from gateway.delivery.smtp import send_test
from gateway.domain.channel import Channel, ChannelKind, ChannelType, MailSecurity, Relay, TlsSettings
from gateway.domain.secret import Secret, secrets_in
from tests.fixtures.http_service import http_server, says
from tests.fixtures.mail import MailServer, StartMailServer, Switches
from tests.fixtures.ports import free_port

PASSWORD = "not/the+right one"
pytestmark = pytest.mark.row("GW-14")


def channel(port: int, **relay: object) -> Channel:
    """Returns a channel with one plain relay."""
    one = replace(Relay("127.0.0.1", port, MailSecurity.NONE), **relay)  # type: ignore[arg-type]
    return Channel("otp@cc.example", ChannelType.EMAIL, ChannelKind.SMTP, "otp@cc.example", relays=(one,))


async def trial(through: Channel, to: str = "anna@cc.example") -> tuple[str, list[str]]:
    """Sends a test mail; returns why it was not sent, and the conversation."""
    lines: list[str] = []
    conversation = Conversation(lines.append, *secrets_in(through))
    return conversation.clean(await send_test(through, to, conversation)), lines


async def test_a_test_mail_arrives_and_the_operator_sees_each_command_and_reply(mail_server: MailServer) -> None:
    why, lines = await trial(channel(mail_server.port, greeting="gateway.example"))
    received = await mail_server.wait()
    assert (why, received.rcpt_tos, received.subject) == ("", ("anna@cc.example",), "Test message")
    assert "tests the channel otp@cc.example" in received.text
    assert lines[0] == f"127.0.0.1:{mail_server.port}, security none"
    assert lines[1].startswith("< 220 mail.test")
    commands = [line for line in lines if line.startswith("> ")]
    assert commands[:4] == [
        "> EHLO gateway.example",
        "> MAIL FROM:<otp@cc.example>",
        "> RCPT TO:<anna@cc.example>",
        "> DATA",
    ]
    assert commands[4].startswith("> (the mail, ")
    assert lines[-1] == "< 250 OK"


async def test_the_password_is_in_no_line_of_a_sign_in_that_the_server_refuses(
    start_mail_server: StartMailServer, tmp_path: Path
) -> None:
    server = await start_mail_server(username="otp", password=secrets.token_urlsafe(), tls="starttls")
    assert server.authority
    server.authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    tls, password = TlsSettings(ca_file=str(tmp_path / "ca.pem")), secrets.token_urlsafe()
    starttls, secret = MailSecurity.STARTTLS, Secret(password)
    why, lines = await trial(channel(server.port, security=starttls, tls=tls, username="otp", password=secret))
    assert "rejected the user name or password (the relay answered 535" in why
    assert [line for line in lines if "AUTH" in line and line[0] == ">"] == ["> AUTH PLAIN •••", "> AUTH LOGIN •••"]
    assert lines[lines.index("> AUTH LOGIN •••") + 2] == "> •••"
    assert "> STARTTLS" in lines
    for spelling in (password, base64.b64encode(password.encode()).decode()):
        assert spelling not in "\n".join([why, *lines])


async def test_a_reply_of_the_server_shows_no_secret_and_no_control_character() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 your password is " + PASSWORD.encode() + b" \x1b[2J \xff\r\n")
        while await reader.readline():
            writer.write(b"554 no \x1b]0;title\x07\r\n")
        writer.close()
        closed.set()

    port, closed = free_port(), asyncio.Event()
    async with await asyncio.start_server(answer, "127.0.0.1", port):
        why, lines = await trial(channel(port, username="otp", password=Secret(PASSWORD)))
        await closed.wait()
    assert lines[1] == r"< 220 your password is ••• \x1b[2J \udcff"
    assert all(line.isprintable() for line in (*lines, why))
    assert PASSWORD not in why


@pytest.mark.parametrize(
    ("switches", "cause"),
    [
        (Switches(refuse_sender="553 5.7.1 not yours"), "rejected the sender: 553 5.7.1 not yours; correct `from`"),
        (Switches(refuse_recipient="550 5.1.1 no such user"), "the relay rejected the recipient: 550 5.1.1"),
        (Switches(refuse_data="554 5.7.1 spam"), "the relay answered 554 5.7.1 spam"),
        (
            Switches(drop="connect"),
            "closed the connection at once; check host, port and",
        ),
        (Switches(hold=asyncio.Event()), "no response in time"),
    ],
    ids=["sender", "recipient", "text", "connection", "time-out"],
)
async def test_the_cause_of_a_mail_that_was_not_sent_is_named(
    mail_server: MailServer, switches: Switches, cause: str
) -> None:
    mail_server.switches = switches
    why, lines = await trial(channel(mail_server.port, timeout=0.5))
    if switches.hold:
        switches.hold.set()
    assert cause in why
    assert why.startswith(f"127.0.0.1:{mail_server.port}: ")
    refused = next((value for name, value in vars(switches).items() if name.startswith("refuse") and value), "")
    assert not refused or f"< {refused}" in lines


async def test_a_wrong_port_is_named_with_the_settings_to_check() -> None:
    port = free_port()
    why, lines = await trial(channel(port))
    assert why == f"127.0.0.1:{port}: Connection refused; check host, port and security of the relay"
    assert lines == [f"127.0.0.1:{port}, security none"]


async def test_tls_to_a_port_without_tls_is_named(mail_server: MailServer) -> None:
    why, _ = await trial(channel(mail_server.port, security=MailSecurity.TLS))
    assert "no TLS; set `security: starttls`" in why


async def test_an_address_that_is_none_is_not_tried() -> None:
    assert await trial(channel(free_port()), "anna") == ("anna is no mail address", [])


def test_a_long_message_is_cut_and_a_secret_is_masked_in_every_spelling() -> None:
    lines: list[str] = []
    conversation = Conversation(lines.append, PASSWORD, "not", "")
    conversation.sent("x" * (MOST + 7))
    assert [len(lines[0]), lines[1]] == [MOST + 2, "> … (7 more characters)"]
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    conversation.received(f"{PASSWORD} {quote(PASSWORD, safe='')} {quote_plus(PASSWORD)} {encoded} not none")
    assert lines[2] == "< ••• ••• ••• ••• ••• none"


async def test_an_http_call_is_shown_with_headers_and_bodies_and_without_credentials() -> None:
    lines: list[str] = []
    calls = HttpCalls(Conversation(lines.append, PASSWORD))
    headers = [("Authorization", "Basic YTpi"), ("X-Api-Key", PASSWORD)]
    async with http_server(lambda _: says({"error": "no credit"}, 402, {"Set-Cookie": "a=b"})) as server:
        await calls.send(HttpCall("POST", f"{server.url}/sms?key={quote(PASSWORD)}", 5.0, headers, b'{"to": "+49"}'))
        await calls.close()
    assert lines[0] == server.url
    assert lines[1:6] == [
        "> POST /sms?key=•••",
        "> Authorization: •••",
        "> X-Api-Key: •••",
        "> ",
        '> {"to": "+49"}',
    ]
    assert lines[6] == "< HTTP 402"
    assert "< Set-Cookie: •••" in lines
    assert lines[-1] == '< {"error": "no credit"}'


def test_every_secret_inside_a_value_is_found() -> None:
    secret = Secret("a")
    relay = Relay("127.0.0.1", 25, password=secret)
    assert list(secrets_in(replace(channel(25), relays=(relay,)))) == ["a"]
    assert sorted(secrets_in({"x": [secret, (Secret("b"), "plain")], Secret("c"): None})) == ["a", "b", "c"]
