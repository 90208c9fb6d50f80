"""Decides whether this process can serve requests.

It runs a named check of each dependency, all at once and each with a time limit. The verdict names the failing
dependencies. Reasons are written to the log, once and again when they change; the listener returns them only to
requests with the operations token. A process that drains is not ready.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog

from gateway.domain.errors import GatewayError
from gateway.domain.tasks import SingleFlight

Check = Callable[[], Awaitable[object]]
"""Returns if the dependency works; raises if it does not."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReadinessReport:
    """The result of one round of checks. `reasons` has the reason of each failing dependency, by name."""

    reasons: Mapping[str, str] = field(default_factory=dict)
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
        self._rounds: SingleFlight[dict[str, str]] = SingleFlight()
        self._logged: dict[str, str] = {}

    def drain(self) -> None:
        """Makes every further verdict "draining", because the process is about to end."""
        self._draining = True

    async def verdict(self) -> ReadinessReport:
        """The current state of all dependencies; a failing check never raises here."""
        if self._draining:
            return ReadinessReport(draining=True)
        return ReadinessReport(await self._rounds.join((), self._ask_all))

    async def _ask_all(self) -> dict[str, str]:
        found = await asyncio.gather(*map(self._ask, self._checks))
        return {name: why for name, why in zip(self._checks, found, strict=True) if why}

    async def _ask(self, name: str) -> str:
        """The reason why the dependency fails; "" if it works."""
        try:
            async with asyncio.timeout(self._limit):
                await self._checks[name]()
        except GatewayError as error:
            return self._tell(name, str(error))
        except TimeoutError:
            return self._tell(name, f"no response within {self._limit:g} s")
        except Exception as error:  # any error of a check means that its dependency does not work
            return self._tell(name, repr(error), exc_info=True)
        if self._logged.pop(name, None) is not None:
            log.info("ready_again", dependency=name)
        return ""

    def _tell(self, name: str, why: str, **more: bool) -> str:
        """Logs each reason once, because probes are sent every few seconds."""
        if self._logged.get(name) != why:
            self._logged[name] = why
            log.warning("not_ready", dependency=name, why=why, **more)
        return why
