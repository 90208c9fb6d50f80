"""Sessions for a `serve` process without Keycloak: a test writes them into its store, with its key ring."""

import base64
import time

from gateway.crypto.key_ring import KeyRing
from gateway.domain.configuration import Address, Configuration, GatewaySettings, StoreSettings
from gateway.domain.ports import SystemRandom
from gateway.domain.secret import Secret
from gateway.domain.session import Satisfied, Tokens
from gateway.domain.tenant import Tenant
from gateway.domain.user import User
from gateway.services import open_services
from gateway.sessions.sessions import NewSession
from gateway.web import cookies

ANNA = User(id="1", username="anna", email="anna@example.com", first_name="Anna", last_name="A", roles=("agent",))


async def cookies_of_new_sessions(count: int, tenant: Tenant, ring: KeyRing, url: str, user: User = ANNA) -> list[str]:
    """Writes that number of new sessions of `user` to the store at `url`; returns their cookies (`name=value`)."""
    here = Address("127.0.0.1", 1)
    configuration = Configuration(GatewaySettings(here, here, StoreSettings(Secret(url), timeout=10.0)), (tenant,))
    name = cookies.name_of(cookies.Cookie.SESSION, tenant)
    now = time.time()
    tokens = Tokens("access", "refresh", access_expires_at=now + 3600, refresh_expires_at=now + 3600)
    new = NewSession(user=user, tokens=tokens, password_at=now, satisfied=Satisfied.PROVED, proved_at=now)
    async with open_services(lambda: configuration, ring) as services:
        opened = [await services.sessions.open(tenant, new, tag=_text(16), secret=_text(32)) for _ in range(count)]
    return [f"{name}={value}" for _, value in opened]


def _text(count: int) -> str:
    return base64.urlsafe_b64encode(SystemRandom().token_bytes(count)).rstrip(b"=").decode()
