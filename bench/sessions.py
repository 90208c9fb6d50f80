"""Sessions of the gateway: of a user who signs in as in a browser, or many written into Redis as records."""

import re
from dataclasses import dataclass, replace
from typing import cast

from aiohttp import ClientSession, CookieJar
from redis.asyncio import Redis

from bench.installation import Installation
from gateway.crypto.key_ring import Sealer
from gateway.domain.channel import TlsSettings
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.sessions.cache import SessionRecord
from gateway.sessions.session_key import SessionKey, of_cookie, public_id
from gateway.store.protocol import Store
from gateway.store.records import Records
from gateway.store.redis import RedisStore
from gateway.web.cookies import Cookie, new_browser_secret
from tools.demo_login import NAVIGATION, PASSWORD, USER, expect, hidden_fields

BATCH = 2_000
"""Records in one round trip to Redis."""
RECENT = 86_400.0
"""Seconds by which the last use of a session lies ahead, so that no request of the run has to note its use."""
FIRST = -120.0
"""The last use was two minutes ago: the gateway notes the next one in the store."""


class Browser:
    """A browser that signs in with a password and a code. Use as a context."""

    def __init__(self, base: str, installation: Installation) -> None:
        self._base = base
        self._installation = installation
        self.client = ClientSession(base, cookie_jar=CookieJar(unsafe=True))

    async def __aenter__(self) -> "Browser":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def sign_in(self) -> None:
        """Open the app; sign in on the pages that come before it."""
        before = self._installation.mails()
        page = await self._get("/")
        page = await self._post("password", page, username=USER, password=PASSWORD)
        code = await self._installation.mailed_code(before)
        await self._post("verify", page, code=code)

    @property
    def cookies(self) -> str:
        """The value of the `Cookie` field."""
        return "; ".join(f"{one.key}={one.value}" for one in self.client.cookie_jar)

    async def _get(self, path: str) -> str:
        async with self.client.get(path, headers={**NAVIGATION, "Sec-Fetch-Site": "none"}) as answer:
            expect(answer, 200)
            return await answer.text()

    async def _post(self, step: str, page: str, **given: str) -> str:
        form = {**hidden_fields(page), **given, "action": ""}
        headers = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": self._base}
        async with self.client.post(f"/-/login/{step}", data=form, headers=headers) as answer:
            expect(answer, 200)
            return await answer.text()


async def signed_in(base: str, installation: Installation) -> str:
    """The cookies of a user who has just signed in."""
    async with Browser(base, installation) as browser:
        await browser.sign_in()
        return browser.cookies


@dataclass
class Batches:
    """Collects what `Records` writes, for one round trip per batch."""

    client: Redis
    prefix: str

    def __post_init__(self) -> None:
        self._waiting: dict[str, tuple[bytes, float]] = {}

    async def set(self, key: str, value: bytes, ttl: float) -> None:
        """As `Store.set`, but later."""
        self._waiting[key] = value, ttl
        if len(self._waiting) == BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Write what has been collected."""
        async with self.client.pipeline(transaction=False) as pipe:
            for key, (value, ttl) in self._waiting.items():
                pipe.set(self.prefix + key, value, px=int(ttl * 1000))
            await pipe.execute()
        self._waiting.clear()


class ManySessions:
    """Sessions that the gateway's own code writes into Redis, as copies of one of a signed-in user.

    Each belongs to another user and is in force for hours. Their tokens are the same, so all cookies but the session's
    are too: `cookies` has `{cookie}` in its place.
    """

    def __init__(self, installation: Installation, tenant: str, prefix: str, cookies: str) -> None:
        self._installation = installation
        self._tenant = tenant
        self._prefix = prefix
        self._own = re.search(f"{Cookie.SESSION.value}=([^;]+)", cookies)[1]  # type: ignore[index]  # just signed in
        self._values: list[str] = []
        self.cookies = cookies.replace(self._own, "{cookie}")
        self.file = installation.folder / f"sessions-{prefix}"

    async def write(self, count: int, used: float) -> None:
        """Write that number of sessions, and their cookies' values to `file`. `used` is `RECENT` or `FIRST`."""
        random, clock = SystemRandom(), SystemClock()
        while len(self._values) < count:
            self._values.append(new_browser_secret(random).value)
        url = await self._installation.store()
        store = RedisStore(url=url, prefix=self._prefix, timeout=10, tls=TlsSettings())
        found = await self._records(store).read(self._tenant, self._place(self._own).key)
        await store.close()
        assert found, "the signed-in user has a session"
        async with Redis.from_url(url) as client:
            batches = Batches(client, self._prefix)
            records = self._records(cast(Store, batches))
            for number, value in enumerate(self._values[:count]):
                place = self._place(value)
                session = replace(
                    found.session, id=public_id(place), user_id=f"user-{number}", used_at=clock.now() + used
                )
                await records.write(self._tenant, place.key, replace(found, session=session), session.ends_at)
            await batches.flush()
        self.file.write_text("\n".join(self._values[:count]))

    def _place(self, value: str) -> SessionKey:
        place = of_cookie(self._tenant, value)
        assert place
        return place

    def _records(self, store: Store) -> Records[SessionRecord]:
        sealer = Sealer(self._installation.ring, "session", SystemRandom())
        return Records(store=store, sealer=sealer, clock=SystemClock(), name="session", of=SessionRecord)
