"""How do the steps of a login tell the audit what happened?

One line an event, with who, which tenant, from where, and the reference the user may have been shown.
"""

from dataclasses import dataclass

from gateway.domain.user import User
from gateway.login.visit import LoginRequest
from gateway.observe.audit import Audit, AuditEvent


@dataclass(frozen=True, slots=True)
class Reports:
    """Writes audit events of visits."""

    audit: Audit

    def tell(self, visit: LoginRequest, event: AuditEvent, user: User | None = None, **details: object) -> None:
        """Write `event`; `details` are plain values, never a code, token or full address."""
        self.audit.write(
            event,
            tenant=visit.tenant.id,
            user_id=user.id if user else None,
            username=user.username if user else None,
            client=visit.client,
            request_id=visit.request_id,
            reference=visit.reference,
            **details,
        )
