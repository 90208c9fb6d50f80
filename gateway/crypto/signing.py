"""Signs values that the gateway hands out, so that it recognises them without storing them.

The signature is HMAC-SHA256 over the length-prefixed parts, with the ring's newest key for the purpose. Verification
accepts every key of the ring.
"""

import base64
import hashlib
import hmac

from gateway.crypto.sealing import KeyRing


class Signer:
    """Signs and verifies tuples of text for one purpose."""

    def __init__(self, ring: KeyRing, purpose: str) -> None:
        self._keys = ring.derive(f"sign:{purpose}")

    def sign(self, *parts: str, key: int = 0) -> str:
        """A 43-character URL-safe signature of `parts`, by the ring's key at this place (newest first)."""
        mac = hmac.new(self._keys[key], digestmod=hashlib.sha256)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            mac.update(len(data).to_bytes(8, "big") + data)
        return base64.urlsafe_b64encode(mac.digest()).rstrip(b"=").decode()

    def verify(self, signature: str, *parts: str) -> bool:
        """Whether `signature` was made for exactly these parts; constant time per key."""
        given = signature.encode("utf-8", "replace")
        keys = range(len(self._keys))
        return any([hmac.compare_digest(given, self.sign(*parts, key=key).encode()) for key in keys])
