"""The key ring, and the two uses of its keys: sealing and signing.

- Sealing: readers of the store or of Keycloak can neither open nor move a value. The cipher is AES-256-GCM
  (NIST SP 800-38D) with a fresh 96-bit nonce. The caller's context (key name, tenant, user) is the additional data, so
  a value that was moved elsewhere does not open. The key's id precedes the ciphertext: the newest key of the ring
  seals, every key opens.
- Signing: the gateway recognises values that it handed out, without storing them. The signature is HMAC-SHA256 over the
  length-prefixed parts, with the newest key. Verification accepts every key of the ring.

The key of each purpose is derived from the ring's keys by HKDF (RFC 5869) with the purpose as label, so no key serves
two purposes.
"""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.domain.ports import Random

_FORMAT = b"\x01"
_NONCE, _TAG = 12, 16
KEY_BYTES = 32
ID_BYTES = 4
_HEAD = 1 + ID_BYTES


class Unopenable(Exception):
    """The value was sealed by another ring or for another context, or was changed. Treat it as absent or tampered."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the ring: `id` is 8 hex characters, `value` 32 bytes, `created_at` seconds since the epoch."""

    id: str
    value: bytes = field(repr=False)
    created_at: float = 0.0


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one installation, newest first, the same on every replica. `fingerprint` identifies the ring."""

    keys: tuple[Key, ...]

    def __post_init__(self) -> None:
        if not self.keys:
            raise ValueError("a key ring needs a key")

    @property
    def fingerprint(self) -> str:
        """12 hex characters that identify this set of keys and reveal none."""
        digest = hashlib.sha256(b"ring")
        for key in sorted(self.keys, key=lambda k: k.id):
            digest.update(hashlib.sha256(b"fingerprint" + key.value).digest())
        return digest.hexdigest()[:12]

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """One 32-byte key for `purpose` from each key of the ring, newest first."""
        return tuple(_derive(key.value, purpose) for key in self.keys)


class Sealer:
    """Seals and opens values for one purpose."""

    def __init__(self, ring: KeyRing, purpose: str, random: Random) -> None:
        self._random = random
        self._newest = bytes.fromhex(ring.keys[0].id)
        self._ciphers = {bytes.fromhex(k.id): AESGCM(_derive(k.value, f"seal:{purpose}")) for k in ring.keys}

    def seal(self, value: bytes, context: str) -> bytes:
        """`value` sealed for `context`; the result is 33 bytes longer."""
        nonce = self._random.token_bytes(_NONCE)
        head = _FORMAT + self._newest
        body = self._ciphers[self._newest].encrypt(nonce, value, head + context.encode())
        return head + nonce + body

    def open(self, sealed: bytes, context: str) -> bytes:
        """The value that was sealed for `context`; raises `Unopenable`."""
        head, nonce, body = sealed[:_HEAD], sealed[_HEAD : _HEAD + _NONCE], sealed[_HEAD + _NONCE :]
        cipher = self._ciphers.get(head[1:])
        if head[:1] != _FORMAT or cipher is None:
            raise Unopenable("sealed in another format or by a key that is not in the ring")
        try:
            return cipher.decrypt(nonce, body, head + context.encode())
        except (InvalidTag, ValueError) as error:
            raise Unopenable("does not open in this context") from error

    def seal_text(self, value: bytes, context: str) -> str:
        """`seal` as URL-safe base64 without padding."""
        return base64.urlsafe_b64encode(self.seal(value, context)).rstrip(b"=").decode()

    def open_text(self, sealed: str, context: str) -> bytes:
        """The counterpart of `seal_text`; raises `Unopenable`."""
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
        except ValueError as error:
            raise Unopenable("not base64") from error
        return self.open(raw, context)

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the ring's keys, newest first."""
        return tuple(key.hex() for key in self._ciphers)

    def uses_newest(self, sealed: str) -> bool:
        """Whether the text `sealed`, which opens, was sealed by the newest key."""
        return key_of(_start(sealed)) == self._newest.hex()


def seal_of(sealed: bytes) -> bytes:
    """What no two sealed values have in common: the nonce and the tag of one."""
    return sealed[_HEAD : _HEAD + _NONCE] + sealed[-_TAG:]


def key_of(sealed: bytes) -> str:
    """The id of the key that sealed a value, of any ring; "" if the value has another format."""
    return sealed[1 : 1 + ID_BYTES].hex() if sealed[:1] == _FORMAT and len(sealed) > ID_BYTES else ""


def key_of_text(sealed: str) -> str:
    """`key_of` for a text that `Sealer.seal_text` made."""
    try:
        return key_of(_start(sealed))
    except ValueError:
        return ""


def _start(sealed: str) -> bytes:
    """The first bytes of a sealed text, with its key's id."""
    return base64.urlsafe_b64decode(sealed[:8])


class Signer:
    """Signs and verifies tuples of text for one purpose."""

    def __init__(self, ring: KeyRing, purpose: str) -> None:
        self._keys = ring.derive(f"sign:{purpose}")

    def sign(self, *parts: str, key: int = 0) -> str:
        """A 43-character URL-safe signature of `parts`, by the ring's key at this place (newest first)."""
        texts = [part.encode("utf-8", "surrogatepass") for part in parts]
        signed = b"".join([len(text).to_bytes(8, "big") + text for text in texts])
        return base64.urlsafe_b64encode(hmac.digest(self._keys[key], signed, "sha256")).rstrip(b"=").decode()

    def verify(self, signature: str, *parts: str) -> bool:
        """Whether `signature` was made for exactly these parts; constant time per key."""
        given = signature.encode("utf-8", "replace")
        keys = range(len(self._keys))
        return any([hmac.compare_digest(given, self.sign(*parts, key=key).encode()) for key in keys])


def _derive(key: bytes, purpose: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=b"efcx-gateway:" + purpose.encode()).derive(key)
