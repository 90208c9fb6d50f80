"""Limits of attempts through the pages, over codes, logins and tabs."""

import pytest

from tests.fixtures.administrator import admin_code
from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import Answer, Person, code_for, codes_to, wrong
from tests.fixtures.phone import Phone, both, first_app, next_step
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak
MINUTE = 60


async def with_both(site: Site) -> tuple[User, Phone, list[str]]:
    """Returns a user with mail and app on."""
    user = site.user()
    async with site.person() as agent:
        phone, codes = await both(site, agent, user)
    site.clock.advance(61)
    return user, phone, codes


async def at_page(agent: Person, user: User) -> Answer:
    """Opens a browser at the page after the password."""
    agent.csrf = ""
    return await agent.password(user.username, user.password)


@pytest.mark.row("CC-17", "CC-18", "CC-19")
async def test_the_third_and_fourth_failure_are_judged_with_a_warning_and_the_fifth_locks_for_five_minutes(
    cloud: Site,
) -> None:
    user, phone, _ = await with_both(cloud)
    async with cloud.person() as agent:
        await at_page(agent, user)
        reported = [await agent.do("verify", code=phone.wrong()) for _ in range(5)]
        assert [answer.problem for answer in reported] == ["wrong-code", "wrong-code", "warning", "warning", "locked"]
        assert reported[2].body["attempts_left"] == 2
        assert [answer.status for answer in reported] == [422, 422, 422, 422, 429]
        assert reported[4].step == "stopped"
        assert 290 <= reported[4].body["problem"]["retry_after"] <= 300
    (locked,) = cloud.audit.of("lock_set")
    assert (locked["limit"], locked["level"], locked["until"][-1]) == ("otpMaxAttempts", "error", "Z")


@pytest.mark.row("CC-17", "CC-19")
async def test_a_new_login_of_a_locked_user_shows_the_lock_at_once(cloud: Site) -> None:
    user, phone, _ = await with_both(cloud)
    async with cloud.person() as agent:
        await at_page(agent, user)
        for _ in range(5):
            await agent.do("verify", code=phone.wrong())
    async with cloud.person() as agent:
        reported = await at_page(agent, user)
        assert (reported.status, reported.step, reported.problem) == (429, "verify", "locked")
        assert 290 <= reported.body["problem"]["retry_after"] <= 300
        assert "Sign-in is paused" in await agent.page()
        cloud.clock.advance(5 * MINUTE + 1)
        assert (await agent.look()).problem is None


@pytest.mark.row("CC-18")
async def test_the_warning_names_the_five_minutes_of_the_lock(cloud: Site) -> None:
    user, phone, _ = await with_both(cloud)
    async with cloud.person() as agent:
        await at_page(agent, user)
        for _ in range(2):
            await agent.do("verify", code=phone.wrong())
        response = await agent.submit("verify", code=phone.wrong())
        assert "five minutes" in (await response.text()).lower()


@pytest.mark.row("CC-18")
@pytest.mark.parametrize("failures", [3, 4])
async def test_after_a_warning_the_correct_code_is_accepted(cloud: Site, failures: int) -> None:
    user, phone, _ = await with_both(cloud)
    async with cloud.person() as agent:
        await at_page(agent, user)
        for _ in range(failures):
            await agent.do("verify", code=phone.wrong())
        assert (await agent.do("verify", code=phone.code())).step == "done"


@pytest.mark.row("CC-17")
async def test_a_user_has_five_attempts_over_all_codes_resends_and_logins(cloud: Site) -> None:
    user, phone, codes = await with_both(cloud)
    assert user.email
    sent = len(codes_to(cloud.mail, user.email))
    async with cloud.person() as first:
        await at_page(first, user)
        assert (await first.do("verify", code=phone.wrong())).problem == "wrong-code"
        await first.do("verify", "send")
        code = await code_for(cloud.mail, user.email, sent + 1)
        assert (await first.do("verify", code=wrong(code))).problem == "wrong-code"
    async with cloud.person() as second, cloud.person() as third:
        await at_page(second, user)
        assert (await second.do("verify", code="ABCDE-FGHJK")).problem == "warning"
        await at_page(third, user)
        assert (await third.do("verify", code="000000000000")).problem == "warning"
        assert (await second.do("verify", code=phone.wrong())).problem == "locked"
        assert (await third.do("verify", code=codes[0])).problem == "locked"


@pytest.mark.row("CC-17")
async def test_a_success_resets_the_count_of_failures(cloud: Site) -> None:
    user, phone, _ = await with_both(cloud)
    for _ in range(3):
        async with cloud.person() as agent:
            await at_page(agent, user)
            for _ in range(4):
                await agent.do("verify", code=phone.wrong())
            next_step(cloud)
            assert (await agent.do("verify", code=phone.code())).step == "done"


