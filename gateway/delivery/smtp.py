"""Composes mails, and sends them by SMTP.

A mail has exactly one recipient, and no value can break out of its header: `Message` and `compose` reject line breaks,
and each address is parsed first and must be exactly one.

The mailer tries the relays (SMTP servers) of a channel in order, and the next one only if it cannot connect. If a
connection breaks before the text was sent, the mailer may safely retry, first on a new connection to the same relay.
After the end of DATA the relay may have accepted the mail, even if the connection breaks (RFC 5321 4.5.3.2.6,
RFC 1047), so nothing is retried. Connections are pooled by `Relay` value. The result is a value: `Sent`, or `NotSent`
with a reason for the operator. Log lines contain neither full addresses nor texts.
"""

import asyncio
import re
import socket
import ssl
import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.charset import QP, Charset
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import format_datetime, quote
from functools import lru_cache
from html import escape
from typing import Any

import structlog
from aiohappyeyeballs import start_connection
from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponse,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

from gateway.crypto.tls import client_context
from gateway.delivery.conversation import Conversation
from gateway.domain.channel import Channel, MailSecurity, Relay
from gateway.domain.ports import Clock, Random, SystemClock, SystemRandom
from gateway.observe.connection_errors import why_not_connected
from gateway.observe.redaction import DOTS, mask_address

BUDGET = 10.0
"""Seconds for one mail over all relays, including the wait for a free connection."""
MAX_SUBJECT = 200
LONGEST_QUOTED = 60
"""Characters of a sender's name that stays on one line; a longer one is encoded, which can be folded anywhere."""
LF, CRLF = "\n", "\r\n"
MAX_ADDRESS = 320
"""Longest text that is accepted as an address, in characters; mail servers accept 254 at most (RFC 5321 4.5.3.1)."""
TEST_BUDGET = 60.0
"""Seconds for a test message: longer than a relay may take, so that the reason names the relay."""
TEST_NAME = "EFCX 2FA gateway"
TEST_SUBJECT = "Test message"
TEST_TEXT = "The operator of the EFCX 2FA gateway tests the channel {}. You need not do anything."

_MAX_ANSWER = 2_000
# Linear: a match can begin only at the start of a run of characters.
_ADDRESS_IN_TEXT = re.compile(r"(?<![^\s<>\"'(),;:@])[^\s<>\"'(),;:@]++@[^\s<>\"'(),;:]+")
_LINES_OF_SMTP = compat32.clone(linesep=CRLF)
_ASCII = Charset("utf-8")
_ASCII.body_encoding = QP
"""Text is always sent as ASCII: not every relay supports 8BITMIME."""
_CONNECTIONS = 8
_MAILS_PER_CONNECTION = 50  # many relays close a connection after 100
_IDLE = 30.0
_FIRST_RELAYS = 3.0  # seconds for connecting to any relay but the last
_CONNECTIONS_A_MAIL = 3  # attempts with one relay, if each connection breaks before the text was sent
_NEXT_ADDRESS = 0.25  # seconds until the next address of a name is tried beside a silent one (RFC 8305)
_GO_AHEAD, _DONE, _CLOSING, _GO_ON = 354, 250, 421, 334
_LEADING_DOT = re.compile(rb"(?m)^\.")

# The library's documented way to allow these: company mail often uses `.local`, and tests use `.test`.
SPECIAL_USE_DOMAIN_NAMES[:] = [name for name in SPECIAL_USE_DOMAIN_NAMES if name not in ("local", "test")]


@lru_cache(maxsize=1_000)
def one_address(typed: str, *, unqualified: bool = False) -> str | None:
    """`typed` as one address in the spelling used for sending (ASCII, lower-case domain), or None.

    `unqualified`: the domain may be a name without a dot, as a sender of an internal relay may have.

    There is no DNS lookup: a company's mail network has names that public DNS does not know. Display names, lists,
    quoted local parts, address literals, comments and domains without a dot are rejected. Local parts must be ASCII,
    because few relays support SMTPUTF8 (RFC 6531).
    """
    if len(typed) > MAX_ADDRESS or any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in typed):
        return None
    try:
        found = validate_email(
            typed.strip(), check_deliverability=False, globally_deliverable=False, allow_smtputf8=False, strict=True
        )
    except EmailNotValidError:
        return None
    return found.ascii_email if unqualified or "." in found.ascii_domain else None


