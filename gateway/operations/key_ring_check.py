"""Checks that the store belongs to this key ring.

The store keeps a digest of each key that a gateway has used with it. A key ring that lacks one of them is wrong: it
would stop users one by one, as if their enrolments had been tampered with. A key ring with additional keys is the same
one after a rotation; the store then keeps the digests of those keys too. The record reveals no key.
"""

import hashlib
import json
from dataclasses import dataclass

from gateway.crypto.key_ring import KeyRing
from gateway.domain.errors import Conflict, Misconfigured
from gateway.store.protocol import Store

KEY = "ring"
LIFE = 10 * 365 * 86400.0
_TRIES = 5


@dataclass(frozen=True, slots=True)
class RingDigest:
    """The record in the store: the fingerprint of the last key ring used, and a digest of each key."""

    fingerprint: str
    keys: frozenset[str]


async def check(store: Store, ring: KeyRing) -> bool:
    """Compare the key ring with the store's record, and add new keys to it; whether a key was added.

    A store without a record accepts this key ring.

    Raises `errors.Misconfigured`, naming both fingerprints, if the store has a key that the ring lacks;
    `errors.Unreachable` if the store does not respond.
    """
    own = RingDigest(ring.fingerprint, _digests(ring))
    for _ in range(_TRIES):
        raw = await store.get(KEY)
        if raw is None:
            if await store.add(KEY, _written(own), LIFE):
                return True
            continue  # another replica wrote the record at the same moment
        known = _read(raw)
        if missing := known.keys - own.keys:
            raise Misconfigured(
                f"key ring {own.fingerprint}",
                f"is not the store's key ring {known.fingerprint}: it lacks {len(missing)} of the {len(known.keys)} "
                "keys used with this store; restore that key ring, or set another store.prefix",
            )
        if await store.swap(KEY, raw, _written(own), LIFE):  # also without new keys: this renews the expiry
            return own.keys != known.keys
    raise Conflict("the store", "its key ring record was changed by others too often")


def _digests(ring: KeyRing) -> frozenset[str]:
    return frozenset(hashlib.sha256(key).hexdigest()[:16] for key in ring.derive("known-ring"))


def _written(known: RingDigest) -> bytes:
    return json.dumps({"fingerprint": known.fingerprint, "keys": sorted(known.keys)}).encode()


def _read(raw: bytes) -> RingDigest:
    try:
        held = json.loads(raw)
        return RingDigest(str(held["fingerprint"]), frozenset(map(str, held["keys"])))
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured("the store", f"the value of {KEY} is damaged, or another program wrote it") from error
