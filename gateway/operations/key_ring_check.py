"""Checks that the store belongs to this key ring.

The store keeps a digest of each key that a gateway has used with it. A key ring that lacks one of them is wrong: it
would stop users one by one, as if their enrolments had been tampered with. A key ring with additional keys is the same
one after a rotation; the store then keeps the digests of those keys too. The record reveals no key.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from gateway.crypto.key_ring import KeyRing
from gateway.domain.errors import Conflict, Misconfigured
from gateway.store.protocol import Store

KEY = "ring"
LIFE = 10 * 365 * 86400.0
Other = tuple[Path, KeyRing] | None
_TRIES = 5


@dataclass(frozen=True, slots=True)
class RingDigest:
    """The record in the store (`raw`): the fingerprint of the last key ring used, and a digest of each key."""

    fingerprint: str
    keys: frozenset[str]
    raw: bytes = b""


async def check(store: Store, ring: KeyRing, other: Other = None) -> bool:
    """`compare`, and add new keys to the store's record; whether a key was added."""
    for _ in range(_TRIES):
        known = await compare(store, ring, other)
        own = RingDigest(ring.fingerprint, _digests(ring))
        if known is None:
            if await store.add(KEY, _written(own), LIFE):
                return True
        elif await store.swap(KEY, known.raw, _written(own), LIFE):  # also without new keys: this renews the expiry
            return own.keys != known.keys
    raise Conflict("the store", "its key ring record was changed by others too often")


async def compare(store: Store, ring: KeyRing, other: Other = None, *, exactly: bool = False) -> RingDigest | None:
    """The store's record; a store without a record accepts any key ring.

    `other` is another key ring of this installation, with its file: the error names it if it is the right one.
    `exactly`: a key that the store does not know is wrong too, because a serving gateway does not have it.

    Raises `errors.Misconfigured`, naming both fingerprints, if the store has a key that the ring lacks;
    `errors.Unreachable` if the store does not respond.
    """
    raw = await store.get(KEY)
    if raw is None:
        return None
    known, keys = _read(raw), _digests(ring)
    missing, new = len(known.keys - keys), len(keys - known.keys)
    if not missing and not (exactly and new):
        return known
    right = other[0] if other and other[1].fingerprint == known.fingerprint else None
    lacks = f"lacks {missing} of the {len(known.keys)} keys used with this store"
    raise Misconfigured(
        f"key ring {ring.fingerprint}",
        f"is not the store's key ring {known.fingerprint}: it {lacks if missing else f'has {new} more'}; "
        f"{f'use {right}' if right else 'put that key ring back'}. "
        "If this one is right and the store saw a wrong one, set another store.prefix",
    )


def _digests(ring: KeyRing) -> frozenset[str]:
    return frozenset(hashlib.sha256(key).hexdigest()[:16] for key in ring.derive("known-ring"))


def _written(known: RingDigest) -> bytes:
    return json.dumps({"fingerprint": known.fingerprint, "keys": sorted(known.keys)}).encode()


def _read(raw: bytes) -> RingDigest:
    try:
        held = json.loads(raw)
        return RingDigest(str(held["fingerprint"]), frozenset(map(str, held["keys"])), raw)
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured("the store", f"the value of {KEY} is damaged, or another program wrote it") from error