@dataclass(frozen=True, slots=True)
class Message:
    """One mail to one recipient. `text` and `html` have the same content; both may contain a code and are not printed.

    Raises `ValueError` if `to` is not exactly one address, if the subject is too long, or if a field has several lines.
    """

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)
    language: str
    reference: str

    def __post_init__(self) -> None:
        if one_address(self.to) != self.to:
            raise ValueError("a mail needs exactly one recipient")
        if len(self.subject) > MAX_SUBJECT or any(unicodedata.category(c) in ("Cc", "Cs") for c in self.subject):
            raise ValueError("a subject is one line of at most 200 characters")
        if not f"{self.language}{self.reference}".isprintable():
            raise ValueError("language and reference are parts of one line")


@dataclass(frozen=True, slots=True)
class Sent:
    """`relay` (host:port) accepted the mail at `at` (seconds since the epoch)."""

    at: float
    relay: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """No relay accepted the mail. `reason`: for the log, without addresses.

    `temporary`: a retry later may succeed. `unknown`: a relay has the text and did not answer, so it may deliver the
    mail. `of_recipient`: a relay rejected the recipient, so the channel works.
    """

    reason: str
    temporary: bool
    unknown: bool = False
    of_recipient: bool = False


class Mailer:
    """Sends mails. Build one for the whole process, and close it at the end."""

    def __init__(
        self, clock: Clock, random: Random, *, budget: float = BUDGET, conversation: Conversation | None = None
    ) -> None:
        self._clock = clock
        self._random = random
        self._budget = budget
        self._conversation = conversation
        self._pools: dict[Relay, _Pool] = {}
        self._failing: dict[str, str] = {}
        self._log = structlog.get_logger("delivery.mail")

    async def send(self, channel: Channel, message: Message) -> Sent | NotSent:
        """Send `message` by the first relay of `channel` that can be reached, within the budget."""
        raw = compose(
            message,
            sender=channel.sender,
            sender_name=channel.sender_name,
            now=self._clock.now(),
            unique=self._random.token_bytes(12).hex(),
        )
        unanswered = asyncio.Event()
        try:
            async with asyncio.timeout(self._budget):
                result = await self._send(channel, message.to, raw, unanswered)
        except TimeoutError:
            result = NotSent(f"no relay accepted the mail within {self._budget:g} s", temporary=True)
        if isinstance(result, NotSent):
            result = replace(result, unknown=unanswered.is_set())
        self._report(channel, message, result)
        return result

    async def check(self) -> tuple[str, ...]:
        """The readiness check: a warning for each channel whose last mail no relay took. Nothing is sent for it."""
        return tuple(f"the last mail of {name} was not sent: {why}" for name, why in self._failing.items())

    async def close(self) -> None:
        """Close all connections."""
        pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close_idle()

    async def _send(self, channel: Channel, to: str, raw: bytes, unanswered: asyncio.Event) -> Sent | NotSent:
        """As `send`; `unanswered` is set while a relay has the text and has not answered."""
        self._sweep()
        failures: list[str] = []
        for number, relay in enumerate(channel.relays, start=1):
            name = f"{relay.host}:{relay.port}"
            patience = relay.timeout if number == len(channel.relays) else min(relay.timeout, _FIRST_RELAYS)
            try:
                await self._hand_over(relay, patience, channel.sender, to, raw, unanswered=unanswered)
                return Sent(self._clock.now(), name)
            except _NoConnection as error:
                failures.append(f"{name}: {error}")
            except SMTPAuthenticationError as error:
                why = f"{name}: rejected the user name or password ({_words(error)}); correct both in the relay"
                return NotSent(why, temporary=False)
            except (SMTPException, OSError) as error:
                recipient = isinstance(error, SMTPRecipientRefused)
                return NotSent(f"{name}: {_words(error)}", temporary=_is_temporary(error), of_recipient=recipient)
        return NotSent("; ".join(failures) or "the channel has no relay", temporary=bool(failures))

    async def _hand_over(
        self, relay: Relay, patience: float, sender: str, to: str, raw: bytes, *, unanswered: asyncio.Event
    ) -> None:
        """Returns when the relay has accepted the mail. Raises `_NoConnection` only if the relay cannot have it."""
        for attempt in range(1, _CONNECTIONS_A_MAIL + 1):
            try:
                async with self._pool(relay).connection(patience) as connection:
                    await _transfer(connection, sender, to, raw, unanswered)
                    return
            except _Broken as error:
                if attempt == _CONNECTIONS_A_MAIL or not error.at_once:
                    raise

    def _pool(self, relay: Relay) -> "_Pool":
        pool = self._pools.get(relay)
        if pool is None:
            pool = self._pools[relay] = _Pool(relay, self._conversation)
        return pool

    def _sweep(self) -> None:
        """Close connections that are idle for too long, including those to relays that are no longer configured."""
        for relay, pool in list(self._pools.items()):
            pool.close_idle(older_than=_IDLE)
            if pool.is_unused:
                del self._pools[relay]

    def _report(self, channel: Channel, message: Message, result: Sent | NotSent) -> None:
        facts = {"channel": channel.service_identifier, "to": mask_address(message.to), "reference": message.reference}
        match result:
            case Sent(relay=relay):
                self._failing.pop(channel.service_identifier, None)
                self._log.info("mail_sent", relay=relay, **facts)
            case NotSent(reason, temporary, unknown):
                if not result.of_recipient:
                    self._failing[channel.service_identifier] = reason
                self._log.warning("mail_not_sent", reason=reason, temporary=temporary, unknown=unknown, **facts)


