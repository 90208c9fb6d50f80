"""Tests of sending mail, with real SMTP servers."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import structlog
import trustme
from structlog.testing import capture_logs

from gateway.delivery.smtp import Mailer, Message, NotSent, Sent
from gateway.domain.channel import Channel, ChannelKind, ChannelType, MailSecurity, Relay, TlsSettings
from gateway.domain.secret import Secret
from tests.fixtures.clock import START, FakeClock, SeededRandom
from tests.fixtures.mail import MailServer, StartMailServer
from tests.fixtures.ports import free_port
from tests.fixtures.silent_address import addresses, silent_address

MESSAGE = Message("anna@cc.example", "Your code", "code 123456", "<p>code 123456</p>", "en", "ABCD2345")


@pytest.fixture
async def mailer(clock: FakeClock, random: SeededRandom) -> AsyncIterator[Mailer]:
    """Yields a mailer and closes it at the end."""
    made = Mailer(clock, random)
    yield made
    await made.close()


def channel(*relays: Relay) -> Channel:
    """Returns an SMTP channel with these `relays`."""
    return Channel("otp@cc.example", ChannelType.EMAIL, ChannelKind.SMTP, "otp@cc.example", "Expertflow", relays=relays)


def plain(server: MailServer) -> Relay:
    """Returns a relay without TLS."""
    return Relay(server.host, server.port, MailSecurity.NONE)


def trusting(server: MailServer, folder: Path) -> TlsSettings:
    """Returns TLS settings that trust the server's private CA."""
    assert server.authority is not None
    file = folder / "ca.pem"
    server.authority.cert_pem.write_to_path(file)
    return TlsSettings(ca_file=str(file))


async def test_a_mail_is_delivered_to_exactly_its_recipient(mailer: Mailer, mail_server: MailServer) -> None:
    result = await mailer.send(channel(plain(mail_server)), MESSAGE)
    assert result == Sent(START, f"127.0.0.1:{mail_server.port}")
    received = await mail_server.wait()
    assert received.rcpt_tos == ("anna@cc.example",)
    assert received.mail_from == "otp@cc.example"
    assert str(received.parsed["From"]) == "Expertflow <otp@cc.example>"
    assert received.text == "code 123456\r\n"
    assert received.html == "<p>code 123456</p>\r\n"


