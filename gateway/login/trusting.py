"""May this browser skip the factor for this user, today?

Asked where a password was right, and where a session of such a password wants a stricter route; never for a fresh
proof. What was refused, and why, is audited.
"""

from dataclasses import dataclass

from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import Policy
from gateway.domain.user import Account
from gateway.login.reports import Reports
from gateway.login.visit import LoginRequest
from gateway.observe.audit import AuditEvent
from gateway.second_factor.trusted_browsers import Holder, TrustedBrowsers, TrustVerdict


@dataclass(frozen=True, slots=True)
class Trusting:
    """See the module's text."""

    trust: TrustedBrowsers
    reports: Reports

    async def skips(self, visit: LoginRequest, policy: Policy, account: Account, enrolments: EnrolmentSet) -> bool:
        """Whether the browser of `visit` is trusted for this account."""
        if visit.trust is None or not visit.tenant.may_trust_from(visit.client):
            return False
        holder = Holder(account.user.id, account.credential_date, enrolments.trust_epoch)
        verdict = await self.trust.judge(visit.tenant.id, visit.trust, holder, policy)
        if verdict not in (TrustVerdict.TRUSTED, TrustVerdict.NONE):
            self.reports.tell(visit, AuditEvent.TRUST_REJECTED, account.user, verdict=verdict.value)
        return verdict is TrustVerdict.TRUSTED
