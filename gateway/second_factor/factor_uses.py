"""Keeps when a user last proved each factor, for their own page.

No decision uses it. The store is written in the background: a login never waits for it or fails by it.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from gateway.domain.errors import GatewayError
from gateway.domain.policy import FactorKind
from gateway.domain.ports import Clock
from gateway.domain.tasks import BackgroundTasks
from gateway.second_factor.enrolments import GUARD_LIFE
from gateway.store.records import Changed, Records

MOST = 20


@dataclass(frozen=True, slots=True)
class Uses:
    """Names of factors and apps (`name_of`) with the times of their last use, the newest last."""

    times: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class FactorUses:
    """See the module's text."""

    records: Records[Uses]
    clock: Clock
    tasks: BackgroundTasks

    def note(self, tenant: str, user_id: str, factor: FactorKind, app: str = "") -> None:
        """Notes a use now; returns at once. `app` is the id of the app."""
        self.tasks.start(self._note(tenant, user_id, name_of(factor, app)), "use of a factor")

    async def of(self, tenant: str, user_id: str) -> Mapping[str, float]:
        """The times of the last uses, by `name_of`. Without the store there are none."""
        with suppress(GatewayError):
            return dict((await self.records.read(tenant, user_id) or Uses()).times)
        return {}

    async def _note(self, tenant: str, user_id: str, name: str) -> None:
        now = self.clock.now()

        def with_it(old: Uses) -> Changed[Uses]:
            others = tuple(one for one in old.times if one[0] != name)
            return Changed(Uses((*others, (name, now))[-MOST:]), now + GUARD_LIFE)

        with suppress(GatewayError):
            if not await self.records.change(tenant, user_id, with_it):
                await self.records.add(tenant, user_id, Uses(((name, now),)), now + GUARD_LIFE)


def name_of(factor: FactorKind, app: str = "") -> str:
    """The name of a factor, or of one of several apps."""
    return f"{factor.value}/{app}" if app else factor.value
