"""Parses session cookies and computes the place (store key) of their session.

The cookie value is `<tag>.<secret>`. The tag (16 bytes, URL-safe base64) groups the records of one browser, the secret
(32 bytes) opens the session. The store contains only the secret's SHA-256, so a dump of the store opens no session.
256 random bits need no slow hash.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache

from gateway.store.records import RecordKey

_VALUE = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SessionKey:
    """The place of one session: tenant id, tag, and the digest of the secret (64 hex characters)."""

    tenant: str
    tag: str
    digest: str

    def __hash__(self) -> int:
        """The hash of the digest alone: it is different for each session, and computed once."""
        return hash(self.digest)

    @property
    def key(self) -> RecordKey:
        """The session's key among the records of the tenant."""
        return RecordKey(self.tag, self.digest)


def of_cookie(tenant_id: str, value: str, *, pages: bool = False) -> SessionKey | None:
    """The place for a cookie value; None for a value that the gateway cannot have issued.

    `pages`: the cookie came to a host of pages alone (`pages_host`). Its place differs from that of the same value at
    an app's host, so no cookie of one host opens anything at the other.
    """
    match = _VALUE.fullmatch(value)
    if match is None:
        return None
    return SessionKey(tenant_id, match[1], _sha256(f"pages:{match[2]}" if pages else match[2]).hex())


def public_id(place: SessionKey) -> str:
    """The session's public id, for pages, logs and APIs: 22 characters that cannot open the session."""
    return _public_id(place.tenant, place.digest)


@lru_cache(maxsize=1_000)
def _public_id(tenant: str, digest: str) -> str:
    raw = _sha256(f"session id:{tenant}:{digest}")[:16]
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
