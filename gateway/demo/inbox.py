"""Receives the demo's mails and texts, with an SMTP server and an SMS gateway in this process.

It keeps the last 200 of both in memory and forwards none. It listens on loopback only.
"""

import asyncio
import re
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from gateway.demo.loopback import loopback_only
from gateway.domain.ports import Clock

KEPT = 200
_CODE = re.compile(r"^(?:@\S+ #)?(\d{4,10})\s*$", re.MULTILINE)
_HOST = re.compile(r"^@(\S+) #\d+$", re.MULTILINE)
TEXT = "Text message"
"""The subject of a text in the inbox."""
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as the inbox shows it; `received_at` in seconds since the epoch, `sender` the name of the sender.

    A text has a phone number in `to`, and its sender is the host to which its code is bound.
    """

    to: str
    subject: str
    text: str
    received_at: float
    number: int
    sender: str
    html: str

    @property
    def code(self) -> str:
        """The code of the mail, alone on its line; "" in a mail without one."""
        found = _CODE.search(self.text)
        return found[1] if found else ""

    def as_json(self) -> dict[str, str]:
        """`to`, `subject`, `text` and `received_at` (ISO 8601, UTC); of a text also `kind`."""
        at = datetime.fromtimestamp(self.received_at, UTC).isoformat(timespec="seconds")
        found = {"to": self.to, "subject": self.subject, "text": self.text, "received_at": at}
        return {**found, "kind": "sms"} if self.subject == TEXT else found


class Inbox:
    """All mail of the demo. Use as a context: `async with Inbox(clock) as inbox`; `port` is then known."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mails: deque[Mail] = deque(maxlen=KEPT)
        self._number = 0
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def mails(self) -> tuple[Mail, ...]:
        """The last 200, newest first."""
        return tuple(reversed(self._mails))

    async def __aenter__(self) -> "Inbox":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connection, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()

    def _connection(self) -> SMTP:
        return SMTP(self, hostname="inbox.demo", enable_SMTPUTF8=True, loop=asyncio.get_running_loop())

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """Keep one mail; the answer is SMTP's."""
        content = envelope.content or b""
        raw = content.encode() if isinstance(content, str) else content
        mail = message_from_bytes(raw, _class=EmailMessage, policy=policy.default)
        text, html = _part(mail, "plain"), _part(mail, "html")
        sender = mail["From"].addresses[0].display_name if mail["From"] else ""
        for to in envelope.rcpt_tos:
            self._keep(str(to), str(mail["Subject"] or ""), text, sender, html)
        return "250 kept"

    def keep_text(self, to: str, text: str) -> None:
        """Keep one text message."""
        host = _HOST.search(text)
        self._keep(to, TEXT, text, host[1] if host else "", f"<pre>{escape(text)}</pre>")

    def keep_mail(self, to: str, subject: str, text: str, sender: str, html: str) -> None:
        """Keep one mail that came on another way than by SMTP."""
        self._keep(to, subject, text, sender, html)

    def sms_gateway(self) -> web.Application:
        """An SMS gateway that keeps each text: `POST /` with `to` and `text` as JSON."""
        app = web.Application(middlewares=[loopback_only])
        app.add_routes([web.post("/", self._text)])
        return app

    async def _text(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.keep_text(str(body["to"]), str(body["text"]))
        return web.json_response({"status": "queued"}, status=201)

    def _keep(self, to: str, subject: str, text: str, sender: str, html: str) -> None:
        self._number += 1
        self._mails.append(Mail(to, subject, text, self._clock.now(), self._number, sender, html))


def _part(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()).replace("\r\n", "\n") if part is not None else ""
