"""The factor `admin-code`: twelve digits that an administrator tells a user who lost his other factors.

One use, 30 minutes, void when a newer one is made. Digits only, so that it can be told by telephone.
"""

from gateway.crypto import codes
from gateway.crypto.signing import Signer
from gateway.domain.challenge import Accepted, Asked, Draft, Judgement, Rejected
from gateway.domain.enrolment import Enrolment
from gateway.domain.user import User
from gateway.second_factor.factors.protocol import DeliveryContext

DIGITS = 12
CONSUMED = "admin-code"


def digest(signer: Signer, code: str, tenant_id: str, user_id: str) -> str:
    """What is kept of a code."""
    return codes.digest(signer, code, "admin-code", tenant_id, user_id)


def shown(code: str) -> str:
    """`code` as people tell it: three groups of four."""
    return " ".join(code[i : i + 4] for i in range(0, len(code), 4))


def fits(typed: str) -> bool:
    """Whether `typed` has the shape of such a code."""
    return len(typed) == DIGITS and typed.isascii() and typed.isdigit()


class AdminCodeFactor:
    """See `second_factor.factor.Factor`; the enrolment's secret is the digest of the live code, or empty."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    async def register(self, user: User, given: str, about: DeliveryContext) -> Draft | Rejected:
        """Never: an administrator makes it."""
        return Rejected()

    async def challenge(self, user: User, enrolment: Enrolment, about: DeliveryContext) -> Asked:
        """Nothing is sent."""
        return Asked(state="", expires_at=None)

    async def judge(
        self, state: str, user: User, enrolment: Enrolment, about: DeliveryContext, typed: str
    ) -> Judgement:
        """Right when it is the live one of this user."""
        kept = enrolment.secret
        if kept and codes.matches(self._signer, kept, typed, "admin-code", about.tenant.id, user.id):
            return Accepted((CONSUMED, kept))
        return Rejected()
