"""Answers of the real Keycloak to a password, and what the gateway tells the user."""

import asyncio

import pytest

from tests.fixtures.person import Answer, code_for
from tests.fixtures.site import Site

pytestmark = pytest.mark.keycloak


async def try_in(site: Site, username: str, password: str) -> Answer:
    """Makes one attempt from a new browser."""
    async with site.person() as person:
        return await person.password(username, password)


@pytest.mark.row("GW-05", "EF-18")
async def test_wrong_password_unknown_disabled_and_locked_user_get_the_same_text(site: Site) -> None:
    user, disabled, locked = site.user(), site.user(enabled=False), site.user()
    for _ in range(31):
        site.keycloak.grant(locked.username, "wrong")
    answers = [
        await try_in(site, user.username, "wrong"),
        await try_in(site, "nobody-of-this-name", "wrong"),
        await try_in(site, disabled.username, disabled.password),
        await try_in(site, locked.username, locked.password),
    ]
    assert site.keycloak.admin.failures(locked.id)["disabled"]
    assert {answer.status for answer in answers} == {401}
    said = [{k: v for k, v in answer.body["problem"].items() if k != "reference"} for answer in answers]
    assert said.count(said[0]) == 4
    assert said[0]["code"] == "wrong-password"
    assert {line["event"] for line in site.audit.lines} == {"password_rejected"}


@pytest.mark.row("GW-05")
async def test_a_wrong_password_keeps_the_username_and_return_path_and_never_the_password(site: Site) -> None:
    user = site.user()
    async with site.person("/agent-manager/x?y=1") as agent:
        response = await agent.submit("password", username=user.username, password="wrong-and-secret")
        page = await response.text()
        assert response.status == 401
        assert f'value="{user.username}"' in page
        assert 'value="/agent-manager/x?y=1"' in page
        assert "wrong-and-secret" not in page


@pytest.mark.row("GW-05")
async def test_a_due_password_has_a_separate_step_after_the_code(site: Site) -> None:
    user = site.user(required_actions=("UPDATE_PASSWORD",))
    async with site.person() as agent:
        await agent.to_code(user.username, user.password, "due@example.com")
        due = await agent.do("verify", code=await code_for(site.mail, "due@example.com"))
        assert (due.status, due.step) == (200, "new-password")
        assert (await agent.get("/unified-admin/")).status == 303


@pytest.mark.row("GW-05")
async def test_another_required_action_has_a_separate_page(site: Site) -> None:
    user = site.user(required_actions=("CONFIGURE_TOTP",))
    reported = await try_in(site, user.username, user.password)
    assert (reported.status, reported.step, reported.problem) == (403, "stopped", "action-required")


@pytest.mark.row("GW-05")
async def test_a_wrong_password_is_a_wrong_password_even_if_a_new_one_is_due(site: Site) -> None:
    user = site.user(required_actions=("UPDATE_PASSWORD",))
    assert (await try_in(site, user.username, "wrong")).problem == "wrong-password"


@pytest.mark.row("GW-05")
async def test_a_rejected_client_is_never_reported_as_a_wrong_password(site: Site) -> None:
    site.settings.tenant["gateway"]["keycloak"]["client_secret"] = "not-the-one-keycloak-has"
    site.change()
    user = site.user()
    reported = await try_in(site, user.username, user.password)
    assert (reported.status, reported.step, reported.problem) == (503, "password", "sign-in-misconfigured")


@pytest.mark.row("GW-05")
async def test_an_empty_password_does_not_count_as_an_attempt(site: Site) -> None:
    user = site.user()
    reported = await try_in(site, user.username, "")
    assert (reported.status, reported.problem) == (422, "bad-input")
    assert not site.audit.of("password_rejected")
    assert site.keycloak.admin.failures(user.id)["numFailures"] == 0


@pytest.mark.attack("F20")
async def test_an_attacker_who_types_a_username_does_not_lock_the_user_out_of_a_known_browser(site: Site) -> None:
    user = site.user()
    assert user.email
    async with site.person() as victim:
        assert (await victim.first_login(user.username, user.password, user.email, site.mail)).step == "done"
        assert (await victim.logout()).status == 303
        refused = [await try_in(site, user.username, "wrong") for _ in range(12)]
        assert refused[-1].problem == "too-many-passwords"
        assert (await try_in(site, user.username, user.password)).problem == "too-many-passwords"
        victim.csrf = ""
        assert (await victim.login(user.username, user.password, user.email, site.mail)).step == "done"


@pytest.mark.attack("F20")
async def test_the_gateway_refuses_attempts_before_keycloak_locks_the_account(site: Site) -> None:
    user = site.user()
    for _ in range(35):
        last = await try_in(site, user.username, "wrong")
    assert (last.status, last.problem) == (429, "too-many-passwords")
    assert int(last.headers["Retry-After"]) > 0
    assert site.audit.of("limit_reached")[-1]["limit"] == "limits.password_failures_per_user"
    assert site.keycloak.admin.failures(user.id)["numFailures"] <= 10
    assert not site.keycloak.admin.failures(user.id)["disabled"]


@pytest.mark.attack("F20")
async def test_parallel_attempts_for_one_username_cause_few_requests_to_keycloak(site: Site) -> None:
    user = site.user()
    answers = await asyncio.gather(*(try_in(site, user.username, "wrong") for _ in range(40)))
    assert {answer.problem for answer in answers} == {"wrong-password", "too-many-logins"}
    assert site.keycloak.admin.failures(user.id)["numFailures"] <= 10


@pytest.mark.attack("F20")
async def test_all_users_of_a_contact_centre_behind_one_address_sign_in_at_shift_start(site: Site) -> None:
    users = [site.user() for _ in range(60)]
    for user in users[:10]:
        await try_in(site, user.username, "mistyped")
    waiting = list(users)
    for _ in range(20):  # users whom the page asks to retry do so
        wave, waiting = waiting[:20], waiting[20:]
        answers = await asyncio.gather(*(try_in(site, user.username, user.password) for user in wave))
        assert {answer.problem for answer in answers} <= {None, "too-many-logins"}
        waiting += [user for user, answer in zip(wave, answers, strict=True) if answer.problem]
    assert not waiting


async def test_failed_passwords_and_failed_codes_are_counted_separately(site: Site) -> None:
    user = site.user()
    async with site.person() as agent:
        for _ in range(4):
            await try_in(site, user.username, "wrong")
        code_page = await agent.to_code(user.username, user.password, "both@example.com")
        assert code_page.body["attempts_left"] == 5
        for _ in range(4):
            await agent.do("verify", code="000000")
        for _ in range(9):
            assert (await try_in(site, user.username, "wrong")).problem == "wrong-password"
