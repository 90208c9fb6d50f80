"""Which users finished a login in this browser?

Gives them a queue and a failure count of their own (`security.md` F20), so that nobody stalls a victim by typing his
name elsewhere. Never a proof: it skips nothing.
"""

import hashlib
from dataclasses import dataclass

from gateway.domain.ports import Clock
from gateway.store.records import Changed, Records

KEPT = 180 * 86400.0
MOST = 20


@dataclass(frozen=True, slots=True)
class Seen:
    """Digests of user names, newest last."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Browsers:
    """Reads and writes what a browser is known for, under the id in its browser cookie."""

    records: Records[Seen]
    clock: Clock

    async def knows(self, tenant: str, browser: str | None, name: str) -> bool:
        """Whether the user with the name digest `name` finished a login in `browser`."""
        seen = await self.records.read(tenant, _key(browser)) if browser else None
        return seen is not None and name in seen.names

    async def remember(self, tenant: str, browser: str, name: str) -> None:
        """Note that he did."""
        key, until = _key(browser), self.clock.now() + KEPT
        if await self.records.add(tenant, key, Seen((name,)), until):
            return

        def note(seen: Seen) -> Changed[Seen]:
            return Changed(Seen((*(n for n in seen.names if n != name), name)[-MOST:]), until)

        await self.records.change(tenant, key, note)


def _key(browser: str) -> str:
    """Who reads the store cannot take anybody's lane."""
    return hashlib.sha256(browser.encode()).hexdigest()
