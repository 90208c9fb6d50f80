"""The factor `admin-code`: twelve digits that an administrator gives to a user without another factor.

Single use, valid for 30 minutes, void when the administrator makes a newer one.
"""

from gateway.domain.challenge import Accepted, Judgement, Rejected
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind, Policy
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.tenant import Tenant
from gateway.domain.texts import marked as _
from gateway.domain.user import User
from gateway.second_factor.admin_codes import DIGITS, AdminCodes
from gateway.second_factor.factors.protocol import DeliveryContext, Factor
from gateway.second_factor.used_codes import Redemption, UsedCodes


def shown(code: str) -> str:
    """`code` as people read it: three groups of four."""
    return " ".join(code[i : i + 4] for i in range(0, len(code), 4))


class AdminCodeFactor(Factor):
    """See `protocol.Factor`; the enrolment's secret is the digest of the live code, or empty."""

    kind = FactorKind.ADMIN_CODE
    label = _("Code from your administrator")
    icon = "help"
    approves = True

    def __init__(self, admin_codes: AdminCodes) -> None:
        self._admin_codes = admin_codes

    @classmethod
    def digits(cls, otp_length: int) -> int:
        """Twelve, whatever the policy says of sent codes."""
        return DIGITS

    @classmethod
    def is_extra(cls, policy: Policy, enrolments: EnrolmentSet | None = None) -> bool:
        """Where the policy allows such codes; an administrator can make one at any time."""
        return policy.admin_codes

    async def credential(self, tenant: Tenant, user: User, enrolments: EnrolmentSet) -> Enrolment:
        """The digest of the live code."""
        live = await self._admin_codes.live(tenant.id, user.id)
        return Enrolment(self.kind, secret=live.digest if live else "")

    async def verify(
        self, state: str, user: User, enrolment: Enrolment, about: DeliveryContext, entry: str
    ) -> Judgement:
        """Accepts the user's live code."""
        kept = enrolment.secret
        if kept and self._admin_codes.matches(kept, entry, about.tenant.id, user.id):
            return Accepted(kept)
        return Rejected()

    async def redeem(self, value: str, used: UsedCodes, by: Redemption) -> ProblemDetail | None:
        """Marks the code as used by one owner; the mark outlives the code."""
        return None if await used.mark("admin-code", value, by) else ProblemDetail(Problem.WRONG_CODE)
