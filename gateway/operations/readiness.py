"""Can this process serve right now?

Named checks of what it depends on, all asked at once and each with a time limit. The answer names what fails and
nothing more: no address and no reason, which stand in the log, once and again when they change, and are told to who
shows the operations token (`security.md` F32). A process that drains is not ready.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from gateway.domain.errors import GatewayError

Check = Callable[[], Awaitable[object]]
"""Returns when the dependency works, raises when it does not."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """Ready when nothing fails and the process does not drain. `reasons` says why, by the name of what fails."""

    reasons: Mapping[str, str] = field(default_factory=dict)
    draining: bool = False

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of what fails."""
        return tuple(self.reasons)

    @property
    def ready(self) -> bool:
        """Whether new requests may come here."""
        return not self.reasons and not self.draining


class Readiness:
    """Asks the checks; `limit` is the seconds one may take. Callers at the same time share one round of asking."""

    def __init__(self, checks: Mapping[str, Check], limit: float = 3.0) -> None:
        self._checks = dict(checks)
        self._limit = limit
        self._draining = False
        self._asking: asyncio.Task[dict[str, str]] | None = None
        self._told: dict[str, str] = {}

    def drain(self) -> None:
        """From now on this process is not ready: it is about to end."""
        self._draining = True

    async def verdict(self) -> ReadinessReport:
        """The state of all dependencies now; never raises for what they do."""
        if self._draining:
            return ReadinessReport(draining=True)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_all())
        return ReadinessReport(await asyncio.shield(self._asking))

    async def _ask_all(self) -> dict[str, str]:
        names = list(self._checks)
        found = await asyncio.gather(*(self._ask(name) for name in names))
        return {name: why for name, why in zip(names, found, strict=True) if why}

    async def _ask(self, name: str) -> str:
        """Why it does not work; "" when it does."""
        try:
            async with asyncio.timeout(self._limit):
                await self._checks[name]()
        except GatewayError as error:
            return self._tell(name, str(error))
        except TimeoutError:
            return self._tell(name, f"no answer within {self._limit:g} s")
        except Exception as error:  # whatever a check raises, its dependency does not work
            return self._tell(name, repr(error), exc_info=True)
        if self._told.pop(name, None) is not None:
            log.info("ready_again", dependency=name)
        return ""

    def _tell(self, name: str, why: str, **more: bool) -> str:
        """Probes come every few seconds: the log has each reason once."""
        if self._told.get(name) != why:
            self._told[name] = why
            log.warning("not_ready", dependency=name, why=why, **more)
        return why
