"""How is a one-time code made, kept and compared?

A code of 6 digits has 20 bits: any hash of it is broken in seconds from a dump of the store, so what is kept is an
HMAC under a key outside the store, bound to the challenge and the address. Codes are compared digest to digest.
People type digits of other scripts, blanks, hyphens and marks of direction: `fold` makes plain digits of them before
anything is looked at (GW-32).
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
    """What is kept of `code`: a keyed digest bound to the challenge, user and address given."""
    return signer.sign(code, *bound_to)


def matches(signer: Signer, kept: str, code: str, *bound_to: str) -> bool:
    """Whether `code` is the one whose digest was kept, for the same challenge, user and address."""
    return signer.verify(kept, code, *bound_to)


def fold(typed: str) -> str:
    """`typed` as plain text: decimal digits of any script become ASCII, blanks, hyphens and bidi marks go.

    Other characters stay, so that a code of letters is refused for what it is. At most 64 characters are kept.
    """
    kept = []
    for character in typed[: MAX_TYPED * 4]:
        if (value := unicodedata.decimal(character, None)) is not None:
            kept.append(str(value))
        elif unicodedata.category(character) not in _IGNORED_CATEGORIES:
            kept.append(character)
    return "".join(kept)[:MAX_TYPED]
