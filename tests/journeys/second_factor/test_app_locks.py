"""A lock of one application, and an application for which the password alone is enough."""

import asyncio
from collections import Counter

import pytest

from gateway.administration.user_recovery import UserRecovery
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import JSON, Person
from tests.fixtures.phone import STEP, Phone, first_app
from tests.fixtures.site import Site

pytestmark = [pytest.mark.keycloak, pytest.mark.row("SI-07")]
HALF_AN_HOUR = 1800
LOCKS = {
    "otpMaxAttempts": 3,
    "attemptsScope": "user",
    "onMaxVerify": "lock",
    "lockedFor": HALF_AN_HOUR,
    "lockScope": "app",
}
A, B, C = "/unified-admin/", "/agent-manager/", "/reports/"


@pytest.fixture
def site(app_site: Site) -> Site:
    """Three apps, each locked by itself."""
    routes = app_site.settings.tenant["gateway"]["routes"]
    routes.append({**routes[0], "path": "/reports"})
    app_site.change(**LOCKS)
    return app_site


async def with_app(site: Site) -> tuple[User, Phone]:
    """Returns a user with an authenticator app and no session."""
    user = site.user()
    async with site.person() as owner:
        phone = await first_app(site, owner, user)
        await owner.logout()
    return user, phone


async def fail(site: Site, user: User, phone: Phone, app: str, times: int = 1) -> str | None:
    """Enters wrong codes for `app` in a new browser; returns the last problem."""
    async with site.person(app) as stranger:
        answer = await stranger.password(user.username, user.password)
        for _ in range(times):
            answer = await stranger.do("verify", code=phone.wrong())
    return answer.problem


async def sign_in(site: Site, agent: Person, user: User, phone: Phone, app: str) -> str | None:
    """Signs in for `app` with the right code; returns the problem, None when signed in."""
    agent.target, agent.csrf = app, ""
    await agent.password(user.username, user.password)
    answer = await agent.do("verify", code=phone.code())
    site.clock.advance(STEP)
    return answer.problem or (None if answer.step == "done" else answer.step)


async def opens(agent: Person, *apps: str) -> list[bool]:
    """Returns for each app whether the session opens it."""
    return [(await agent.get(app)).status == 200 for app in apps]


async def step_up(agent: Person, app: str) -> str:
    """Opens a further app, and returns the page to which that leads."""
    agent.target = app
    sent = await agent.get(app)
    await agent.page(sent.headers["Location"])
    return agent.path.partition("?")[0]


@pytest.mark.attack("F17")
async def test_a_session_of_another_app_does_not_open_the_locked_one(site: Site) -> None:
    user, phone = await with_app(site)
    assert await fail(site, user, phone, A, 3) == "locked"
    async with site.person() as agent:
        assert await sign_in(site, agent, user, phone, A) == "locked"
        assert await sign_in(site, agent, user, phone, B) is None
        assert await opens(agent, A, B, C) == [False, True, True]
        assert await step_up(agent, A) == "/-/login/verify"
        assert (await agent.do("verify", code=phone.code())).problem == "locked"
        assert await opens(agent, A, B) == [False, True]


async def test_after_the_lock_a_step_up_opens_the_app(site: Site) -> None:
    user, phone = await with_app(site)
    await fail(site, user, phone, A, 3)
    async with site.person() as agent:
        assert await sign_in(site, agent, user, phone, B) is None
        site.clock.advance(HALF_AN_HOUR - 60)
        assert (await agent.get(B)).status == 200
        site.clock.advance(61)
        assert await step_up(agent, A) == "/-/login/verify"
        assert (await agent.do("verify", code=phone.code())).step == "done"
        assert await opens(agent, A, B, C) == [True, True, True]


async def test_sessions_opened_before_the_lock_stay_as_they_are_and_keycloak_locks_nothing(site: Site) -> None:
    user, phone = await with_app(site)
    async with site.person() as agent:
        assert await sign_in(site, agent, user, phone, A) is None
        assert await fail(site, user, phone, A, 3) == "locked"
        assert await opens(agent, A, B, C) == [True, True, True]
        assert await opens(agent, A) == [True]
    async with site.person(B) as other:
        assert (await other.password(user.username, user.password)).step == "verify"
    assert not (await asyncio.to_thread(site.keycloak.admin.failures, user.id))["disabled"]
    (lock,) = site.audit.of("lock_set")
    assert (lock["limit"], lock["app"]) == ("otpMaxAttempts", "/unified-admin")


