"""Remembers which users finished a login in a browser.

They get a queue and a failure count of their own there: another person who types a user's name elsewhere does not
stall them. This is never a proof: it skips nothing.
"""

from dataclasses import dataclass

from gateway.domain.ports import Clock
from gateway.login.login_secrets import digest
from gateway.store.records import Changed, Records

KEPT = 180 * 86400.0
MOST = 20


@dataclass(frozen=True, slots=True)
class KnownUsers:
    """Digests of user names, newest last."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KnownBrowsers:
    """Reads and writes the users of a browser, under the digest of the id in its browser cookie.

    A reader of the store cannot use the key as a cookie, and so cannot take the place of a user.
    """

    records: Records[KnownUsers]
    clock: Clock

    async def knows(self, tenant: str, browser: str | None, name: str) -> bool:
        """Whether the user with the name digest `name` finished a login in `browser`."""
        seen = await self.records.read(tenant, digest(browser)) if browser else None
        return seen is not None and name in seen.names

    async def remember(self, tenant: str, browser: str, name: str) -> bool:
        """Note that the user with the name digest `name` finished a login; whether another user did so last."""
        key, until = digest(browser), self.clock.now() + KEPT
        if await self.records.add(tenant, key, KnownUsers((name,)), until):
            return False
        other = False

        def note(seen: KnownUsers) -> Changed[KnownUsers]:
            nonlocal other
            other = seen.names[-1:] != (name,)
            return Changed(KnownUsers((*(n for n in seen.names if n != name), name)[-MOST:]), until)

        await self.records.change(tenant, key, note)
        return other
