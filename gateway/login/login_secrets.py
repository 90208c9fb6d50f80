"""Derives the secrets of a login: each accepted proof is answered with a new one.

See `docs/security.md`, chain of custody. A login secret is a cookie's value; the store holds only its SHA-256. The next
secret is derived from the one that the browser sent and from the form it sent, under a key of the key ring. So the very
same form, secret and entry get the very same answer (a double click, a lost answer), without any secret being kept; and
no one else can compute it: the key ring is secret, and a form carries a random id.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.crypto.signing import Signer
from gateway.domain.ports import Random

PURPOSE = "login-secrets"
"""The purpose for which the `Signer` is made."""
NOT_TYPED = frozenset({"csrf", "to", "form"})
"""Fields of a form that are no part of what the user entered."""
_TAG_LENGTH = 22


def digest(secret: str) -> str:
    """The SHA-256 (hex) of a login secret: the key of its record. 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class LoginSecrets:
    """Derives login, session and trust secrets: 43 characters of URL-safe base64 each (256 bits)."""

    signer: Signer
    random: Random

    def form(self, tenant: str, secret: str | None, page: str, fields: Mapping[str, str]) -> str:
        """Names one form with its entry, as sent with `secret`; keyed, so that it tells no entry.

        A form without an id gets another name each time: then no answer is repeated.
        """
        form_id = fields.get("form") or self.random.token_bytes(16).hex()
        typed = [part for name in sorted(fields) if name not in NOT_TYPED for part in (name, fields[name])]
        return self.signer.sign("form", tenant, secret or "", page, form_id, *typed)

    def entry(self, *parts: str) -> str:
        """Names an entry without its form, for requests that are under way at the same time."""
        return self.signer.sign("entry", *parts)

    def after(self, secret: str, form: str) -> str:
        """The login secret that the answer to `form` (see `form`), sent with `secret`, sets."""
        return self.signer.sign("next", secret, form)

    def session(self, secret: str) -> str:
        """The secret of the session that spends the login secret `secret`."""
        return self.signer.sign("session", secret)

    def trust(self, secret: str) -> str:
        """The secret of the browser trusted by the login that `secret` ends."""
        return self.signer.sign("trust", secret)

    def trust_tag(self, secret: str) -> str:
        """The tag under which that browser's trust is kept; known to no other browser."""
        return self.signer.sign("trust-tag", secret)[:_TAG_LENGTH]