async def test_a_silent_first_address_of_a_relay_does_not_hide_the_second(
    mailer: Mailer, mail_server: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with silent_address() as silent:
        addresses(monkeypatch, silent, (mail_server.host, mail_server.port))
        sent = await mailer.send(channel(Relay("relay.internal", mail_server.port, MailSecurity.NONE)), MESSAGE)
    assert isinstance(sent, Sent)


async def test_a_relay_that_does_not_begin_with_tls_is_reported_with_the_setting_to_change(
    mailer: Mailer, mail_server: MailServer
) -> None:
    result = await mailer.send(channel(Relay(mail_server.host, mail_server.port, MailSecurity.TLS)), MESSAGE)
    assert isinstance(result, NotSent)
    assert "set `security: starttls`" in result.reason


async def test_the_gateway_greets_a_relay_with_the_configured_name_or_that_of_the_host(
    mailer: Mailer, mail_server: MailServer
) -> None:
    await mailer.send(channel(plain(mail_server)), MESSAGE)
    await mailer.send(channel(replace(plain(mail_server), greeting="gateway.cc.example")), MESSAGE)
    received = [await mail_server.wait(number) for number in (1, 2)]
    assert [one.greeting for one in received] == [socket.gethostname(), "gateway.cc.example"]


async def test_starttls_and_a_password_protect_the_connection_to_the_relay(
    mailer: Mailer, start_mail_server: StartMailServer, tmp_path: Path
) -> None:
    password = free_text()
    server = await start_mail_server(tls="starttls", username="gateway", password=password)
    relay = Relay(
        "127.0.0.1", server.port, MailSecurity.STARTTLS, "gateway", Secret(password), trusting(server, tmp_path)
    )
    assert isinstance(await mailer.send(channel(relay), MESSAGE), Sent)
    assert server.messages[0].encrypted
    assert server.messages[0].authenticated


@pytest.mark.row("GW-33")
async def test_a_relay_with_implicit_tls_is_trusted_by_a_private_authority(
    mailer: Mailer, start_mail_server: StartMailServer, tmp_path: Path
) -> None:
    server = await start_mail_server(tls="implicit")
    relay = Relay("127.0.0.1", server.port, MailSecurity.TLS, tls=trusting(server, tmp_path))
    assert isinstance(await mailer.send(channel(relay), MESSAGE), Sent)
    assert server.messages[0].encrypted


@pytest.mark.row("GW-33")
async def test_a_relay_that_requires_a_client_certificate_receives_the_gateways(
    mailer: Mailer, start_mail_server: StartMailServer, tmp_path: Path
) -> None:
    own = trustme.CA()
    own.issue_cert("gateway.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    server = await start_mail_server(tls="starttls", clients=own)
    without = trusting(server, tmp_path)
    shown = replace(without, certificate_file=str(tmp_path / "own.pem"))
    sent = [
        await mailer.send(channel(Relay("127.0.0.1", server.port, MailSecurity.STARTTLS, tls=tls)), MESSAGE)
        for tls in (without, shown)
    ]
    assert [type(one) for one in sent] == [NotSent, Sent]


@pytest.mark.row("GW-33")
@pytest.mark.parametrize(("kind", "security"), [("implicit", MailSecurity.TLS), ("starttls", MailSecurity.STARTTLS)])
async def test_a_relay_with_an_untrusted_certificate_gets_nothing_and_the_error_names_host_and_setting(
    mailer: Mailer, start_mail_server: StartMailServer, kind: str, security: MailSecurity
) -> None:
    server = await start_mail_server(tls=kind)
    result = await mailer.send(channel(Relay("127.0.0.1", server.port, security)), MESSAGE)
    assert isinstance(result, NotSent)
    assert f"127.0.0.1:{server.port}" in result.reason
    assert "not trusted" in result.reason
    assert "tls.smtp.ca_file" in result.reason
    assert server.messages == []


async def test_a_missing_ca_file_is_named_in_the_error(mailer: Mailer, tmp_path: Path) -> None:
    relay = Relay("127.0.0.1", free_port(), MailSecurity.TLS, tls=TlsSettings(ca_file=str(tmp_path / "none.pem")))
    result = await mailer.send(channel(relay), MESSAGE)
    assert isinstance(result, NotSent)
    assert "tls.smtp" in result.reason


async def test_a_relay_without_starttls_gets_nothing_when_starttls_is_set(
    mailer: Mailer, mail_server: MailServer
) -> None:
    result = await mailer.send(channel(Relay("127.0.0.1", mail_server.port, MailSecurity.STARTTLS)), MESSAGE)
    assert isinstance(result, NotSent)
    assert mail_server.messages == []


async def test_a_wrong_password_is_not_retried_and_never_printed(
    mailer: Mailer, start_mail_server: StartMailServer, tmp_path: Path
) -> None:
    server = await start_mail_server(tls="starttls", username="gateway", password=free_text())
    wrong = free_text()
    relay = Relay("127.0.0.1", server.port, MailSecurity.STARTTLS, "gateway", Secret(wrong), trusting(server, tmp_path))
    result = await mailer.send(channel(relay), MESSAGE)
    assert isinstance(result, NotSent)
    assert not result.temporary
    assert "rejected the user name or password" in result.reason
    assert wrong not in result.reason
    assert server.messages == []


@pytest.mark.row("GW-34")
async def test_the_gateway_tries_the_next_relay_when_the_first_is_down(mailer: Mailer, mail_server: MailServer) -> None:
    down = Relay("127.0.0.1", free_port(), MailSecurity.NONE)
    result = await mailer.send(channel(down, plain(mail_server)), MESSAGE)
    assert result == Sent(START, f"127.0.0.1:{mail_server.port}")


@pytest.mark.row("GW-34")
@pytest.mark.parametrize(
    ("switch", "answer", "temporary"),
    [
        ("refuse_recipient", "550 5.1.1 <anna@cc.example>: user unknown", False),
        ("refuse_recipient", "450 4.2.0 <anna@cc.example>: greylisted", True),
        ("refuse_sender", "550 5.7.1 not you", False),
        ("refuse_data", "451 4.7.1 try again later", True),
        ("refuse_data", "554 5.7.1 spam", False),
    ],
)
async def test_after_a_rejection_by_a_relay_no_other_relay_is_tried(
    mailer: Mailer, start_mail_server: StartMailServer, switch: str, answer: str, temporary: bool
) -> None:
    first, second = await start_mail_server(), await start_mail_server()
    setattr(first.switches, switch, answer)
    result = await mailer.send(channel(plain(first), plain(second)), MESSAGE)
    assert isinstance(result, NotSent)
    assert (result.temporary, result.unknown) == (temporary, False)
    assert answer[:3] in result.reason
    assert "anna@" not in result.reason
    assert second.messages == []


@pytest.mark.row("GW-34")
async def test_no_other_relay_is_tried_when_a_relay_fails_after_it_received_the_mail(
    mailer: Mailer, start_mail_server: StartMailServer
) -> None:
    first, second = await start_mail_server(), await start_mail_server()
    first.switches.drop = "data"
    result = await mailer.send(channel(plain(first), plain(second)), MESSAGE)
    assert isinstance(result, NotSent)
    assert (result.temporary, result.unknown) == (True, True)
    assert first.connections == 1
    assert second.messages == []


@pytest.mark.row("GW-34")
async def test_the_next_relay_is_tried_when_a_relay_always_fails_before_it_received_the_mail(
    mailer: Mailer, start_mail_server: StartMailServer
) -> None:
    first, second = await start_mail_server(), await start_mail_server()
    first.switches.drop = "rcpt"
    assert isinstance(await mailer.send(channel(plain(first), plain(second)), MESSAGE), Sent)
    assert first.connections == 3
    assert len(second.messages) == 1


@pytest.mark.row("GW-34")
@pytest.mark.parametrize("command", ["mail", "rcpt", "before data", "421"])
async def test_a_connection_that_breaks_before_the_relay_received_the_mail_is_replaced(
    mailer: Mailer, command: str
) -> None:
    relay = Breaking(command)
    async with relay.listening() as port:
        result = await mailer.send(channel(Relay("127.0.0.1", port, MailSecurity.NONE)), MESSAGE)
    assert isinstance(result, Sent)
    assert relay.connections == 2
    assert relay.taken == 1


@pytest.mark.row("GW-34")
async def test_the_next_relay_is_tried_when_a_relay_stops_answering_before_it_received_the_mail(
    mailer: Mailer, mail_server: MailServer
) -> None:
    silent = Breaking("silent")
    async with silent.listening() as port:
        relay = Relay("127.0.0.1", port, MailSecurity.NONE, timeout=0.2)
        assert isinstance(await mailer.send(channel(relay, plain(mail_server)), MESSAGE), Sent)
    assert silent.connections == 1


@pytest.mark.row("GW-34")
async def test_a_temporary_login_failure_of_a_relay_is_no_wrong_password_and_the_next_relay_is_tried(
    mailer: Mailer, mail_server: MailServer
) -> None:
    busy = Breaking("454")
    async with busy.listening() as port:
        relay = Relay("127.0.0.1", port, MailSecurity.NONE, "gateway", Secret(free_text()))
        alone = await mailer.send(channel(relay), MESSAGE)
        assert isinstance(await mailer.send(channel(relay, plain(mail_server)), MESSAGE), Sent)
    assert alone == NotSent(f"127.0.0.1:{port}: cannot authenticate now: the relay answered 454 4.7.0 not now", True)


async def test_lines_that_begin_with_a_dot_are_delivered_unchanged(mailer: Mailer, mail_server: MailServer) -> None:
    dotted = replace(MESSAGE, text=".\n..two\n.three\n")
    assert isinstance(await mailer.send(channel(plain(mail_server)), dotted), Sent)
    assert mail_server.messages[0].text.splitlines() == [".", "..two", ".three"]


@pytest.mark.row("GW-34")
async def test_consecutive_mails_share_a_connection(mailer: Mailer, mail_server: MailServer) -> None:
    for _ in range(5):
        assert isinstance(await mailer.send(channel(plain(mail_server)), MESSAGE), Sent)
    assert mail_server.connections == 1


@pytest.mark.row("GW-34")
async def test_a_hundred_parallel_mails_use_few_connections(mailer: Mailer, mail_server: MailServer) -> None:
    results = await asyncio.gather(*(mailer.send(channel(plain(mail_server)), MESSAGE) for _ in range(100)))
    assert all(isinstance(result, Sent) for result in results)
    assert len(mail_server.messages) == 100
    assert mail_server.connections <= 16  # eight at a time, renewed after fifty mails


@pytest.mark.row("GW-34")
async def test_an_idle_connection_closed_by_the_relay_loses_no_mail(mailer: Mailer, mail_server: MailServer) -> None:
    await mailer.send(channel(plain(mail_server)), MESSAGE)
    await mail_server.stop()
    await mail_server.start()
    assert isinstance(await mailer.send(channel(plain(mail_server)), MESSAGE), Sent)
    assert len(mail_server.messages) == 2


async def test_a_relay_that_never_answers_takes_no_longer_than_the_time_budget(
    clock: FakeClock, random: SeededRandom, start_mail_server: StartMailServer
) -> None:
    server = await start_mail_server()
    server.switches.hold = asyncio.Event()
    mailer = Mailer(clock, random, budget=0.3)
    result = await mailer.send(channel(plain(server)), MESSAGE)
    await mailer.close()
    assert isinstance(result, NotSent)
    assert (result.temporary, result.unknown) == (True, True)


async def test_a_first_relay_that_never_answers_leaves_time_for_the_second(
    mailer: Mailer, mail_server: MailServer
) -> None:
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        relay = Relay("127.0.0.1", silent.getsockname()[1], MailSecurity.NONE, timeout=0.3)
        result = await mailer.send(channel(relay, plain(mail_server)), MESSAGE)
    assert isinstance(result, Sent)


async def test_a_channel_without_relays_sends_nothing(mailer: Mailer) -> None:
    assert await mailer.send(channel(), MESSAGE) == NotSent("the channel has no relay", temporary=False)


async def test_neither_the_address_nor_the_code_is_logged(mailer: Mailer, mail_server: MailServer) -> None:
    structlog.reset_defaults()
    with capture_logs() as lines:
        await mailer.send(channel(plain(mail_server)), MESSAGE)
        mail_server.switches.refuse_recipient = "550 <anna@cc.example> unknown"
        await mailer.send(channel(plain(mail_server)), MESSAGE)
    assert [line["event"] for line in lines] == ["mail_sent", "mail_not_sent"]
    assert all(line["to"] == "a***@c***.example" and line["reference"] == "ABCD2345" for line in lines)
    assert "anna@" not in str(lines)
    assert "123456" not in str(lines)


@dataclass
class Breaking:
    """A relay whose first connection breaks at a given point; later connections work."""

    point: str
    connections: int = 0
    taken: int = 0
    open: list[asyncio.StreamWriter] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Yields the port it listens on."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", free_port())
        yield server.sockets[0].getsockname()[1]
        server.close()
        for writer in self.open:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.append(writer)
        breaks = self.point if self.connections == 1 else ""
        writer.write(b"220 relay\r\n")
        while line := (await reader.readline()).decode().strip().lower():
            verb = line.split(":")[0].split(" ")[0]
            if (breaks, verb) in (("mail", "mail"), ("rcpt", "rcpt"), ("before data", "data")):
                break
            if (breaks, verb) == ("421", "rcpt"):
                writer.write(b"421 too many mails\r\n")
                break
            if (breaks, verb) == ("silent", "rcpt"):
                continue
            if self.point == "454" and verb in ("ehlo", "auth"):
                writer.write(b"250-relay\r\n250 AUTH PLAIN\r\n" if verb == "ehlo" else b"454 4.7.0 not now\r\n")
                continue
            if verb == "data":
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                self.taken += 1
            writer.write(b"250 OK\r\n")
        writer.close()


def free_text() -> str:
    """Returns a random password."""
    return SeededRandom(free_port()).token_bytes(12).hex()


@pytest.mark.parametrize("refused", ["refuse_recipient", "refuse_data"])
async def test_a_rejected_recipient_is_no_warning_about_the_channel(
    mailer: Mailer, mail_server: MailServer, refused: str
) -> None:
    setattr(mail_server.switches, refused, "550 5.1.1 no")
    await mailer.send(channel(plain(mail_server)), MESSAGE)
    assert bool(await mailer.check()) == (refused == "refuse_data")


async def test_a_mail_that_is_sent_ends_the_warning_about_the_channel(mailer: Mailer, mail_server: MailServer) -> None:
    mail_server.switches.refuse_data = "550 5.1.1 no"
    await mailer.send(channel(plain(mail_server)), MESSAGE)
    mail_server.switches.refuse_data = ""
    await mailer.send(channel(plain(mail_server)), MESSAGE)
    assert await mailer.check() == ()
