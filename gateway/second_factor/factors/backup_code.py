"""The factor `backup-code`: one of ten codes that a user keeps, each right once.

Ten letters and digits of Crockford's alphabet (50 bits), shown in two groups. Letters that people misread (O, I, L) and
the case do not matter. The codes are in the user's sealed set, so that the user can see them again after a fresh proof.
"""

import hmac

from gateway.domain.challenge import Accepted, Judgement, Rejected
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tenant import Tenant
from gateway.domain.texts import marked as _
from gateway.domain.user import User
from gateway.second_factor.enrolments import GUARD_LIFE
from gateway.second_factor.factors.protocol import DeliveryContext, Factor
from gateway.second_factor.used_codes import Redemption, UsedCodes

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 10
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


def _plain(entry: str) -> str:
    return entry.upper().translate(_MISREAD)


class BackupCodeFactor(Factor):
    """See `protocol.Factor`; the enrolment's secret is the unused codes, separated by blanks."""

    kind = FactorKind.BACKUP_CODE
    label = _("Backup code")
    icon = "list"

    @classmethod
    def fits(cls, entry: str, otp_length: int) -> bool:
        """Ten characters of the alphabet or misread ones."""
        return len(entry) == LENGTH and set(_plain(entry)) <= set(ALPHABET)

    async def credential(self, tenant: Tenant, user: User, enrolments: EnrolmentSet) -> Enrolment:
        """The unused codes."""
        return Enrolment(self.kind, secret=" ".join(enrolments.backup_codes))

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Compares `entry` with all unused codes."""
        given = _plain(entry)
        matching = [
            code
            for code in enrolment.secret.split()
            if hmac.compare_digest(code.encode(), given.encode("utf-8", "replace"))
        ]
        return Accepted(matching[0]) if matching else Rejected()

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> EnrolmentSet | ProblemDetail:
        """Marks the code in the store for the life of the set, then writes the set without it.

        The code is accepted only after the set was read back. After a failure in between it is used up, not accepted.
        """
        if await used.mark("backup-code", value, by, GUARD_LIFE):
            left = await used.enrolments.redeem(by.tenant, by.user.id, by.enrolments, value, by.owner)
            if left:
                return left
        return ProblemDetail(Problem.WRONG_CODE)
