"""Correct, wrong, late, old, used and differently typed codes, on real parts; the test advances the clock."""

import pytest

from tests.fixtures.keycloak_admin import Person as User
from tests.fixtures.person import Answer, Person, code_for, wrong
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak
ADDRESS = "codes@example.com"


async def at_code_page(site: Site, agent: Person) -> tuple[User, str]:
    """Returns a new user who enrols `ADDRESS`, and the code that arrived."""
    user, before = site.user(), len(site.mail.to(ADDRESS))
    assert (await agent.to_code(user.username, user.password, ADDRESS)).step == "verify"
    return user, await code_for(site.mail, ADDRESS, before + 1)


async def newest(site: Site) -> str:
    """Returns the code of the newest mail."""
    return await code_for(site.mail, ADDRESS, len(site.mail.to(ADDRESS)))


async def enter(agent: Person, code: str) -> Answer:
    """Enters a code."""
    return await agent.do("verify", code=code)


@pytest.mark.row("EF-05")
@pytest.mark.parametrize("digits", [6, 8])
async def test_the_tenant_sets_length_lifetime_and_attempts_of_codes(site: Site, digits: int) -> None:
    site.change(otpLength=digits, otpExpiry=240, otpMaxAttempts=3)
    async with site.person() as agent:
        _, code = await at_code_page(site, agent)
        shown = (await agent.look()).body
    assert len(code) == digits
    assert shown["digits"] == digits
    assert shown["attempts_left"] == 3
    assert 200 < shown["expires_in"] <= 240


@pytest.mark.row("EF-13")
async def test_a_used_code_is_rejected(site: Site) -> None:
    async with site.person() as agent, site.person() as thief:
        user, code = await at_code_page(site, agent)
        assert (await enter(agent, code)).step == "done"
        site.clock.advance(61)
        await thief.password(user.username, user.password)
        again = await enter(thief, code)
        assert (again.status, again.step, again.problem) == (422, "verify", "wrong-code")


@pytest.mark.row("EF-14")
async def test_an_expired_code_is_reported_as_expired_and_costs_no_attempt(site: Site) -> None:
    async with site.person() as agent:
        _, code = await at_code_page(site, agent)
        site.clock.advance(121)
        late = await enter(agent, code)
        assert (late.status, late.step, late.problem) == (422, "verify", "code-expired")
        assert late.body["attempts_left"] == 5
        assert late.body["expires_in"] == 0
        assert (await agent.do("verify", "resend")).step == "verify"
        assert (await enter(agent, await newest(site))).step == "done"
    assert not site.audit.of("code_rejected")


@pytest.mark.row("EF-15")
async def test_a_new_code_is_refused_until_the_cooldown_is_over(site: Site) -> None:
    async with site.person() as agent:
        _, code = await at_code_page(site, agent)
        early = await agent.do("verify", "resend")
        assert (early.status, early.step, early.problem) == (429, "verify", "wait")
        assert 0 < int(early.headers["Retry-After"]) <= 60
        assert early.body["problem"]["retry_after"] == int(early.headers["Retry-After"])
        assert len(site.mail.to(ADDRESS)) == 1
        site.clock.advance(61)
        assert (await agent.do("verify", "resend")).problem is None
        assert len(site.mail.to(ADDRESS)) == 2
        assert (await newest(site)) != code


@pytest.mark.row("EF-15")
async def test_a_login_within_the_cooldown_shows_the_wait_and_then_sends_the_code(site: Site) -> None:
    async with site.person() as agent, site.person() as again:
        user, code = await at_code_page(site, agent)
        assert (await enter(agent, code)).step == "done"  # an accepted code clears the cooldown
        assert (await again.password(user.username, user.password)).problem is None
        async with site.person() as third:
            held = await third.password(user.username, user.password)
            assert (held.step, held.problem) == ("verify", "wait")
            assert 0 < held.body["problem"]["retry_after"] <= 60
            assert 'name="code"' not in await third.page()
            assert len(site.mail.to(ADDRESS)) == 2
            site.clock.advance(61)
            sent = await third.look()
            assert (sent.step, sent.problem) == ("verify", None)
            assert (await enter(third, await code_for(site.mail, ADDRESS, 3))).step == "done"


