"""Two processes with one Redis: what ends a session, and what renews its token, holds on both.

A session that ends passes no request after a second, and its WebSockets close within two; no other one ends.
"""

import asyncio
import base64
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, DummyCookieJar, TCPConnector

from gateway.administration.user_recovery import UserRecovery
from gateway.domain.session import Satisfied, Tokens
from gateway.domain.user import User
from gateway.services import Services, open_services
from gateway.sessions.sessions import NewSession
from gateway.web import cookies
from tests.fixtures.installation import Folder, Replica, folder, replicas
from tests.fixtures.logout_tokens import LogoutTokenMaker
from tests.fixtures.mail import MailServer
from tests.fixtures.person import Person
from tests.fixtures.stand_in_keycloak import StandIn
from tests.fixtures.upstream import EchoUpstream
from tests.journeys.test_back_channel_logout import PATH

SESSIONS, SOCKETS, OF_ONE_USER = 1000, 200, 4
SIGNED_OUT, ENDED_BY_KEYCLOAK, ENDED_WHOLLY, RESET = range(5), range(5, 10), range(10, 12), range(12, 15)
"""Numbers of the users whose sessions end: each by a sign-out, each or all by a logout token, all by a reset."""


@dataclass
class Opened:
    """One session of user `user`; what a client saw of it, by a clock that is never set."""

    user: int
    user_id: str
    keycloak_session: str
    cookie: str
    last_passed: float = 0.0
    closed_at: float = 0.0
    close_code: int | None = None


@dataclass
class Crowd:
    """The sessions, and two replicas that serve them."""

    http: ClientSession
    origin: str
    both: Sequence[Replica]
    sessions: list[Opened]
    ended_at: dict[str, float] = field(default_factory=dict)

    def of(self, users: range) -> list[Opened]:
        """Returns the sessions of these users."""
        return [one for one in self.sessions if one.user in users]

    async def passes(self, session: Opened, replica: int) -> bool:
        """Returns whether a request reaches the app."""
        url = f"{self.both[replica % 2].base}/unified-admin/"
        async with self.http.get(url, headers={"Cookie": session.cookie}, allow_redirects=False) as answer:
            return answer.status == 200

    async def passing(self, sessions: Sequence[Opened], *at: int) -> list[bool]:
        """Returns for each session whether a request reaches the app, at each of these replicas."""
        asked, found = [(one, replica) for one in sessions for replica in at], list[bool]()
        for first in range(0, len(asked), 50):
            found += await asyncio.gather(*(self.passes(*one) for one in asked[first : first + 50]))
        return found

    async def socket(self, session: Opened, replica: int) -> ClientWebSocketResponse:
        """Opens a WebSocket."""
        url = f"{self.both[replica % 2].base}/agent-manager/ws"
        return await self.http.ws_connect(url, headers={"Cookie": session.cookie}, origin=self.origin)

    async def end(self, sessions: Sequence[Opened], act: Callable[[], Awaitable[object]]) -> None:
        """Ends these sessions by `act`, while both replicas are asked with them until they reject it."""

        async def ask(session: Opened, replica: int) -> None:
            started = time.monotonic()
            while await self.passes(session, replica):
                session.last_passed = max(session.last_passed, started)
                started = time.monotonic()

        async with asyncio.TaskGroup() as tasks:
            for one in sessions:
                for replica in (0, 1):
                    tasks.create_task(ask(one, replica))
            await act()
            self.ended_at |= dict.fromkeys((one.cookie for one in sessions), time.monotonic())


@pytest.fixture
def settings(
    tmp_path: Path, stand_in: StandIn, mail_server: MailServer, echo_upstream: EchoUpstream, redis_url: str
) -> Folder:
    """Returns a tenant on the stand-in, with Redis."""
    return folder(tmp_path, keycloak=stand_in.server, mail=mail_server, app=echo_upstream.url, store=redis_url)


async def opened(services: Services, stand_in: StandIn) -> list[Opened]:
    """Writes the sessions; the users that an administrator resets exist at Keycloak."""
    tenant = services.configuration().tenants[0]
    name, now = cookies.name_of(cookies.Cookie.SESSION, tenant), time.time()
    made = []
    for number in range(SESSIONS // OF_ONE_USER):
        found = stand_in.server.admin.create_user() if number in RESET else None
        user = User(found.id if found else f"u{number}", found.username if found else f"user{number}", "")
        for _ in range(OF_ONE_USER):
            sid = secrets.token_urlsafe(18)
            tokens = Tokens("access", "refresh", now + 3600, now + 3600, sid)
            new = NewSession(user=user, tokens=tokens, password_at=now, satisfied=Satisfied.PROVED, proved_at=now)
            _, value = await services.sessions.open(tenant, new, tag=_text(16), secret=_text(32))
            made.append(Opened(number, user.id, sid, f"{name}={value}"))
    return made


def _text(count: int) -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(count)).rstrip(b"=").decode()


