"""Who else hears of a new enrolment?

The verified e-mail address of the user's profile, when it is another one than the address just registered (EF-11): so
somebody whose password was stolen learns that a factor was set up in his name. Sent in the background; a login never
waits for it or fails by it.
"""

import asyncio
from dataclasses import dataclass, field

import structlog

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.login.proofs import Proofs
from gateway.login.record import Login
from gateway.login.reports import Reports
from gateway.login.visit import Visit
from gateway.observe.audit import AuditEvent
from gateway.rendering import factor_texts
from gateway.rendering.languages import Languages
from gateway.second_factor.factors.email import EmailFactor

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Announcing:
    """See the module's text."""

    mail: EmailFactor
    languages: Languages
    proofs: Proofs
    reports: Reports
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def tell(self, visit: Visit, login: Login, enrolment: Enrolment) -> None:
        """Begin to tell; returns at once."""
        known = next((c for c in login.contacts if c.factor is FactorKind.EMAIL and c.verified), None)
        if known is None or known.address.casefold() == enrolment.address.casefold():
            return
        if login.policy.method(FactorKind.EMAIL) is None:
            return
        task = asyncio.create_task(self._tell(visit, login, enrolment, known.address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self, visit: Visit, login: Login, enrolment: Enrolment, to: str) -> None:
        about = self.proofs.about(visit, login, FactorKind.EMAIL)
        label = factor_texts.label(enrolment.factor, self.languages.get(visit.language))
        await self.mail.announce(to, label, enrolment.address, about)
        self.reports.tell(visit, AuditEvent.ENROLMENT_TOLD, login.user, factor=enrolment.factor.value)
