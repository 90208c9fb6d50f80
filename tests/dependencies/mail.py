"""A real SMTP server that keeps its mails: fixture `mail_server`, and `start_mail_server(…)` for other kinds.

It runs in the event loop of the test. Switches make it fail as a relay can fail.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Literal

import pytest
import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.ports import free_port

Tls = Literal["none", "starttls", "implicit"]


@dataclass(frozen=True)
class Received:
    """One received message."""

    mail_from: str
    rcpt_tos: tuple[str, ...]
    raw: bytes
    encrypted: bool
    authenticated: bool

    @property
    def parsed(self) -> EmailMessage:
        """Returns the message with decoded headers."""
        return message_from_bytes(self.raw, _class=EmailMessage, policy=policy.default)

    @property
    def subject(self) -> str:
        """Returns the decoded subject."""
        return str(self.parsed["Subject"])

    @property
    def text(self) -> str:
        """Returns the plain text part; empty if there is none."""
        return self._part("plain")

    @property
    def html(self) -> str:
        """Returns the HTML part; empty if there is none."""
        return self._part("html")

    def _part(self, kind: Literal["plain", "html"]) -> str:
        part = self.parsed.get_body((kind,))
        return str(part.get_content()) if part is not None else ""


@dataclass
class Switches:
    """The failures of the server; a test may change them at any time."""

    refuse_recipient: str = ""  # answer to RCPT, e.g. "550 5.1.1 no such user"
    refuse_sender: str = ""  # answer to MAIL
    refuse_data: str = ""  # answer after the message, e.g. "451 4.7.1 try again later"
    drop: Literal["", "connect", "rcpt", "data"] = ""  # close the connection at this point, without an answer
    hold: asyncio.Event | None = None  # wait for this event before the message is accepted


@dataclass
class MailServer:
    """A running server and all received messages."""

    port: int
    tls: Tls = "none"
    username: str = ""
    password: str = ""
    clients: trustme.CA | None = None  # the CA of the certificate that a client must present
    authority: trustme.CA | None = None  # the CA of the server's certificate, for "127.0.0.1" and "localhost"
    switches: Switches = field(default_factory=Switches)
    messages: list[Received] = field(default_factory=list)
    connections: int = 0
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _open: set[asyncio.Transport] = field(default_factory=set)
    _server: asyncio.Server | None = None

    host = "127.0.0.1"

    async def wait(self, count: int = 1, seconds: float = 10) -> Received:
        """Returns the `count`-th message (1 = the first) once it has arrived; `TimeoutError` after `seconds`."""
        async with asyncio.timeout(seconds), self._arrived:
            await self._arrived.wait_for(lambda: len(self.messages) >= count)
        return self.messages[count - 1]

    def to(self, address: str) -> list[Received]:
        """Returns all messages for this address, oldest first."""
        return [message for message in self.messages if address in message.rcpt_tos]

    def clear(self) -> None:
        """Deletes the received messages."""
        self.messages.clear()

    async def start(self) -> None:
        """Starts to listen."""
        context = self._context() if self.tls != "none" else None
        login = bool(self.username)

        def connection() -> SMTP:
            return _Connection(
                self,
                tls_context=context if self.tls == "starttls" else None,
                require_starttls=self.tls == "starttls",
                auth_require_tls=self.tls == "starttls",
                authenticator=self._check if login else None,
                auth_required=login,
                hostname="mail.test",
                enable_SMTPUTF8=True,
                loop=asyncio.get_running_loop(),
            )

        self._server = await asyncio.get_running_loop().create_server(
            connection, self.host, self.port, ssl=context if self.tls == "implicit" else None
        )

    async def stop(self) -> None:
        """Stops to listen and cuts all connections; from now on the relay is down."""
        if self._server is None:
            return
        self._server.close()
        for transport in tuple(self._open):
            transport.abort()
        await self._server.wait_closed()
        self._server = None

    def _context(self) -> ssl.SSLContext:
        self.authority = self.authority or trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        if self.clients:
            context.verify_mode = ssl.CERT_REQUIRED
            self.clients.configure_trust(context)
        return context

    def _check(self, _server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
        right = isinstance(data, LoginPassword) and (
            data.login == self.username.encode() and data.password == self.password.encode()
        )
        return AuthResult(success=right, handled=False)

    async def keep(self, received: Received) -> None:
        """Is called by a connection for each message."""
        async with self._arrived:
            self.messages.append(received)
            self._arrived.notify_all()

    # ------------------------------------------------------------ hooks of aiosmtpd

    async def handle_MAIL(self, server: SMTP, _s: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        """MAIL FROM."""
        if self.switches.refuse_sender:
            return self.switches.refuse_sender
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server: SMTP, _s: Session, envelope: Envelope, address: str, options: list[str]) -> str:
        """RCPT TO."""
        if self.switches.drop == "rcpt":
            return _cut(server)
        if self.switches.refuse_recipient:
            return self.switches.refuse_recipient
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """The message."""
        if self.switches.drop == "data":
            return _cut(server)
        if self.switches.hold is not None:
            await self.switches.hold.wait()
        if self.switches.refuse_data:
            return self.switches.refuse_data
        content = envelope.content or b""
        raw = content if isinstance(content, bytes) else content.encode()
        encrypted = session.ssl is not None or self.tls == "implicit"
        await self.keep(
            Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), raw, encrypted, bool(session.authenticated))
        )
        return "250 OK"


class _Connection(SMTP):
    """Counts and records connections, so that they can be cut."""

    def __init__(self, server: MailServer, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._kept = server

    def connection_made(self, transport: Any) -> None:
        first = self.session is None
        super().connection_made(transport)
        self._kept._open.add(transport)
        if first:
            self._kept.connections += 1
        if self._kept.switches.drop == "connect":
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._kept._open.discard(self.transport)
        super().connection_lost(error)


def _cut(server: SMTP) -> str:
    if isinstance(server.transport, asyncio.Transport):
        server.transport.abort()
    return "421 closing"


StartMailServer = Callable[..., Awaitable[MailServer]]


@pytest.fixture
async def start_mail_server() -> AsyncIterator[StartMailServer]:
    """Starts a further server: `await start_mail_server(tls="starttls", …)`. The test's end stops it."""
    started: list[MailServer] = []

    async def start(**settings: Any) -> MailServer:
        server = MailServer(settings.pop("port", None) or free_port(), **settings)
        await server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        if server.switches.hold is not None:
            server.switches.hold.set()
        await server.stop()


@pytest.fixture
async def mail_server(start_mail_server: StartMailServer) -> MailServer:
    """Yields a plain SMTP server without login."""
    return await start_mail_server()