@pytest.mark.row("CC-19")
async def test_a_lock_blocks_every_kind_of_code_in_every_login_and_stops_sending(cloud: Site) -> None:
    user, phone, codes = await with_both(cloud)
    assert user.email
    async with cloud.person() as agent:
        await at_page(agent, user)
        for _ in range(5):
            await agent.do("verify", code=phone.wrong())
    sent = len(cloud.mail.to(user.email))
    helping = await admin_code(cloud, user)
    for code in (phone.code(), codes[0], helping):
        async with cloud.person() as again:
            await at_page(again, user)
            assert (await again.do("verify", "send")).problem == "locked"
            held = await again.do("verify", code=code)
            assert (held.status, held.problem) == (429, "locked")
    assert len(cloud.mail.to(user.email)) == sent
    assert len(cloud.audit.of("lock_set")) == 1


@pytest.mark.row("CC-19")
async def test_after_the_lock_the_count_of_failures_starts_at_zero(cloud: Site) -> None:
    user, phone, _ = await with_both(cloud)
    async with cloud.person() as agent:
        await at_page(agent, user)
        for _ in range(5):
            await agent.do("verify", code=phone.wrong())
    cloud.clock.advance(5 * MINUTE + 1)
    async with cloud.person() as again:
        await at_page(again, user)
        reported = [await again.do("verify", code=phone.wrong()) for _ in range(4)]
        assert [answer.problem for answer in reported] == ["wrong-code", "wrong-code", "warning", "warning"]
        assert (await again.do("verify", code=phone.code())).step == "done"


@pytest.mark.row("CC-19")
async def test_the_lock_of_one_user_does_not_lock_another(cloud: Site) -> None:
    user, phone, _ = await with_both(cloud)
    other, others_phone, _ = await with_both(cloud)
    async with cloud.person() as agent, cloud.person() as dependency:
        await at_page(agent, user)
        for _ in range(5):
            await agent.do("verify", code=phone.wrong())
        await at_page(dependency, other)
        assert (await dependency.do("verify", code=others_phone.code())).step == "done"


@pytest.mark.row("CC-19")
async def test_a_lock_ends_no_open_session(cloud: Site) -> None:
    user = cloud.user()
    async with cloud.person() as agent, cloud.person() as elsewhere:
        phone, _ = await both(cloud, agent, user)
        await at_page(elsewhere, user)
        for _ in range(5):
            await elsewhere.do("verify", code=phone.wrong())
        await cloud.seen(agent)


async def stopped_login(site: Site, user: User, phone: Phone) -> Answer:
    """Runs one login with five wrong attempts and returns the last answer."""
    async with site.person() as agent:
        await at_page(agent, user)
        for _ in range(5):
            last = await agent.do("verify", code=phone.wrong())
        return last


@pytest.mark.row("EF-19")
async def test_ten_failures_over_several_logins_lock_the_user_for_five_minutes_and_twenty_for_thirty_minutes(
    app_site: Site,
) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        phone = await first_app(app_site, agent, user)
    assert (await stopped_login(app_site, user, phone)).problem == "too-many-codes"
    tenth = await stopped_login(app_site, user, phone)
    assert (tenth.step, tenth.problem) == ("stopped", "locked")
    assert 290 <= tenth.body["problem"]["retry_after"] <= 300
    async with app_site.person() as agent:
        await at_page(agent, user)
        assert (await agent.do("verify", code=phone.code())).problem == "locked"
    app_site.clock.advance(5 * MINUTE + 1)
    assert (await stopped_login(app_site, user, phone)).problem == "too-many-codes"
    twentieth = await stopped_login(app_site, user, phone)
    assert (twentieth.step, twentieth.problem) == ("stopped", "locked")
    assert 1790 <= twentieth.body["problem"]["retry_after"] <= 1800
    app_site.clock.advance(30 * MINUTE + 1)
    async with app_site.person() as agent:
        await at_page(agent, user)
        assert (await agent.do("verify", code=phone.code())).step == "done"
    next_step(app_site)
    assert (await stopped_login(app_site, user, phone)).problem == "too-many-codes"  # the success cleared the count


@pytest.mark.row("EF-17", "EF-20")
async def test_the_stopped_page_of_a_login_with_an_app_offers_no_new_code(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        phone = await first_app(app_site, agent, user)
    last = await stopped_login(app_site, user, phone)
    assert (last.status, last.step, last.problem) == (403, "stopped", "too-many-codes")
    assert "new code" not in last.body["problem"]["text"]


@pytest.mark.row("EF-20")
@pytest.mark.parametrize("action", ["send", "resend"])
async def test_a_program_that_requests_a_message_for_an_app_code_gets_an_error(app_site: Site, action: str) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        await first_app(app_site, agent, user)
    async with app_site.person() as agent:
        await at_page(agent, user)
        asked = await agent.do("verify", action)
        assert (asked.status, asked.step, asked.problem) == (422, "verify", "bad-input")


@pytest.mark.row("EF-19")
async def test_five_failures_with_the_app_end_the_login_and_the_user_may_begin_another(app_site: Site) -> None:
    user = app_site.user()
    async with app_site.person() as agent:
        phone = await first_app(app_site, agent, user)
    async with app_site.person() as agent:
        await at_page(agent, user)
        for _ in range(5):
            await agent.do("verify", code=phone.wrong())
        assert (await agent.do("verify", code=phone.code())).step == "stopped"
        assert (await at_page(agent, user)).step == "verify"
        assert (await agent.do("verify", code=phone.code())).step == "done"
