"""The factor `backup-code`: one of ten codes on paper, each right once.

Ten letters and digits of Crockford's alphabet (50 bits), shown in two groups; what people misread (O, I, L) and the
case do not matter. They stand in the user's sealed set, so that they can be shown again after a fresh proof.
"""

import hmac

from gateway.domain.challenge import Accepted, Asked, Draft, Judgement, Rejected
from gateway.domain.enrolment import Enrolment
from gateway.domain.ports import Random
from gateway.domain.user import User
from gateway.second_factor.factors.protocol import DeliveryContext

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 10
CONSUMED = "backup-code"
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1"})


def make(count: int, random: Random) -> tuple[str, ...]:
    """`count` distinct codes."""
    codes: dict[str, None] = {}
    while len(codes) < count:
        codes["".join(ALPHABET[random.below(len(ALPHABET))] for _ in range(LENGTH))] = None
    return tuple(codes)


def shown(code: str) -> str:
    """`code` as people read it: two groups of five."""
    return f"{code[:5]}-{code[5:]}"


def plain(typed: str) -> str:
    """`typed` (folded) as a code is kept."""
    return typed.upper().translate(_MISREAD)


def fits(typed: str) -> bool:
    """Whether `typed` has the shape of such a code."""
    return len(typed) == LENGTH and set(plain(typed)) <= set(ALPHABET)


class BackupCodeFactor:
    """See `second_factor.factor.Factor`; the enrolment's secret is the unused codes, separated by blanks."""

    async def register(self, user: User, given: str, about: DeliveryContext) -> Draft | Rejected:
        """Never: they come with the first other factor."""
        return Rejected()

    async def challenge(self, user: User, enrolment: Enrolment, about: DeliveryContext) -> Asked:
        """Nothing is sent."""
        return Asked(state="", expires_at=None)

    async def judge(
        self, state: str, user: User, enrolment: Enrolment, about: DeliveryContext, typed: str
    ) -> Judgement:
        """Right when it is one of the unused ones; all are compared."""
        given = plain(typed)
        matching = [
            code
            for code in enrolment.secret.split()
            if hmac.compare_digest(code.encode(), given.encode("utf-8", "replace"))
        ]
        return Accepted((CONSUMED, matching[0])) if matching else Rejected()
