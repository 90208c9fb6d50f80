"""Parts for tests of sessions: a tenant, a Keycloak that renews tokens, two replicas over one store."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from gateway.crypto.key_ring import Key, KeyRing, Sealer
from gateway.domain import errors
from gateway.domain.configuration import Address, Configuration, GatewaySettings, StoreSettings
from gateway.domain.policy import FactorKind, Method, Policy
from gateway.domain.ports import SystemRandom
from gateway.domain.secret import Secret
from gateway.domain.session import Satisfied, Session, Tokens
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import Branding, Credentials, KeycloakAccess, SessionLimits, Tenant
from gateway.domain.user import User
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.logout_retries import LogoutRetries
from gateway.keycloak.token_endpoint import RefreshUnknown, SessionEnded, TokenEndpoint
from gateway.observe.audit import Audit
from gateway.sessions.sessions import NewSession, Sessions
from gateway.store.locks import StoreLock
from gateway.store.memory import MemoryStore
from gateway.store.protocol import Store
from gateway.store.replica_events import ReplicaEvents
from tests.clock import FakeClock

TENANT = Tenant(
    id="expertflow",
    name="expertflow",
    active=True,
    public_url="https://cc.example",
    routes=(),
    keycloak=KeycloakAccess(
        url="http://127.0.0.1:1/auth/",
        realm="expertflow",
        issuer="http://127.0.0.1:1/auth/realms/expertflow",
        sign_in=Credentials("gateway-login", Secret("made-up")),
        administration=Credentials("gateway-admin", Secret("made-up")),
    ),
    policy=Policy(preset="efcx", enabled=True, methods=(Method(FactorKind.EMAIL, "otp@cc.example"),)),
    branding=Branding(name="Expertflow"),
    session=SessionLimits(idle=1800, absolute=43200),
)
OTHER_TENANT = replace(TENANT, id="other", public_url="https://other.example")
CONFIGURATION = Configuration(
    GatewaySettings(Address("", 1), Address("", 2), StoreSettings(Secret("memory://"))), (TENANT, OTHER_TENANT)
)
ANNA = User(id="f:1:anna", username="anna", email="anna@cc.example", first_name="Anna", last_name="A", roles=("agent",))


class Renewals(TokenEndpoint):
    """Keycloak's token endpoint: counts requests, and can be slow, down, or refuse."""

    def __init__(self, clock: FakeClock, life: float = 300.0) -> None:
        super().__init__(KeycloakClients(), clock)
        self.clock = clock
        self.life = life
        self.calls = 0
        self.spent: list[str] = []
        self.answer: Exception | SessionEnded | RefreshUnknown | None = None
        self.entered = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def refresh(self, access: KeycloakAccess, tokens: Tokens) -> Tokens | SessionEnded | RefreshUnknown:
        self.calls += 1
        self.spent.append(tokens.refresh)
        self.entered.set()
        await self.go_on.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer or self.tokens()

    async def end(self, access: KeycloakAccess, refresh_token: str) -> None:
        """Ends the session at Keycloak."""

    def tokens(self) -> Tokens:
        now = self.clock.now()
        return Tokens(
            access=f"access {self.calls}",
            refresh=f"refresh {self.calls}",
            access_expires_at=now + self.life,
            refresh_expires_at=now + 1800,
        )


class Replica:
    """One process of the gateway, limited to its sessions."""

    def __init__(self, store: Store, ring: KeyRing, clock: FakeClock, renewals: Renewals) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.reported = asyncio.Event()
        tasks = BackgroundTasks()
        self.replica_events = ReplicaEvents(store=store, random=SystemRandom(), monotonic=clock.now)
        self.sessions = Sessions(
            store=store,
            sealer=Sealer(ring, "records", SystemRandom()),
            clock=clock,
            lock=StoreLock(store, clock, SystemRandom()),
            replica_events=self.replica_events,
            token_endpoint=renewals,
            logout_retries=LogoutRetries(renewals, tasks),
            configuration=lambda: CONFIGURATION,
            audit=Audit(clock, tell=self._note),
            tasks=tasks,
        )

    def _note(self, line: str) -> None:
        audited = json.loads(line)
        self.events.append((audited["event"], audited["session"], audited))
        self.reported.set()

    def receives(self, kind: str) -> asyncio.Event:
        """Returns an event that is set when the next replica event of `kind` has been handled."""
        received = asyncio.Event()
        self.replica_events.on(kind, lambda _: received.set())
        return received

    def reasons(self) -> list[str]:
        """Returns the reasons for ended sessions that this replica reported."""
        return [details["reason"] for event, _, details in self.events if event == "session_ended"]


class SessionHarness:
    """Two replicas, `one` and `two`."""

    def __init__(self, store: Store, clock: FakeClock) -> None:
        random = SystemRandom()
        ring = KeyRing((Key(random.token_bytes(4).hex(), random.token_bytes(32)),))
        self.store = store
        self.clock = clock
        self.renewals = Renewals(clock)
        self.one = Replica(store, ring, clock, self.renewals)
        self.two = Replica(store, ring, clock, self.renewals)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Both replicas listen while the context is open."""
        async with AsyncExitStack() as stack:
            for replica in (self.one, self.two):
                await stack.enter_async_context(replica.replica_events.running())
            async with asyncio.timeout(10):
                await self.one.replica_events.ready()
                await self.two.replica_events.ready()
            yield

    async def open(self, tenant: Tenant = TENANT, user: User = ANNA, **changes: Any) -> tuple[Session, str]:
        """Opens a session of `user` on replica one; returns it and the value of its cookie."""
        return await self.one.sessions.open(tenant, self.new(user, **changes), tag=text(16), secret=text(32))

    def new(self, user: User = ANNA, **changes: Any) -> NewSession:
        """Returns the result of a finished login."""
        new = NewSession(
            user=user,
            tokens=self.renewals.tokens(),
            password_at=self.clock.now(),
            satisfied=Satisfied.PROVED,
            proved_at=self.clock.now(),
        )
        return replace(new, **changes)


def text(count: int) -> str:
    """Returns `count` random bytes in the encoding of cookies."""
    return base64.urlsafe_b64encode(SystemRandom().token_bytes(count)).rstrip(b"=").decode()


def same(session: Session) -> Session:
    """Changes nothing."""
    return session


class Flaky(MemoryStore):
    """A store that does not answer while `away`; when `deaf` it still carries out deletions.

    While `keeps` it answers everything except deletions, and keeps those values.
    """

    away = deaf = keeps = False

    async def get(self, key: str) -> bytes | None:
        if self.away:
            raise errors.Unreachable("store", "TimeoutError")
        return await super().get(key)

    async def delete(self, key: str) -> bool:
        if self.deaf:
            await super().delete(key)
        if self.away or self.deaf or (self.keeps and key.startswith("session:")):
            raise errors.Unreachable("store", "TimeoutError")
        return await super().delete(key)


class Stream:
    """An open stream whose closing a test can wait for."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.times = 0

    def close(self) -> None:
        self.times += 1
        self.closed.set()

    async def wait(self) -> None:
        async with asyncio.timeout(10):
            await self.closed.wait()