async def send_test(channel: Channel, to: str, conversation: Conversation) -> str:
    """Send a mail without a code to `to` and report the conversation; return why it was not sent, "" if it was."""
    address = one_address(to)
    if address is None:
        return f"{to} is no mail address"
    text = TEST_TEXT.format(channel.service_identifier)
    message = Message(address, TEST_SUBJECT, f"{text}\n", f"<p>{escape(text)}</p>\n", "en", "")
    mailer = Mailer(SystemClock(), SystemRandom(), budget=TEST_BUDGET, conversation=conversation)
    try:
        sent = await mailer.send(replace(channel, sender_name=channel.sender_name or TEST_NAME), message)
    finally:
        await mailer.close()
    return sent.reason if isinstance(sent, NotSent) else ""


def compose(message: Message, *, sender: str, sender_name: str, now: float, unique: str) -> bytes:
    """The mail as bytes for SMTP (RFC 5322, lines end in CRLF).

    `unique` makes the Message-ID unique. `Auto-Submitted` (RFC 3834) prevents automatic replies; Exchange uses its own
    header for that.
    """
    head = (
        _from(sender_name, sender),
        _subject(message.subject),
        f"To: {message.to}",
        f"Date: {format_datetime(datetime.fromtimestamp(now, UTC))}",
        f"Message-ID: <{message.reference or 'gateway'}.{unique}@{sender.rpartition('@')[2]}>",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        f"Content-Language: {message.language}",
    )
    # Without a boundary of ours the library searches the parts for its own. "=_" is never in quoted-printable text.
    mail = MIMEMultipart("alternative", boundary=f"=_{unique}", policy=_LINES_OF_SMTP)
    for text, subtype in ((message.text, "plain"), (message.html, "html")):
        whole = f"{text.removesuffix(LF)}{LF}"
        mail.attach(MIMEText(whole, subtype, _ASCII, policy=_LINES_OF_SMTP))  # type: ignore[arg-type]  # not only a name
    return f"{CRLF.join(head)}{CRLF}".encode("ascii") + mail.as_bytes()


# A `policy.SMTP` takes three times as long: it parses every field. It also loses blanks between encoded words, and the
# quotes of a long name that it folds. `Header` does neither.
def _subject(text: str) -> str:
    plain = text.isascii() and text.isprintable() and "=?" not in text
    return f"Subject: {Header(text, 'us-ascii' if plain else 'utf-8', header_name='Subject').encode(linesep=CRLF)}"


def _from(name: str, address: str) -> str:
    if name.isascii() and name.isprintable() and "=?" not in name and len(name) <= LONGEST_QUOTED:
        return f'From: "{quote(name)}" <{address}>' if name else f"From: {address}"
    field = Header(name, "utf-8", header_name="From")
    field.append(f"<{address}>", "us-ascii")
    return f"From: {field.encode(linesep=CRLF)}"


