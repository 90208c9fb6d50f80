"""Makes, digests and compares one-time codes.

A code of 6 digits has 20 bits, so an attacker with a dump of the store can reverse any plain hash in seconds. The
stored digest is therefore an HMAC under a key outside the store, bound to the challenge and the address. Codes are
compared digest to digest. Users type digits of other scripts, spaces, hyphens and direction marks; `fold` converts
them to plain digits before any check.
"""

import unicodedata

from gateway.crypto.signing import Signer
from gateway.domain.ports import Random

_IGNORED_CATEGORIES = frozenset({"Zs", "Pd", "Cf", "Cc"})
MAX_TYPED = 64


def make(digits: int, random: Random) -> str:
    """A uniformly random code of exactly `digits` digits."""
    return str(random.below(10**digits)).zfill(digits)


def digest(signer: Signer, code: str, *bound_to: str) -> str:
    """The stored form of `code`: a keyed digest, bound to the given challenge, user and address."""
    return signer.sign(code, *bound_to)


def matches(signer: Signer, kept: str, code: str, *bound_to: str) -> bool:
    """Whether `kept` is the digest of `code` for the same challenge, user and address."""
    return signer.verify(kept, code, *bound_to)


def fold(typed: str) -> str:
    """`typed` with ASCII digits for those of any script, and without spaces, hyphens and direction marks.

    Other characters stay, so that letters are rejected as a wrong code. At most 64 characters are kept.
    """
    kept = []
    for character in typed[: MAX_TYPED * 4]:
        if (value := unicodedata.decimal(character, None)) is not None:
            kept.append(str(value))
        elif unicodedata.category(character) not in _IGNORED_CATEGORIES:
            kept.append(character)
    return "".join(kept)[:MAX_TYPED]
