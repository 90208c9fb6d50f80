"""Does this store belong to this key ring?

The store keeps a digest of each key it was ever served with. A ring that lacks one of them is a wrong one: it would
stop users one by one, each as if somebody had changed his registration. A ring with further keys is the same one after
a rotation, and its keys are kept from then on. Nothing in the record tells a key.
"""

import hashlib
import json
from dataclasses import dataclass

from gateway.crypto.sealing import KeyRing
from gateway.domain.errors import Conflict, Misconfigured
from gateway.store.protocol import Store

KEY = "ring"
LIFE = 10 * 365 * 86400.0
_TRIES = 5


@dataclass(frozen=True, slots=True)
class RingDigest:
    """What the store knows: the ring's fingerprint as it was last served with, and a digest of each key."""

    fingerprint: str
    keys: frozenset[str]


async def check(store: Store, ring: KeyRing) -> bool:
    """Whether the store has learnt a key just now; a store that knows no ring learns this one.

    Raises `errors.Misconfigured`, naming both fingerprints, when the store knows a key that the ring lacks;
    `errors.Unreachable` when the store does not answer.
    """
    own = RingDigest(ring.fingerprint, _digests(ring))
    for _ in range(_TRIES):
        raw = await store.get(KEY)
        if raw is None:
            if await store.add(KEY, _written(own), LIFE):
                return True
            continue  # another replica began at the same moment
        known = _read(raw)
        if missing := known.keys - own.keys:
            raise Misconfigured(
                f"key ring {own.fingerprint}",
                f"is not the one of the store, {known.fingerprint}: it lacks {len(missing)} of the {len(known.keys)} "
                "keys that the store was served with; put that ring back, or name another store.prefix",
            )
        if await store.swap(KEY, raw, _written(own), LIFE):  # also when nothing is new: its life begins again
            return own.keys != known.keys
    raise Conflict("the store", "its key ring was changed again and again while it was read")


def _digests(ring: KeyRing) -> frozenset[str]:
    return frozenset(hashlib.sha256(key).hexdigest()[:16] for key in ring.derive("known-ring"))


def _written(known: RingDigest) -> bytes:
    return json.dumps({"fingerprint": known.fingerprint, "keys": sorted(known.keys)}).encode()


def _read(raw: bytes) -> RingDigest:
    try:
        held = json.loads(raw)
        return RingDigest(str(held["fingerprint"]), frozenset(map(str, held["keys"])))
    except (ValueError, KeyError, TypeError) as error:
        raise Misconfigured("the store", f"what it holds under {KEY} is damaged, or no gateway's") from error
