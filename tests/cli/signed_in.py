"""Sessions for a process `serve` that no Keycloak stands behind: written into its store, with its key ring."""

import base64
import time

from gateway.crypto.sealing import KeyRing, Sealer
from gateway.domain.channel import TlsSettings
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.domain.session import Satisfied, Tokens
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.sessions.refresh import RefreshUnknown, SessionEnded
from gateway.sessions.sessions import NewSession, Sessions
from gateway.store.locks import StoreLock
from gateway.store.redis import RedisStore
from gateway.store.replica_events import ReplicaEvents
from gateway.web import cookies

ANNA = User(id="1", username="anna", email="anna@example.com", first_name="Anna", last_name="A", roles=("agent",))


async def cookies_of_new_sessions(count: int, tenant: Tenant, ring: KeyRing, url: str) -> list[str]:
    """The session cookie (`name=value`) of so many new sessions in the store at `url`."""
    clock, random = SystemClock(), SystemRandom()
    store = RedisStore(url=url, prefix="efcx:", timeout=10.0, tls=TlsSettings())
    sessions = Sessions(
        store=store,
        sealer=Sealer(ring, "session", random),
        clock=clock,
        lock=StoreLock(store, clock, random),
        replica_events=ReplicaEvents(store=store, random=random),
        refresher=_never,
        tenants={tenant.id: tenant}.get,
        on_event=lambda *_: None,
    )
    name = cookies.name_of(cookies.Cookie.SESSION, tenant)
    now = time.time()
    tokens = Tokens("access", "refresh", access_expires_at=now + 3600, refresh_expires_at=now + 3600)
    new = NewSession(user=ANNA, tokens=tokens, password_at=now, satisfied=Satisfied.PROVED, proved_at=now)
    made = [f"{name}={(await sessions.open(tenant, new, tag=_text(16), secret=_text(32)))[1]}" for _ in range(count)]
    await store.close()
    return made


async def _never(_tenant: Tenant, _tokens: Tokens) -> Tokens | SessionEnded | RefreshUnknown:
    raise AssertionError("these tokens are valid for an hour")


def _text(count: int) -> str:
    return base64.urlsafe_b64encode(SystemRandom().token_bytes(count)).rstrip(b"=").decode()
