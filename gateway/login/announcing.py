"""Who else hears of a new enrolment?

The verified e-mail address of the user's profile, when it is another one than the address just registered (EF-11): so
somebody whose password was stolen learns that a factor was set up in his name. Sent in the background; a login never
waits for it or fails by it. Codes come first: it takes what their channel has to spare, and waits for that in turn.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from gateway.delivery.mail import Sent
from gateway.delivery.pace import Pace
from gateway.domain.channel import Channel
from gateway.domain.enrolment import Enrolment
from gateway.domain.errors import GatewayError
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.login.proofs import Proofs
from gateway.login.record import Login
from gateway.login.reports import Reports
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.rendering import factor_texts
from gateway.rendering.languages import Languages
from gateway.second_factor.factors.email import EmailFactor

MOST = 1000
"""Announcements that wait at a time in one process; more are logged and not sent."""
PATIENCE = 7200.0
"""Seconds after which one that found no slot is given up."""
ASK_AT_MOST = 60.0
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Announcing:
    """See the module's text."""

    mail: EmailFactor
    languages: Languages
    proofs: Proofs
    reports: Reports
    pace: Pace
    clock: Clock
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def tell(self, visit: Visit, login: Login, enrolment: Enrolment) -> None:
        """Begin to tell; returns at once."""
        known = next((c for c in login.contacts if c.factor is FactorKind.EMAIL and c.verified), None)
        if known is None or known.address.casefold() == enrolment.address.casefold():
            return
        if login.policy.method(FactorKind.EMAIL) is None:
            return
        if len(self._tasks) >= MOST:
            log.warning("enrolment_not_told", why="too many wait", tenant=visit.tenant.id, reference=visit.reference)
            return
        task = asyncio.create_task(self._tell(visit, login, enrolment, known.address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, visit: Visit, login: Login, enrolment: Enrolment, to: str) -> None:
        about = self.proofs.about(visit, login, FactorKind.EMAIL)
        label = factor_texts.label(enrolment.factor, self.languages.get(visit.language))
        if about.channel and not await self._slot(about.channel):
            log.warning("enrolment_not_told", why="no slot", tenant=visit.tenant.id, reference=visit.reference)
            return
        if isinstance(await self.mail.announce(to, label, enrolment.address, about), Sent):
            self.reports.tell(visit, AuditEvent.ENROLMENT_TOLD, login.user, factor=enrolment.factor.value)

    async def _slot(self, channel: Channel) -> bool:
        """Whether a mail that has time may go now; one waits for it at a time."""
        until = self.clock.now() + PATIENCE
        async with self._turn:
            while self.clock.now() < until:
                try:
                    at = await self.pace.take_spare(channel)
                except GatewayError:  # the store is down: the next look tells
                    at = self.clock.now() + ASK_AT_MOST
                if at is None:
                    return True
                await self.wait(min(at - self.clock.now(), ASK_AT_MOST))
        return False