@pytest.mark.row("EF-16")
async def test_a_new_code_invalidates_the_old_one_which_then_costs_an_attempt(site: Site) -> None:
    async with site.person() as agent:
        _, old = await at_code_page(site, agent)
        site.clock.advance(61)
        await agent.do("verify", "resend")
        new = await code_for(site.mail, ADDRESS, 2)
        superseded = await enter(agent, old)
        assert (superseded.status, superseded.problem) == (422, "wrong-code")
        assert superseded.body["attempts_left"] == 4
        assert (await enter(agent, new)).step == "done"


@pytest.mark.row("EF-17")
async def test_after_the_last_attempt_even_the_correct_code_is_rejected_until_a_new_one_is_sent(site: Site) -> None:
    site.change(otpMaxAttempts=3)
    async with site.person() as agent:
        _, code = await at_code_page(site, agent)
        problems = [(await enter(agent, wrong(code))).problem for _ in range(3)]
        assert problems == ["wrong-code", "wrong-code", "limit-exceeded"]
        exceeded = await enter(agent, code)
        assert (exceeded.status, exceeded.step, exceeded.problem) == (429, "verify", "limit-exceeded")
        assert 0 < exceeded.body["problem"]["retry_after"] <= 60
        assert (await agent.do("verify", "resend")).problem == "wait"
        site.clock.advance(61)
        assert (await agent.do("verify", "resend")).problem is None
        assert (await enter(agent, await code_for(site.mail, ADDRESS, 2))).step == "done"
    assert len(site.audit.of("code_rejected")) == 3


@pytest.mark.row("EF-17")
async def test_each_view_of_the_page_says_that_the_code_reached_its_limit_of_attempts(site: Site) -> None:
    async with site.person() as agent:
        _, code = await at_code_page(site, agent)
        for _ in range(5):
            await enter(agent, wrong(code))
        shown = await agent.look()
        assert (shown.status, shown.step, shown.problem) == (200, "verify", "limit-exceeded")
        assert (shown.body["attempts_left"], shown.body["expires_in"]) == (0, 0)
        assert "That was too many tries" in await agent.page()
        site.clock.advance(61)
        await agent.do("verify", "resend")
        assert (await agent.look()).problem is None


