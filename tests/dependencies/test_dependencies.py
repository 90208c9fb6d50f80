"""Tests of the fixtures of dependencies."""

import asyncio
import smtplib
import ssl

import pytest
from aiohttp import ClientSession
from redis.asyncio import Redis

from tests.dependencies.mail import StartMailServer
from tests.dependencies.upstream import EchoUpstream, RawUpstream

MESSAGE = "From: otp@example.com\r\nTo: a@example.com\r\nSubject: =?utf-8?q?H=C3=A9?=\r\n\r\n123\r\n"


@pytest.mark.redis
async def test_redis_answers_and_is_empty_at_the_start(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as client:
        assert await client.dbsize() == 0
        assert await client.set("a", "b")


@pytest.mark.valkey
async def test_valkey_answers_and_is_empty_at_the_start(valkey_url: str) -> None:
    async with Redis.from_url(valkey_url) as client:
        assert await client.dbsize() == 0
        assert "valkey_version" in await client.info("server")


async def test_a_mail_is_kept_with_its_recipient(start_mail_server: StartMailServer) -> None:
    server = await start_mail_server()

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=5) as client:
            client.sendmail("otp@example.com", ["a@example.com"], MESSAGE)

    await asyncio.to_thread(send)
    received = await server.wait()
    assert (received.rcpt_tos, received.subject, received.text.strip()) == (("a@example.com",), "Hé", "123")


async def test_the_mail_server_refuses_a_recipient_when_set_to(start_mail_server: StartMailServer) -> None:
    server = await start_mail_server()
    server.switches.refuse_recipient = "550 5.1.1 no such user"

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=5) as client:
            client.sendmail("otp@example.com", ["a@example.com"], MESSAGE)

    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await asyncio.to_thread(send)
    assert server.messages == []


async def test_the_mail_server_drops_a_connection_when_set_to(start_mail_server: StartMailServer) -> None:
    server = await start_mail_server()
    server.switches.drop = "data"

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=5) as client:
            client.sendmail("otp@example.com", ["a@example.com"], MESSAGE)

    with pytest.raises(smtplib.SMTPServerDisconnected):
        await asyncio.to_thread(send)


async def test_the_mail_server_requires_starttls_and_login_where_set(start_mail_server: StartMailServer) -> None:
    server = await start_mail_server(tls="starttls", username="otp", password="made-up")

    def send() -> None:
        assert server.authority is not None
        context = ssl.create_default_context()
        server.authority.configure_trust(context)
        with smtplib.SMTP("127.0.0.1", server.port, timeout=5) as client:
            client.starttls(context=context)
            client.login("otp", "made-up")
            client.sendmail("otp@example.com", ["a@example.com"], MESSAGE)

    await asyncio.to_thread(send)
    received = await server.wait()
    assert (received.encrypted, received.authenticated) == (True, True)


async def test_the_mail_server_uses_implicit_tls_where_set(start_mail_server: StartMailServer) -> None:
    server = await start_mail_server(tls="implicit")

    def send() -> None:
        assert server.authority is not None
        context = ssl.create_default_context()
        server.authority.configure_trust(context)
        with smtplib.SMTP_SSL("127.0.0.1", server.port, timeout=5, context=context) as client:
            client.sendmail("otp@example.com", ["a@example.com"], MESSAGE)

    await asyncio.to_thread(send)
    assert (await server.wait()).encrypted


async def test_a_delayed_message_is_accepted_when_released(start_mail_server: StartMailServer) -> None:
    server = await start_mail_server()
    server.switches.hold = asyncio.Event()

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", server.port, timeout=5) as client:
            client.sendmail("otp@example.com", ["a@example.com"], MESSAGE)

    sending = asyncio.create_task(asyncio.to_thread(send))
    assert server.messages == []
    server.switches.hold.set()
    await sending
    assert len(server.messages) == 1


async def test_the_raw_upstream_records_every_byte(raw_upstream: RawUpstream) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", raw_upstream.port)
    writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert raw_upstream.received == b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    assert raw_upstream.requests == 1
    writer.close()


async def test_the_raw_upstream_sends_the_scripted_answers(raw_upstream: RawUpstream) -> None:
    raw_upstream.answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    async with ClientSession() as http, http.get(raw_upstream.url) as answer:
        assert answer.status == 204


async def test_the_echo_upstream_returns_the_received_request(echo_upstream: EchoUpstream) -> None:
    async with ClientSession() as http, http.post(f"{echo_upstream.url}/a%2Fb?c=d", data=b"body") as answer:
        seen = await answer.json()
    assert (seen["method"], seen["path"], seen["body"], seen["length"]) == ("POST", "/a%2Fb?c=d", "body", 4)


async def test_the_echo_upstream_echoes_sockets_with_their_subprotocol(echo_upstream: EchoUpstream) -> None:
    async with (
        ClientSession() as http,
        http.ws_connect(f"{echo_upstream.url}/agent-manager/ws", protocols=["chat"]) as socket,
    ):
        await socket.send_str("hello")
        assert (await socket.receive_str(), socket.protocol) == ("hello", "chat")
        await socket.send_str("close 4001")
        await socket.receive()
        assert socket.close_code == 4001