@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.row("NX-03", "GW-10")
async def test_an_ended_session_passes_no_request_after_a_second_and_its_sockets_close_within_two(
    settings: Folder, stand_in: StandIn
) -> None:
    configuration = settings.load()
    tenant = configuration.tenants[0]
    http = ClientSession(connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar())
    with replicas(settings, 2) as both:
        async with http, open_services(lambda: configuration, settings.ring()) as services:
            crowd = Crowd(http, settings.base, both, await opened(services, stand_in))
            ending = range(RESET.stop)
            ended, rest = crowd.of(ending), crowd.of(range(RESET.stop, SESSIONS))
            assert all(await crowd.passing(ended, 0, 1))
            sockets = [(one, await crowd.socket(one, number)) for number, one in enumerate(crowd.sessions[:SOCKETS])]

            async def watch(session: Opened, socket: ClientWebSocketResponse) -> None:
                await socket.receive()
                session.closed_at, session.close_code = time.monotonic(), socket.close_code

            watching = [asyncio.create_task(watch(*pair)) for pair in sockets if pair[0].user in ending]

            def token(session: Opened, *, whole: bool = False) -> str:
                access = tenant.keycloak
                realm, client = stand_in.realms[access.realm], access.sign_in.client_id
                maker = LogoutTokenMaker(
                    realm, access.issuer, client, session.user_id, session.keycloak_session, time.time()
                )
                return maker.genuine(**({"sid": None} if whole else {}))

            async def sign_out(session: Opened) -> None:
                async with Person(both[0].base) as agent:
                    agent.set_cookie(*session.cookie.split("=", 1))
                    assert (await agent.logout()).status == 303

            async def tell(token: str) -> None:
                async with http.post(f"{both[1].base}{PATH}", data={"logout_token": token}) as answer:
                    assert answer.status == 200

            for one in crowd.of(SIGNED_OUT):
                await crowd.end([one], partial(sign_out, one))
            for one in crowd.of(ENDED_BY_KEYCLOAK):
                await crowd.end([one], partial(tell, token(one)))
            for user in ENDED_WHOLLY:
                every = crowd.of(range(user, user + 1))
                await crowd.end(every, partial(tell, token(every[0], whole=True)))
            for user in RESET:
                every = crowd.of(range(user, user + 1))
                name = stand_in.server.admin.user(every[0].user_id)["username"]
                await crowd.end(every, partial(UserRecovery(services).reset, tenant.id, name, "admin"))

            async with asyncio.timeout(10):
                await asyncio.gather(*watching)
            assert max(one.last_passed - crowd.ended_at[one.cookie] for one in ended) <= 1
            assert max(one.closed_at - crowd.ended_at[one.cookie] for one in ended) <= 2
            assert {one.close_code for one in ended} == {4401}
            assert not any(await crowd.passing(ended, 0, 1))
            assert all(await crowd.passing(rest[::2], 0) + await crowd.passing(rest[1::2], 1))
            for one, socket in sockets:
                if one.user not in ending:
                    await socket.send_str("still here")
                    assert await socket.receive_str(timeout=10) == "still here"
                await socket.close()


@pytest.mark.redis
@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.row("GW-09")
@pytest.mark.attack("E12")
async def test_200_parallel_requests_at_the_expiry_of_a_token_renew_it_once_while_keycloak_takes_three_seconds(
    settings: Folder, stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = settings.load()
    (tenant,) = configuration.tenants
    realm = stand_in.realms[tenant.keycloak.realm]
    found, client = realm.named("agent1"), realm.client(tenant.keycloak.sign_in.client_id)
    assert found
    assert client
    there, now = realm.begin(found, client, ""), time.time()
    user = User(found.id, found.username, found.email)
    tokens = Tokens("expired", there.refresh_token, now, now + 1800, there.id)
    new = NewSession(user=user, tokens=tokens, password_at=now, satisfied=Satisfied.PROVED, proved_at=now)
    async with open_services(lambda: configuration, settings.ring()) as services:
        _, value = await services.sessions.open(tenant, new, tag=_text(16), secret=_text(32))
    cookie = f"{cookies.name_of(cookies.Cookie.SESSION, tenant)}={value}"
    session = Opened(0, user.id, there.id, cookie)
    http = ClientSession(connector=TCPConnector(limit=0), cookie_jar=DummyCookieJar())
    with replicas(settings, 2) as both:
        monkeypatch.setattr(realm.behaviour, "rotate_refresh", True)
        monkeypatch.setattr(realm.behaviour, "refresh_delay", 3.0)
        async with http:
            crowd = Crowd(http, settings.base, both, [session])
            assert all(await asyncio.gather(*(crowd.passes(session, number) for number in range(200))))
    assert len(there.spent) == 1
    assert there.id in realm.sessions