@pytest.mark.row("EF-19")
async def test_a_locked_user_sees_the_lock_and_not_the_shorter_cooldown(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        await agent.first_login(user.username, user.password, ADDRESS, site.mail)
    async with site.person() as agent:
        await agent.password(user.username, user.password)
        for _ in range(2):
            code = await newest(site)
            for _ in range(5):
                last = await enter(agent, wrong(code))
            site.clock.advance(61)
            await agent.do("verify", "resend")
        assert last.problem == "locked"
    sent = len(site.mail.to(ADDRESS))
    async with site.person() as agent:
        reported = await agent.password(user.username, user.password)
        assert (reported.status, reported.step, reported.problem) == (429, "verify", "locked")
        assert reported.body["problem"]["retry_after"] == reported.body["resend_in"] > 200
        assert (await agent.look()).problem == "locked"
    assert len(site.mail.to(ADDRESS)) == sent


@pytest.mark.row("EF-19")
async def test_no_code_is_sent_beyond_the_maximum_of_a_login(site: Site) -> None:
    site.change(maxSends=2)
    async with site.person() as agent:
        await at_code_page(site, agent)
        site.clock.advance(61)
        await agent.do("verify", "resend")
        site.clock.advance(61)
        refused = await agent.do("verify", "resend")
        assert (refused.status, refused.step, refused.problem) == (429, "verify", "max-sends")
        assert (await enter(agent, await code_for(site.mail, ADDRESS, 2))).step == "done"
    assert len(site.mail.to(ADDRESS)) == 2


@pytest.mark.row("EF-18", "GW-30")
async def test_invalid_expired_cooldown_and_limit_problems_have_distinct_texts_and_a_reference(site: Site) -> None:
    site.change(otpMaxAttempts=1)
    said: dict[str, str] = {}
    async with site.person() as agent:
        _, code = await at_code_page(site, agent)
        answers = [await agent.do("verify", "resend"), await enter(agent, wrong(code)), await enter(agent, code)]
        site.clock.advance(61)
        await agent.do("verify", "resend")
        site.clock.advance(121)
        answers.append(await enter(agent, code))
        site.change(otpMaxAttempts=5)
        async with site.person() as other:
            _, code = await at_code_page(site, other)
            answers.append(await enter(other, wrong(code)))
        for answer in answers:
            said[str(answer.problem)] = answer.body["problem"]["text"]
            assert len(answer.body["problem"]["reference"]) == 8
    assert set(said) == {"wait", "limit-exceeded", "code-expired", "wrong-code"}
    assert [line["limit"] for line in site.audit.of("limit_reached")] == ["resendCooldown", "otpMaxAttempts"]
    assert len(set(said.values())) == 4
    for text in said.values():
        assert "exist" not in text
        assert ADDRESS not in text


@pytest.mark.row("GW-30")
async def test_the_reference_of_a_problem_is_in_its_audit_event(site: Site) -> None:
    async with site.person() as agent:
        user, code = await at_code_page(site, agent)
        reported = (await enter(agent, wrong(code))).body["problem"]["reference"]
    (line,) = [line for line in site.audit.lines if line["event"] == "code_rejected"]
    assert (line["reference"], line["user_id"]) == (reported, user.id)


@pytest.mark.row("GW-30")
async def test_the_mail_carries_the_reference_of_the_request_that_sent_it(site: Site) -> None:
    async with site.person() as agent:
        await at_code_page(site, agent)
    (sent,) = site.audit.of("code_sent")
    (mail,) = site.mail.to(ADDRESS)
    assert sent["reference"] in mail.text


@pytest.mark.row("EF-21")
async def test_the_code_page_explains_how_to_get_help(site: Site) -> None:
    async with site.person() as agent:
        _, code = await at_code_page(site, agent)
        page = await agent.page()
        assert ADDRESS in page
        assert "spam or junk" in page
        assert "Only the newest code works" in page
        assert "contact your administrator" in page
        assert "address is unique" not in page
        for _ in range(2):
            await enter(agent, wrong(code))
        assert "address is unique" not in await agent.page()


@pytest.mark.row("GW-32")
@pytest.mark.parametrize("way", ["spaces", "hyphens", "arabic", "extended", "bidi"])
async def test_a_code_is_accepted_in_the_digits_and_spacing_that_users_type(site: Site, way: str) -> None:
    async with site.person() as agent:
        _, code = await at_code_page(site, agent)
        typed = {
            "spaces": f" {code[:3]} {code[3:]} ",
            "hyphens": f"{code[:3]}-{code[3:]}",
            "arabic": "".join(chr(0x660 + int(digit)) for digit in code),
            "extended": "".join(chr(0x6F0 + int(digit)) for digit in code),
            "bidi": f"\u200f{code}\u200e",
        }[way]
        response = await agent.submit("verify", code=typed)
        assert (response.status, response.headers["Location"]) == (303, "/unified-admin/")


@pytest.mark.row("GW-32")
async def test_no_input_pattern_of_the_page_blocks_the_spelling_of_a_code(site: Site) -> None:
    async with site.person() as agent:
        await at_code_page(site, agent)
        page = await agent.page()
    assert "pattern=" not in page
    assert "maxlength" not in page
    assert 'inputmode="numeric"' in page
    assert 'autocomplete="one-time-code"' in page