class _NoConnection(Exception):
    """There is no usable connection to a relay; no part of the mail was sent."""


class _Broken(_NoConnection):
    """A connection broke before the text was sent; `at_once`: it broke without a timeout."""

    def __init__(self, words: str, *, at_once: bool) -> None:
        super().__init__(words)
        self.at_once = at_once


async def _transfer(connection: "_Connection", sender: str, to: str, raw: bytes, unanswered: asyncio.Event) -> None:
    """Sends one mail command by command, so that on an error it is known whether the text was sent.

    Raises `_Broken` for a broken connection before that; `SMTPException` if the relay rejects the mail, and for every
    error after the text was sent.
    """
    try:
        await connection.mail(sender)
        await connection.rcpt(to)
        answer = await connection.execute_command(b"DATA")
    except SMTPServerDisconnected as error:
        raise _Broken(_words(error), at_once=True) from error
    except SMTPTimeoutError as error:
        raise _Broken(_words(error), at_once=False) from error
    except SMTPResponseException as error:
        if error.code == _CLOSING:  # RFC 5321 3.8: the relay closes this connection; this is no verdict on the mail
            raise _Broken(_words(error), at_once=True) from error
        raise
    if answer.code == _CLOSING or connection.protocol is None:
        raise _Broken(f"the relay answered {answer.code}", at_once=True)
    if answer.code != _GO_AHEAD:
        raise SMTPDataError(answer.code, answer.message)
    unanswered.set()
    connection.protocol.write(_LEADING_DOT.sub(b"..", raw).removesuffix(b"\r\n") + b"\r\n.\r\n")
    connection.said(f"(the mail, {len(raw)} bytes)")
    answer = connection.heard(await connection.protocol.read_response(timeout=connection.timeout))
    unanswered.clear()
    if answer.code != _DONE:
        raise SMTPDataError(answer.code, answer.message)


class _Connection(SMTP):
    """A connection of the library that reports its commands and replies to a conversation, if there is one."""

    def __init__(self, conversation: Conversation | None, **options: Any) -> None:
        super().__init__(**options)
        self._conversation = conversation
        self._is_secret = False  # whether the server asked for a part of the sign-in

    def heard(self, answer: SMTPResponse) -> SMTPResponse:
        """Reports and returns a reply."""
        if self._conversation:
            self._conversation.received(f"{answer.code} " + answer.message.replace("\n", f"\n{answer.code} "))
        self._is_secret = answer.code == _GO_ON
        return answer

    def said(self, text: str) -> None:
        """Reports what was sent."""
        if self._conversation:
            self._conversation.sent(text)

    async def execute_command(self, *words: bytes, **options: Any) -> SMTPResponse:
        """As the library's, and reports command and reply."""
        shown = [DOTS] if self._is_secret else [word.decode("ascii", "replace") for word in words]
        self.said(" ".join([*shown[:2], DOTS] if words[0] == b"AUTH" and len(words) > 2 else shown))
        return self.heard(await super().execute_command(*words, **options))

    async def starttls(self, **options: Any) -> SMTPResponse:
        """As the library's, and reports the command, whose reply is no success before the connection is encrypted."""
        try:
            answer = await super().starttls(**options)
        except (SMTPException, OSError):
            if self.supports_extension("starttls"):
                self.said("STARTTLS")
            raise
        self.said("STARTTLS")
        return self.heard(answer)


