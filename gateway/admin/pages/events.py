"""The page of the audit log: the newest events of the tenant that match, also by a reference that a user reads out."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from aiohttp import web

from gateway.admin.pages.console import AdminRequest, Console
from gateway.observe.audit import AuditEvent
from gateway.observe.audit_log import AuditFilter, Entry, newest
from gateway.rendering.languages import Language
from gateway.services import Services
from gateway.web.endpoint import Reply
from gateway.web.request_context import LANGUAGE

MOST = 100
DAY = 86400.0
DAYS = (1, 7, 30, 90)
LOGINS = frozenset({AuditEvent.SESSION_OPENED.value})
LAST_LOGINS = 5
_FACTS = ("problem", "reason", "finding", "factor", "limit", "change", "rule", "satisfied", "client", "browser")
"""What a row says besides time, event, user and administrator."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event."""

    at: str
    iso: str
    event: str
    level: str
    username: str
    user_id: str
    by: str
    reference: str
    facts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Events:
    """Reads the audit file, one search at a time."""

    services: Services
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def routes(self, console: Console) -> list[web.RouteDef]:
        """The routes."""
        return [console.read("/events", self.show)]

    async def show(self, request: AdminRequest) -> Reply:
        """The newest events that match what was typed."""
        query, language = request.own.http.query, request.own.http[LANGUAGE]
        given = {name: query.get(name, "").strip()[:100] for name in ("user", "event", "reference")}
        days = next((one for one in DAYS if str(one) == query.get("days")), DAYS[1])
        known = {one.value for one in AuditEvent}
        wanted = AuditFilter(
            tenant=request.own.tenant.id,
            user=given["user"],
            events=frozenset({given["event"]} & known),
            reference=given["reference"].replace("-", ""),
            since=self.services.clock.now() - days * DAY,
        )
        found = await self.newest(wanted, MOST)
        rows = None if found is None else event_rows(reversed(found), language)
        return request.page(
            "events", "events", rows=rows, given=given, days=days, choices=DAYS, events=sorted(known), most=MOST
        )

    async def newest(self, wanted: AuditFilter, most: int) -> list[Entry] | None:
        """The newest matching events, oldest first; None if the gateway writes no audit file or cannot read it."""
        file = self.services.configuration().gateway.audit_file
        if not file:
            return None
        async with self.one_at_a_time:
            try:
                return await asyncio.to_thread(newest, Path(file), wanted, most)
            except OSError:
                return None

    async def last_logins(self, tenant_id: str, user_id: str, language: Language) -> list[EventRow]:
        """The newest sign-ins of a user in the last 90 days; none if there is no audit file."""
        since = self.services.clock.now() - DAYS[-1] * DAY
        found = await self.newest(AuditFilter(tenant_id, user_id, LOGINS, since=since), LAST_LOGINS)
        return event_rows(reversed(found or []), language)


def event_rows(entries: Iterable[Entry], language: Language) -> list[EventRow]:
    """The rows of these events."""
    rows = []
    for entry in entries:
        told = {name: str(value) for name, value in entry.items()}
        at = datetime.fromisoformat(told["at"]).timestamp()
        rows.append(
            EventRow(
                at=language.date_and_time(at),
                iso=language.iso(at),
                event=told["event"],
                level=told.get("level", "info"),
                username=told.get("username", ""),
                user_id=told.get("user_id", ""),
                by=told.get("by", ""),
                reference=told.get("reference", ""),
                facts=tuple(told[name] for name in _FACTS if told.get(name)),
            )
        )
    return rows
