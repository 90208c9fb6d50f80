"""Composes mails and parses addresses.

A mail has exactly one recipient, and no value can break out of its header. The standard library's `EmailMessage`
rejects line breaks but reads `a@b, c@d` as two recipients, so each address is parsed first and must be exactly one.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email

MAX_SUBJECT = 200
MAX_ADDRESS = 320
"""Longest text that is accepted as an address, in characters; mail servers accept 254 at most (RFC 5321 4.5.3.1)."""
_MAX_ANSWER = 2_000
# Linear: a match can begin only at the start of a run of characters.
_ADDRESS_IN_TEXT = re.compile(r"(?<![^\s<>\"'(),;:@])[^\s<>\"'(),;:@]++@[^\s<>\"'(),;:]+")

# The library's documented way to allow these: company mail often uses `.local`, and tests use `.test`.
SPECIAL_USE_DOMAIN_NAMES[:] = [name for name in SPECIAL_USE_DOMAIN_NAMES if name not in ("local", "test")]


def one_address(typed: str) -> str | None:
    """`typed` as one address in the spelling used for sending (ASCII, lower-case domain), or None.

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
    address = found.ascii_email
    if address is None or "." not in found.ascii_domain:
        return None
    return address


def same_box(address: str) -> str:
    """`address` in a form for comparison: mail servers ignore the case of the local part."""
    return address.casefold()


def without_addresses(text: str) -> str:
    """Return a relay's `text` for the log: one line of at most 200 characters without addresses."""
    return _ADDRESS_IN_TEXT.sub("…@…", " ".join(text[:_MAX_ANSWER].split()))[:200]


@dataclass(frozen=True, slots=True)
class Message:
    """One mail to one recipient. `text` and `html` have the same content; both may contain a code and are not printed.

    Raises `ValueError` if `to` is not exactly one address, or if the subject is too long or has several lines.
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


def compose(message: Message, *, sender: str, sender_name: str, now: float, unique: str) -> bytes:
    """The mail as bytes for SMTP (RFC 5322, lines end in CRLF).

    `unique` makes the Message-ID unique. `Auto-Submitted` (RFC 3834) prevents automatic replies; Exchange uses its own
    header for that.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address(display_name=sender_name, addr_spec=sender)
    mail["To"] = Address(addr_spec=message.to)
    mail["Subject"] = message.subject
    mail["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    mail["Message-ID"] = f"<{message.reference or 'gateway'}.{unique}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    # Always encode as ASCII: not every relay supports 8BITMIME.
    mail.set_content(message.text, cte="quoted-printable")
    mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
    mail["Content-Language"] = message.language  # if set earlier, it would move into the first part
    return mail.as_bytes()
