"""What does a session cookie say, and where does its session stand?

The value is `<tag>.<secret>`: the tag (16 bytes, URL-safe base64) places the records of one browser together, the
secret (32 bytes) opens the session. The store knows only the secret's SHA-256: 256 random bits need no slow hash, and
a dump of the store signs nobody in.
"""

import base64
import hashlib
import re
from dataclasses import dataclass

from gateway.store.records import RecordKey

_VALUE = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Where one session stands: tenant id, tag, and the digest of the secret (64 hex characters)."""

    tenant: str
    tag: str
    digest: str

    @property
    def key(self) -> RecordKey:
        """Its key among the records of the tenant."""
        return RecordKey(self.tag, self.digest)


def of_cookie(tenant_id: str, value: str) -> SessionKey | None:
    """The place that a cookie value names; None for everything that the gateway cannot have made."""
    match = _VALUE.fullmatch(value)
    return SessionKey(tenant_id, match[1], _sha256(match[2]).hex()) if match else None


def public_id(place: SessionKey) -> str:
    """The session's id for people, logs and programs: 22 characters, as random as the secret, that open nothing."""
    raw = _sha256(f"session id:{place.tenant}:{place.digest}")[:16]
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