@pytest.mark.row("SI-06")
@pytest.mark.attack("F17")
async def test_after_a_lock_each_further_app_gives_one_wrong_code(site: Site) -> None:
    user, phone = await with_app(site)
    assert await fail(site, user, phone, A, 3) == "locked"
    assert await fail(site, user, phone, B) == "locked"
    assert await fail(site, user, phone, C) == "locked"
    assert len(site.audit.of("code_rejected")) == 5
    async with site.person() as agent:
        assert [await sign_in(site, agent, user, phone, app) for app in (A, B, C)] == ["locked"] * 3


@pytest.mark.row("SI-06")
async def test_the_page_of_another_app_says_that_one_attempt_is_left(site: Site) -> None:
    user, phone = await with_app(site)
    await fail(site, user, phone, A, 3)
    async with site.person(B) as agent:
        answer = await agent.password(user.username, user.password)
        assert (answer.step, answer.problem, answer.body["attempts_left"]) == ("verify", None, 1)


@pytest.mark.row("SI-06")
@pytest.mark.attack("F17")
async def test_parallel_wrong_codes_over_apps_and_tabs_get_no_attempt_more(site: Site) -> None:
    user, phone = await with_app(site)
    people = [site.person(app) for app in (A, B, C) for _ in range(2)]
    for person in people:
        await person.password(user.username, user.password)
    forms = [person.do("verify", code=phone.wrong()) for person in people for _ in range(10)]
    answers = await asyncio.gather(*forms)
    for person in people:
        await person.http.close()
    found = Counter(answer.problem for answer in answers)
    assert len(site.audit.of("code_rejected")) == 3 + 2
    assert found["locked"] >= len(forms) - 2 * 3


async def test_a_success_in_another_app_counts_for_the_user_and_frees_no_locked_app(site: Site) -> None:
    user, phone = await with_app(site)
    await fail(site, user, phone, A, 3)
    async with site.person() as agent:
        assert await sign_in(site, agent, user, phone, B) is None
    assert await fail(site, user, phone, C, 2) == "wrong-code"
    assert await fail(site, user, phone, A) == "locked"


async def test_an_administrator_ends_the_locks_of_all_apps_and_nothing_else(site: Site) -> None:
    user, phone = await with_app(site)
    async with site.person() as agent:
        assert await sign_in(site, agent, user, phone, A) is None
        for app, times in ((A, 3), (B, 1), (C, 1)):
            assert await fail(site, user, phone, app, times) == "locked"
        await UserRecovery(site.services).unlock("expertflow", user.username, "root")
        assert await opens(agent, A) == [True]
    assert await fail(site, user, phone, B, 2) == "wrong-code"
    async with site.person() as other:
        assert await sign_in(site, other, user, phone, C) is None
        assert await opens(other, A, B, C) == [True, True, True]
    (unlocked,) = site.audit.of("user_unlocked")
    assert (unlocked["username"], unlocked["by"]) == (user.username, "command line: root")


async def test_the_reset_of_a_user_ends_the_locks_of_all_apps(site: Site) -> None:
    user, phone = await with_app(site)
    for app, times in ((A, 3), (B, 1), (C, 1)):
        assert await fail(site, user, phone, app, times) == "locked"
    await UserRecovery(site.services).reset("expertflow", user.username, "root")
    async with site.person() as agent:
        await first_app(site, agent, user)
        assert await opens(agent, A, B, C) == [True, True, True]


@pytest.mark.attack("F17")
async def test_a_trusted_browser_opens_no_locked_app(site: Site) -> None:
    site.change(trustBrowserDays=14)
    user, phone = await with_app(site)
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        assert (await agent.do("verify", code=phone.code(), remember="yes")).step == "done"
        site.clock.advance(STEP)
        await agent.logout()
        assert await fail(site, user, phone, A, 3) == "locked"
        agent.csrf = ""
        assert (await agent.password(user.username, user.password)).step == "done"
        assert await opens(agent, A, B) == [False, True]
        assert await step_up(agent, A) == "/-/login/stopped"
        site.clock.advance(HALF_AN_HOUR - 60)
        assert await opens(agent, B) == [True]
        site.clock.advance(61)
        sent = await agent.get(A)
        assert (await agent.get(sent.headers["Location"])).headers["Location"] == A
        assert await opens(agent, A) == [True]


