"""Decides whether this process can serve requests.

It runs a named check of each dependency, all at once and each with a time limit. The verdict names the failing
dependencies. Reasons are written to the log, once and again when they change; the listener returns them only to
requests with the operations token. A process that drains is not ready.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from gateway.domain.errors import GatewayError
from gateway.domain.tasks import SingleFlight
from gateway.observe.redaction import clean_text

Check = Callable[[], Awaitable[Sequence[str]]]
"""Returns warnings about a dependency that works; raises if it does not work."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """The result of one round of checks, by the names of dependencies.

    `reasons` has the reason of each failing one, `warnings` the dangers of those that work.
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    warnings: Mapping[str, Sequence[str]] = field(default_factory=dict)
    draining: bool = False

    @property
    def failing(self) -> tuple[str, ...]:
        """The names of the failing dependencies."""
        return tuple(self.reasons)

    @property
    def ready(self) -> bool:
        """Whether a load balancer may send new requests: no check fails and the process does not drain."""
        return not self.reasons and not self.draining


class Readiness:
    """Runs the checks; `limit` is the time limit of each in seconds. Concurrent callers share one round."""

    def __init__(self, checks: Mapping[str, Check], limit: float = 3.0) -> None:
        self._checks = dict(checks)
        self._limit = limit
        self._draining = False
        self._rounds: SingleFlight[ReadinessReport] = SingleFlight()
        self._logged: dict[str, str] = {}

    def drain(self) -> None:
        """Makes every further verdict "draining", because the process is about to end."""
        self._draining = True

    async def verdict(self) -> ReadinessReport:
        """The current state of all dependencies; a failing check never raises here."""
        if self._draining:
            return ReadinessReport(draining=True)
        return await self._rounds.join((), self._ask_all)

    async def _ask_all(self) -> ReadinessReport:
        reasons: dict[str, str] = {}
        warnings: dict[str, Sequence[str]] = {}
        await asyncio.gather(*(self._ask(name, reasons, warnings) for name in self._checks))
        by_name = [name for name in self._checks if name in reasons]
        return ReadinessReport({name: reasons[name] for name in by_name}, warnings)

    async def _ask(self, name: str, reasons: dict[str, str], warnings: dict[str, Sequence[str]]) -> None:
        """Enter the reason why the dependency fails, or its warnings."""
        try:
            async with asyncio.timeout(self._limit):
                found = await self._checks[name]()
        except GatewayError as error:
            reasons[name] = self._tell(name, clean_text(str(error)))
        except TimeoutError:
            reasons[name] = self._tell(name, f"no response within {self._limit:g} s")
        except Exception as error:  # any error of a check means that its dependency does not work
            reasons[name] = self._tell(name, clean_text(repr(error)), exc_info=True)
        else:
            if found:
                warnings[name] = [clean_text(warning) for warning in found]
            if self._logged.pop(name, None) is not None:
                log.info("ready_again", dependency=name)

    def _tell(self, name: str, why: str, **more: bool) -> str:
        """Logs each reason once, because probes are sent every few seconds."""
        if self._logged.get(name) != why:
            self._logged[name] = why
            log.warning("not_ready", dependency=name, why=why, **more)
        return why
