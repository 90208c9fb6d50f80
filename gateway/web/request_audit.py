"""Writes audit events with the context of the request that they belong to."""

from dataclasses import dataclass

from gateway.domain.session import Session
from gateway.domain.user import User
from gateway.observe.audit import Audit, AuditEvent


@dataclass(frozen=True, slots=True)
class RequestAudit:
    """The audit of one request. Its caller names only the event, the user and the details."""

    audit: Audit
    tenant: str
    client: str
    request_id: str
    reference: str

    def write(self, event: AuditEvent, user: User | Session | None = None, **details: object) -> None:
        """Write `event`; `details` are plain values, never a code, token or full address."""
        self.audit.write(
            event,
            tenant=self.tenant,
            user_id=user.user_id if isinstance(user, Session) else user.id if user else None,
            username=user.username if user else None,
            client=self.client,
            request_id=self.request_id,
            reference=self.reference,
            **details,
        )