@pytest.mark.row("SI-07")
async def test_in_one_browser_a_login_for_another_app_is_another_login(site: Site) -> None:
    user, phone = await with_app(site)
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        agent.target = B
        assert (await agent.password(user.username, user.password)).step == "verify"
        for _ in range(3):
            answer = await agent.do("verify", code=phone.wrong())
        assert answer.problem == "locked"
    assert [line["app"] for line in site.audit.of("lock_set")] == ["/agent-manager"]


@pytest.mark.row("GE-21")
@pytest.mark.attack("F17")
async def test_a_factor_proved_in_the_live_session_is_not_asked_again(site: Site) -> None:
    site.change(skipWhenVerified=True)
    user, phone = await with_app(site)
    await fail(site, user, phone, A, 3)
    async with site.person() as agent:
        assert await sign_in(site, agent, user, phone, B) is None
        sent = await agent.get(A)
        assert (await agent.get(sent.headers["Location"])).headers["Location"].startswith("/-/login/stopped")
        assert "Sign-in is paused" in await agent.page("/-/login/stopped")
        assert await opens(agent, A, B) == [False, True]
        site.clock.advance(HALF_AN_HOUR - 60)
        assert await opens(agent, B) == [True]
        site.clock.advance(61)
        sent = await agent.get(A)
        assert (await agent.get(sent.headers["Location"])).headers["Location"] == A
        assert await opens(agent, A, B, C) == [True, True, True]
        site.change(skipWhenVerified=False)  # the session has its own proof still
        assert await opens(agent, A, B, C) == [True, True, True]


@pytest.mark.row("GE-21")
@pytest.mark.attack("F17")
async def test_a_proved_factor_skips_nothing_after_the_session_ended(site: Site) -> None:
    site.change(skipWhenVerified=True)
    user, phone = await with_app(site)
    async with site.person() as agent:
        assert await sign_in(site, agent, user, phone, A) is None
        kept = agent.cookies()
        await agent.logout()
        for name, value in kept.items():
            agent.set_cookie(name, value)
        agent.csrf = ""
        assert (await agent.password(user.username, user.password)).step == "verify"
        assert await opens(agent, A) == [False]


@pytest.mark.row("GE-21")
@pytest.mark.attack("F17")
async def test_a_proved_factor_skips_nothing_for_another_user(site: Site) -> None:
    site.change(skipWhenVerified=True)
    user, phone = await with_app(site)
    other, _ = await with_app(site)
    async with site.person() as agent:
        assert await sign_in(site, agent, user, phone, A) is None
        agent.csrf = ""
        assert (await agent.password(other.username, other.password)).step == "verify"


@pytest.mark.row("GE-21")
async def test_a_session_of_the_password_alone_skips_nothing(site: Site) -> None:
    site.settings.tenant["gateway"]["routes"][1]["second_factor"] = "off"
    site.change(skipWhenVerified=True)
    user, phone = await with_app(site)
    async with site.person(B) as agent:
        assert (await agent.password(user.username, user.password)).step == "done"
        assert await step_up(agent, A) == "/-/login/verify"
        assert (await agent.do("verify", code=phone.code())).step == "done"
        assert await opens(agent, A, B, C) == [True, True, True]


@pytest.mark.row("SI-01")
async def test_a_script_of_a_session_of_the_password_alone_reads_where_to_step_up(site: Site) -> None:
    site.settings.tenant["gateway"]["routes"][1]["second_factor"] = "off"
    site.change()
    user, _ = await with_app(site)
    async with site.person(B) as agent:
        assert (await agent.password(user.username, user.password)).step == "done"
        answer = await agent.get(A + "api", headers=JSON)
        assert answer.status == 401
        assert (await answer.json())["login"].startswith(f"{site.base}/-/login?purpose=step-up")
