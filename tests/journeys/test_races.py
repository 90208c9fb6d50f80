"""Hundreds of parallel attempts on two processes with one Redis: one session, and never a guess above the maximum."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector

from tests.fixtures.installation import Folder, Replica, folder, replicas
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.mail import MailServer
from tests.fixtures.person import JSON, Person, code_for, wrong
from tests.fixtures.references import Shown, shown_in
from tests.fixtures.upstream import EchoUpstream

pytestmark = [pytest.mark.keycloak, pytest.mark.redis, pytest.mark.slow, pytest.mark.timeout(600)]
TRIES, ROUNDS, ATTEMPTS = 500, 20, 5


@pytest.fixture
def settings(
    tmp_path: Path, keycloak: Keycloak, mail_server: MailServer, echo_upstream: EchoUpstream, redis_url: str
) -> Folder:
    """Uses Redis; the number of wrong codes is the only limit."""
    made = folder(tmp_path, keycloak=keycloak, mail=mail_server, app=echo_upstream.url, store=redis_url)
    made.two_factor["otpMaxAttempts"] = ATTEMPTS
    made.gateway["store"]["timeout"] = (
        60  # hundreds of parallel requests are slow on a busy machine, which is not tested here
    )
    return made


@pytest.fixture
def both(settings: Folder) -> Iterator[list[Replica]]:
    """Runs two processes."""
    with replicas(settings, 2) as running:
        yield running


@pytest.fixture
async def crowd(settings: Folder) -> AsyncIterator[ClientSession]:
    """Makes any number of connections and keeps no cookies. A process must log each reference that it is shown."""
    shown = Shown()
    async with ClientSession(connector=TCPConnector(limit=0), middlewares=(shown.by_client,)) as http:
        yield http
    shown.check(shown_in("".join(log.read_text() for log in settings.path.glob("replica*/log"))))


def reported(both: list[Replica], event: str) -> list[dict[str, Any]]:
    """Returns the audit events of one kind that both processes wrote."""
    lines = (line for replica in both for line in replica.log.read_text().splitlines() if line.startswith("{"))
    return [line for line in map(json.loads, lines) if line.get("event") == event]


async def at_code_page(both: list[Replica], agent: Person, keycloak: Keycloak, mail: MailServer, address: str) -> str:
    """Returns a new user, about to enter the code that arrived."""
    user = keycloak.admin.create_user(email=None)
    shown = await agent.to_code(user.username, user.password, address)
    assert shown.step == "verify"
    return await code_for(mail, address)


async def enter_at_once(
    crowd: ClientSession, both: list[Replica], agent: Person, codes: list[str]
) -> tuple[Counter[str], set[str]]:
    """Sends all `codes` in parallel, half to each process; counts the answers and returns the session cookies."""
    cookie = "; ".join(f"{name}={value}" for name, value in agent.cookies().items())

    async def enter(number: int, code: str) -> tuple[str, str | None]:
        body = {"csrf": agent.csrf, "to": agent.target, **agent.named, "code": code}
        url = f"{both[number % 2].base}/-/login/verify"
        async with crowd.post(url, json=body, headers={**JSON, "Cookie": cookie}) as response:
            found = await response.json()
            given = response.cookies.get("gateway-session")
        said = found.get("step", "") if not found["problem"] else found["problem"]["code"]
        return said, given.value if given else None

    answers = await asyncio.gather(*(enter(number, code) for number, code in enumerate(codes)))
    return Counter(said for said, _ in answers), {given for _, given in answers if given}


@pytest.mark.row("EF-13")
@pytest.mark.row("GW-13")
async def test_the_correct_code_posted_500_times_in_parallel_opens_exactly_one_session(
    both: list[Replica], crowd: ClientSession, keycloak: Keycloak, mail_server: MailServer
) -> None:
    for number in range(ROUNDS):
        async with Person(both[0].base) as agent:
            code = await at_code_page(both, agent, keycloak, mail_server, f"round{number}@example.com")
            said, sessions = await enter_at_once(crowd, both, agent, [code] * TRIES)
            assert said.total() == TRIES
            assert set(said) <= {"done", "limit-exceeded", "locked"}, said
            assert said["done"] >= 1
            assert len(sessions) == 1, said
            (agent_session,) = sessions
            agent.set_cookie("gateway-session", agent_session)
            assert (await agent.get("/unified-admin/")).status == 200
    assert len(reported(both, "session_opened")) == ROUNDS
    assert not reported(both, "code_rejected")


@pytest.mark.row("EF-17")
async def test_no_more_than_the_maximum_of_500_parallel_wrong_guesses_is_judged(
    both: list[Replica], crowd: ClientSession, keycloak: Keycloak, mail_server: MailServer
) -> None:
    async with Person(both[0].base) as agent:
        code = await at_code_page(both, agent, keycloak, mail_server, "guesses@example.com")
        guesses, guess = [], code
        for _ in range(TRIES):
            guess = wrong(guess)
            guesses.append(guess)
        assert code not in guesses
        said, sessions = await enter_at_once(crowd, both, agent, guesses)
        assert said.total() == TRIES
        assert not sessions
        assert said["wrong-code"] == ATTEMPTS - 1, said  # the last judged one gets the limit as its answer
        assert set(said) <= {"wrong-code", "limit-exceeded", "locked"}
        assert len(reported(both, "code_rejected")) == ATTEMPTS
        late = await agent.do("verify", base=both[1].base, code=code)
        assert (late.status, late.problem) == (429, "limit-exceeded")
        assert len(reported(both, "code_rejected")) == ATTEMPTS


@pytest.mark.row("EF-17")
async def test_no_more_than_the_cap_of_parallel_guesses_in_many_logins_of_a_user_is_judged(
    settings: Folder, crowd: ClientSession, keycloak: Keycloak, mail_server: MailServer
) -> None:
    settings.two_factor["resendCooldown"] = 0
    user = keycloak.admin.create_user(email=None)
    with replicas(settings, 2) as both:
        async with Person(both[0].base) as agent:
            await agent.first_login(user.username, user.password, "cap@example.com", mail_server)
        agents = [Person(both[number % 2].base) for number in range(4)]
        codes = set()
        try:
            for number, agent in enumerate(agents):
                shown = await agent.password(user.username, user.password)
                assert (shown.step, shown.problem) == ("verify", None)
                codes.add(await code_for(mail_server, "cap@example.com", number + 2))
            guess = next(guess for guess in ("123456", "234567", "345678", "456789", "567890") if guess not in codes)
            await asyncio.gather(*(enter_at_once(crowd, both, agent, [guess] * (TRIES // 4)) for agent in agents))
        finally:
            for agent in agents:
                await agent.http.close()
        assert len(reported(both, "code_rejected")) == 10
        async with Person(both[1].base) as agent:
            assert (await agent.password(user.username, user.password)).problem == "locked"


@pytest.mark.row("EF-15")
async def test_only_one_of_many_parallel_logins_of_a_user_sends_a_code_within_the_cooldown(
    both: list[Replica], keycloak: Keycloak, mail_server: MailServer
) -> None:
    user = keycloak.admin.create_user(email=None)
    async with Person(both[0].base) as agent:
        await agent.first_login(user.username, user.password, "many@example.com", mail_server)
    agents = [Person(both[number % 2].base) for number in range(8)]
    try:
        answers = []
        waiting = list(agents)
        while waiting:  # requests refused as too many for this username are retried
            tried = await asyncio.gather(*(agent.password(user.username, user.password) for agent in waiting))
            answers += [answer for answer in tried if answer.step == "verify"]
            waiting = [agent for agent, answer in zip(waiting, tried, strict=True) if answer.step == "password"]
        assert len(answers) == len(agents)
        assert Counter(answer.problem for answer in answers) == {None: 1, "wait": 7}
    finally:
        for agent in agents:
            await agent.http.close()
    assert len(mail_server.to("many@example.com")) == 2


@pytest.mark.row("EF-15")
async def test_parallel_requests_for_a_new_code_send_no_more_than_the_maximum(
    settings: Folder, crowd: ClientSession, keycloak: Keycloak, mail_server: MailServer
) -> None:
    settings.two_factor.update(resendCooldown=0, maxSends=4)
    with replicas(settings, 2) as both:
        async with Person(both[0].base) as agent:
            await at_code_page(both, agent, keycloak, mail_server, "resends@example.com")
            cookie = "; ".join(f"{name}={value}" for name, value in agent.cookies().items())

            async def resend(number: int) -> int:
                body = {"csrf": agent.csrf, "to": agent.target, **agent.named, "action": "resend"}
                url = f"{both[number % 2].base}/-/login/verify"
                async with crowd.post(url, json=body, headers={**JSON, "Cookie": cookie}) as response:
                    await response.read()
                    return response.status

            for _ in range(3):
                statuses = await asyncio.gather(*(resend(number) for number in range(60)))
                assert set(statuses) <= {200, 429}, Counter(statuses)
            assert len(mail_server.to("resends@example.com")) == 4
            code = await code_for(mail_server, "resends@example.com", 4)
            assert (await agent.do("verify", base=both[1].base, code=code)).step == "done"