class _Pool:
    """Connections to one relay; each carries one mail at a time."""

    def __init__(self, relay: Relay, conversation: Conversation | None) -> None:
        self._relay = relay
        self._conversation = conversation
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self._users = 0
        self._idle: list[tuple[_Connection, float, int]] = []  # connection, idle since (loop time), mails sent by it
        self._context: ssl.SSLContext | None = None

    @property
    def is_unused(self) -> bool:
        """Whether no connection is in use, awaited or idle."""
        return not self._idle and self._users == 0

    @asynccontextmanager
    async def connection(self, patience: float) -> AsyncIterator["_Connection"]:
        """A working connection; it is kept for the next mail only if this one was accepted."""
        self._users += 1
        try:
            async with self._slots:
                connection, mails = await self._take(patience)
                try:
                    yield connection
                except BaseException:
                    connection.close()
                    raise
                if mails + 1 < _MAILS_PER_CONNECTION:
                    self._idle.append((connection, asyncio.get_running_loop().time(), mails + 1))
                else:
                    connection.close()
        finally:
            self._users -= 1

    def close_idle(self, older_than: float = -1.0) -> None:
        """Close connections that have been idle for more than `older_than` seconds."""
        now = asyncio.get_running_loop().time()
        for kept in [entry for entry in self._idle if now - entry[1] > older_than]:
            self._idle.remove(kept)
            kept[0].close()

    async def _take(self, patience: float) -> tuple["_Connection", int]:
        while self._idle:
            connection, _, mails = self._idle.pop()
            # Relays close idle connections silently. A check costs one round trip; a lost mail costs a login.
            try:
                await connection.noop(timeout=min(2.0, patience))
            except (SMTPException, OSError):
                connection.close()
            except BaseException:
                connection.close()
                raise
            else:
                return connection, mails
        return await self._connect(patience), 0

    async def _connect(self, patience: float) -> "_Connection":
        relay = self._relay
        connection = _Connection(
            self._conversation,
            hostname=relay.host,
            use_tls=relay.security is MailSecurity.TLS,
            start_tls=False,  # below, so that the greeting comes first in a conversation
            local_hostname=relay.greeting or socket.gethostname(),
            tls_context=self._tls_context(),
            timeout=patience,
        )
        if self._conversation:
            self._conversation.note(f"{relay.host}:{relay.port}, security {relay.security.value}")
        try:
            async with asyncio.timeout(patience):
                loop = asyncio.get_running_loop()  # the library alone would wait for each address of a name in turn
                found = await loop.getaddrinfo(relay.host, relay.port, type=socket.SOCK_STREAM)
                connected = await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS, interleave=1)
                connection.heard(await connection.connect(sock=connected))
                if relay.security is MailSecurity.STARTTLS:
                    await connection.starttls()
                if relay.username is not None:
                    await connection.login(relay.username, relay.password.value if relay.password else "")
        except SMTPAuthenticationError as error:
            connection.close()
            if _is_temporary(error):  # RFC 4954 6: 454 is no verdict on the password
                raise _NoConnection(f"cannot authenticate now: {_words(error)}") from error
            raise
        except (SMTPException, OSError) as error:  # a TimeoutError is an OSError
            connection.close()
            raise _NoConnection(_words(error)) from error
        except BaseException:
            connection.close()
            raise
        connection.timeout = relay.timeout
        return connection

    def _tls_context(self) -> ssl.SSLContext | None:
        if self._relay.security is MailSecurity.NONE:
            return None
        if self._context is None:
            try:
                self._context = client_context(self._relay.tls)
            except OSError as error:  # ssl.SSLError is one
                raise _NoConnection(f"a file of the setting tls.smtp cannot be used: {error}") from error
        return self._context


def _words(error: Exception) -> str:
    """The error in words for operators, without an address."""
    where = "host, port and security of the relay"
    match error:
        case SMTPSenderRefused():
            return f"the relay rejected the sender: {_answer(error)}; correct `from` of the channel"
        case SMTPRecipientRefused():
            return f"the relay rejected the recipient: {_answer(error)}"
        case SMTPResponseException():
            return f"the relay answered {_answer(error)}"
        case SMTPConnectError(__cause__=SMTPServerDisconnected(__cause__=None)):
            return f"the relay closed the connection at once; check {where}: it may expect TLS"
        case _:
            why = why_not_connected(error, tls="tls.smtp", address=where, no_tls="set `security: starttls`")
            return without_addresses(why)


def _answer(error: SMTPResponseException) -> str:
    return f"{error.code} {without_addresses(error.message)}"


def _is_temporary(error: Exception) -> bool:
    """Whether a later attempt may succeed: only a 5xx reply is final (RFC 5321 4.2.1)."""
    return not (isinstance(error, SMTPResponseException) and error.code >= 500)


def without_addresses(text: str) -> str:
    """Return a relay's `text` for the log: one line of at most 200 characters without addresses."""
    return _ADDRESS_IN_TEXT.sub("…@…", " ".join(text[:_MAX_ANSWER].split()))[:200]
