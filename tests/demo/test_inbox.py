"""Tests of the demo's inbox."""

from collections.abc import AsyncIterator

import aiosmtplib
import pytest
from aiohttp.test_utils import TestClient, TestServer

from gateway.delivery.smtp import Mailer, Message, Sent
from gateway.demo.inbox import Inbox
from gateway.domain.channel import Channel, ChannelKind, ChannelType, MailSecurity, Relay
from tests.fixtures.clock import FakeClock, SeededRandom

KEPT = 200


@pytest.fixture
async def inbox(clock: FakeClock) -> AsyncIterator[Inbox]:
    """Yields a running inbox."""
    async with Inbox(clock) as running:
        yield running


async def send(inbox: Inbox, *subjects: str) -> None:
    """Sends mails with the gateway's mailer."""
    mailer = Mailer(FakeClock(), SeededRandom())
    relays = (Relay("127.0.0.1", inbox.port, MailSecurity.NONE),)
    channel = Channel("otp", ChannelType.EMAIL, ChannelKind.SMTP, "otp@example.com", relays=relays)
    for subject in subjects:
        message = Message("anna@example.com", subject, "رمز 123456", "<p>x</p>", "ar", "R")
        assert isinstance(await mailer.send(channel, message), Sent)
    await mailer.close()


async def test_a_mail_of_the_gateway_is_shown_with_recipient_subject_text_and_time(inbox: Inbox) -> None:
    await send(inbox, "رمز الدخول")
    assert [mail.as_json() for mail in inbox.mails] == [
        {
            "to": "anna@example.com",
            "subject": "رمز الدخول",
            "text": "رمز 123456\n",
            "received_at": "2027-01-15T08:00:00+00:00",
        }
    ]


async def test_the_newest_mail_is_first(inbox: Inbox) -> None:
    await send(inbox, "first", "second")
    assert [mail.subject for mail in inbox.mails] == ["second", "first"]


async def test_the_inbox_keeps_the_last_two_hundred_mails(inbox: Inbox) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.port, start_tls=False) as relay:
        for number in range(KEPT + 5):
            await relay.sendmail("a@example.com", ["b@example.com"], f"Subject: {number}\r\n\r\nx".encode())
    assert len(inbox.mails) == KEPT == 200
    assert inbox.mails[0].subject == "204"
    assert inbox.mails[-1].subject == "5"


@pytest.mark.parametrize("raw", [b"", b"no headers", b"Subject: =?utf-8?q?=ff?=\r\n\r\n", b"\x00\xff\r\n\r\n\xfe"])
async def test_a_broken_mail_is_kept_with_its_readable_parts(inbox: Inbox, raw: bytes) -> None:
    async with aiosmtplib.SMTP(hostname="127.0.0.1", port=inbox.port, start_tls=False) as relay:
        await relay.sendmail("a@example.com", ["b@example.com"], raw)
    assert inbox.mails[0].to == "b@example.com"
    assert inbox.mails[0].as_json()["text"] is not None


async def test_a_text_of_the_gateway_is_shown_among_the_mails(inbox: Inbox) -> None:
    await send(inbox, "first")
    text = "123456 is your sign-in code for EFCX.\n\n@efcx.localhost #123456"
    body = {"to": "+12025550100", "text": text}
    async with TestClient(TestServer(inbox.sms_gateway())) as client, client.post("/", json=body) as response:
        assert (response.status, await response.json()) == (201, {"status": "queued"})
    kept = inbox.mails[0]
    assert kept.as_json() == {
        "to": "+12025550100",
        "subject": "Text message",
        "text": text,
        "received_at": "2027-01-15T08:00:00+00:00",
        "kind": "sms",
    }
    assert (kept.code, kept.sender, kept.html) == ("123456", "efcx.localhost", f"<pre>{text}</pre>")
