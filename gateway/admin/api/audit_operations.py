"""The operation of the API that searches the audit file for events of a tenant."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval, MaxLen
from pydantic import AwareDatetime

from gateway.admin.api.operations import Authority, Call, Operation, Result
from gateway.admin.denials import Denial, Fault, Reason
from gateway.observe.audit import AuditEvent
from gateway.observe.audit_log import AuditFilter, newest
from gateway.services import Services

_EVENTS = {event.value for event in AuditEvent}


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which events to list. Each part that is given must match."""

    user: Annotated[str, MaxLen(255)] = ""
    """User name or id."""

    event: Annotated[str, MaxLen(100)] = ""
    """Name of the event, as `session_opened` for the last sign-ins of a user."""

    reference: Annotated[str, MaxLen(20)] = ""
    """Reference of a problem."""

    since: AwareDatetime | None = None
    """Time of the first event, as 2026-11-28T08:00:00Z."""

    until: AwareDatetime | None = None
    """Time of the last event."""

    most: Annotated[int, Interval(ge=1, le=1000)] = 100
    """Maximum number of events: the newest ones."""


@dataclass(frozen=True, slots=True)
class AuditEvents:
    """The newest events that match, oldest first."""

    events: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class AuditOperations:
    """The operation, on these services."""

    services: Services

    def all(self) -> tuple[Operation, ...]:
        """The one operation."""
        return (
            Operation(
                "GET",
                "/tenants/{tenantId}/audit",
                "searchAudit",
                "Search the audit events of a tenant",
                Authority.ADMINISTRATOR,
                self.search,
                AuditEvents,
                query=AuditQuery,
                reasons=(Reason.NOT_POSSIBLE,),
            ),
        )

    async def search(self, call: Call) -> Result | Denial:
        """The newest events that match."""
        query: AuditQuery = call.query
        file = self.services.configuration().gateway.audit_file
        if query.event and query.event not in _EVENTS:
            return Denial(Reason.INVALID, faults=(Fault("event", "is no event of the gateway"),))
        if call.tenant is None:
            return Denial(Reason.NOT_FOUND, "There is no such tenant in force.")
        if not file:
            return Denial(Reason.NOT_POSSIBLE, "This gateway writes no audit file (audit_file).")
        wanted = AuditFilter(
            tenant=call.tenant.id,
            user=query.user,
            events=frozenset({query.event} if query.event else ()),
            reference=query.reference,
            since=query.since.timestamp() if query.since else None,
            until=query.until.timestamp() if query.until else None,
        )
        try:
            found = await asyncio.to_thread(newest, Path(file), wanted, query.most)
        except OSError as error:
            return Denial(Reason.UNAVAILABLE, "The audit file cannot be read.", cause=str(error.strerror))
        return Result({"events": [dict(one) for one in found]})
