"""Mails a user when one of their factors, their backup codes, their password or their browsers change.

To every verified address that the user had before the change: the verified address of the Keycloak profile and the
enrolled ones. An address that was just enrolled got a code in the same login, so it gets no such mail. The gateway
sends in the background; a login never waits for it or fails by it. Codes have priority: a mail of this kind takes the
slots that the channel has to spare.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum

import structlog

from gateway.delivery.smtp import Sent
from gateway.domain.channel import Channel
from gateway.domain.errors import GatewayError
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.user import User
from gateway.login.effects.send_code import ChallengeContexts
from gateway.login.login_request import LoginRequest
from gateway.login.record import Login
from gateway.observe.audit import AuditEvent
from gateway.observe.redaction import mask_address
from gateway.rendering.languages import Languages
from gateway.second_factor.factors import table
from gateway.second_factor.factors.email import EmailFactor, addresses_of
from gateway.second_factor.send_rate import SendRate

MOST = 1000
"""Mails that wait at a time in one process; more are logged and not sent."""
PATIENCE = 7200.0
"""Seconds after which one that found no slot is given up."""
ASK_AT_MOST = 60.0
log = structlog.get_logger(__name__)


class Change(Enum):
    """What changed; the values name the mail's template, `factors/email/<value>`.

    `WRONG_CODES` is no change: wrong codes after the right password, login after login. `SIGNED_OUT` is about all other
    browsers, `SESSION_ENDED` about one.
    """

    ENROLLED = "enrolled"
    TURNED_OFF = "turned-off"
    NEW_CODES = "new-codes"
    WRONG_CODES = "wrong-codes"
    CODE_USED = "code-used"
    BROWSER_TRUSTED = "browser-trusted"
    TRUST_ENDED = "trust-ended"
    SESSION_ENDED = "session-ended"
    SIGNED_OUT = "signed-out"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105 - the name of a mail


_BROWSERS = (Change.SESSION_ENDED, Change.TRUST_ENDED)
"""The changes whose `about` is the name of a browser."""


@dataclass(frozen=True, slots=True)
class AccountChange:
    """One change of a user's account: the factor it is about, and the new address where there is one.

    `about` is the name of the browser or device it is about, `count` the codes left, or the days of trust.
    """

    kind: Change
    factor: FactorKind | None = None
    address: str = ""
    about: str = ""
    count: int = 0


@dataclass(slots=True)
class AccountChangeMails:
    """See the module's text."""

    mail: EmailFactor
    languages: Languages
    contexts: ChallengeContexts
    send_rate: SendRate
    clock: Clock
    tasks: BackgroundTasks
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep
    _waiting: set[asyncio.Task[None]] = field(default_factory=set)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def notify(self, request: LoginRequest, login: Login, change: AccountChange) -> None:
        """Begins to send; returns at once. The login has the user's enrolments before the change."""
        to, user = recipients(login, change), login.user
        if not to or user is None:
            return
        if len(self._waiting) >= MOST:
            log.warning(
                "account_change_not_mailed", why="too many wait", tenant=request.tenant.id, reference=request.reference
            )
            return
        task = self.tasks.start(self._notify(request, login, user, change, to), "mail of an account change")
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _notify(
        self, request: LoginRequest, login: Login, user: User, change: AccountChange, to: tuple[str, ...]
    ) -> None:
        context = self.contexts.delivery(request, login, EmailFactor.kind)
        language = self.languages.get(request.language)
        about = language.browser(change.about) if change.kind in _BROWSERS else change.about
        label = table.label(change.factor, language) if change.factor else ""
        factor = change.factor.value if change.factor else None
        for address in to:
            if context.channel and not await self._slot(context.channel):
                log.warning(
                    "account_change_not_mailed", why="no slot", tenant=request.tenant.id, reference=request.reference
                )
                return
            sent = await self.mail.announce(
                user,
                context,
                to=address,
                change=change.kind.value,
                factor_label=label,
                address=change.address,
                about=about,
                count=change.count,
            )
            if isinstance(sent, Sent):
                request.audit.write(
                    AuditEvent.ACCOUNT_CHANGE_MAILED,
                    user,
                    factor=factor,
                    change=change.kind.value,
                    to=mask_address(address),
                )

    async def _slot(self, channel: Channel) -> bool:
        """Whether a mail that has time may go now; one waits for it at a time."""
        until = self.clock.now() + PATIENCE
        async with self._turn:
            while self.clock.now() < until:
                try:
                    at = await self.send_rate.take_spare(channel)
                except GatewayError:  # the store is down: the next look tells
                    at = self.clock.now() + ASK_AT_MOST
                if at is None:
                    return True
                await self.wait(min(at - self.clock.now(), ASK_AT_MOST))
        return False


def recipients(login: Login, change: AccountChange) -> tuple[str, ...]:
    """The verified addresses of the user before the change, each once, without the one just enrolled."""
    just_enrolled = change.address.casefold() if change.kind is Change.ENROLLED else ""
    return tuple(a for a in addresses_of(login.contacts, login.enrolments) if a.casefold() != just_enrolled)
