"""The factor `admin-code`: twelve digits that an administrator gives to a user without another factor.

Single use, valid for 30 minutes, void when the administrator makes a newer one. The administrator sees the code once.
The gateway keeps a keyed digest, with the administrator's name.
"""

from dataclasses import dataclass

from gateway.crypto.key_ring import Signer
from gateway.domain.challenge import Accepted, Judgement, Rejected
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock, Random
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tenant import Tenant
from gateway.domain.texts import marked as _
from gateway.domain.user import User
from gateway.second_factor.factors.message_code import random_digits
from gateway.second_factor.factors.protocol import DeliveryContext, Digits, Factor, exactly
from gateway.second_factor.used_codes import Redemption, UsedCodes
from gateway.store.records import Records

DIGITS = 12
"""Digits only, so that an administrator can read them out by telephone."""
LIFE = 1800.0
RECORD = "admin-code"
PURPOSE = "admin-code"
"""Purpose of the `Signer`."""


@dataclass(frozen=True, slots=True)
class AdminCode:
    """What the gateway keeps of the newest code of a user, for 30 minutes, used or not."""

    digest: str
    issuer: str
    made_at: float


def shown(code: str) -> str:
    """`code` as people read it: three groups of four."""
    return " ".join(code[i : i + 4] for i in range(0, len(code), 4))


class AdminCodeFactor(Factor):
    """See `protocol.Factor`; the enrolment's secret is the digest of the newest code, or empty."""

    kind = FactorKind.ADMIN_CODE
    label = _("Code from your administrator")
    icon = "help"
    approves = True

    def __init__(self, records: Records[AdminCode], signer: Signer, clock: Clock, random: Random) -> None:
        self._records = records
        self._signer = signer
        self._clock = clock
        self._random = random

    @classmethod
    def digits(cls, otp_length: int) -> Digits:
        """Twelve, whatever the policy says of sent codes."""
        return exactly(DIGITS)

    async def issue(self, tenant_id: str, user_id: str, issuer: str) -> str:
        """A new code for the user, the only one that works from now on; show it once."""
        code, now = random_digits(DIGITS, self._random), self._clock.now()
        digest = self._signer.sign(code, PURPOSE, tenant_id, user_id)
        await self._records.write(tenant_id, user_id, AdminCode(digest, issuer, now), now + LIFE)
        return code

    async def withdraw(self, tenant_id: str, user_id: str) -> None:
        """Make the user's newest code invalid."""
        await self._records.remove(tenant_id, user_id)

    async def credential(self, tenant: Tenant, user: User, enrolments: EnrolmentSet) -> Enrolment:
        """The digest of the newest code."""
        newest = await self._records.read(tenant.id, user.id)
        return Enrolment(self.kind, secret=newest.digest if newest else "")

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, delivery: DeliveryContext, entry: str
    ) -> Judgement:
        """Accepts the user's newest code."""
        kept = enrolment.secret
        if kept and self._signer.verify(kept, entry, PURPOSE, delivery.tenant.id, user.id):
            return Accepted(kept)
        return Rejected()

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> ProblemDetail | None:
        """Marks the code as used by one owner; the mark outlives the code."""
        return None if await used.mark("admin-code", value, by) else ProblemDetail(Problem.WRONG_CODE)
