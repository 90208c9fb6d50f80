"""Tests of the token endpoint with Keycloak's faults and older versions."""

import asyncio
import gc
from dataclasses import replace

import pytest
from authlib.oauth2 import OAuth2Client
from authlib.oauth2.rfc6749 import OAuth2Token

from gateway.demo.identity_provider import Fault, StandInUser
from gateway.domain import errors
from gateway.domain.secret import Secret
from gateway.keycloak.token_endpoint import Granted, NotFullySetUp, RefreshUnknown, SessionEnded, WrongPassword
from tests.fixtures.ports import free_port
from tests.keycloak.conftest import RealmHarness

FAULTS = {
    Fault.SILENT: errors.Unreachable,
    Fault.ERROR: errors.Unreachable,
    Fault.HTML_ERROR: errors.Unreachable,
    Fault.NOT_JSON: errors.Unreachable,
    Fault.HTML_DENIED: errors.Refused,
    Fault.REDIRECT: errors.Misconfigured,
}


async def granted(realm_harness: RealmHarness) -> Granted:
    found = await realm_harness.sign_in.password(
        realm_harness.access, realm_harness.user.username, realm_harness.password
    )
    assert isinstance(found, Granted)
    return found


@pytest.mark.row("GW-05")
async def test_a_wrong_password_is_recognised_on_older_servers_that_answer_401(realm_harness: RealmHarness) -> None:
    realm_harness.realm.behaviour.old_statuses = True
    found = await realm_harness.sign_in.password(realm_harness.access, "agent1", Secret("wrong"))
    assert found == WrongPassword("Invalid user credentials")


async def test_a_wrong_client_secret_is_a_configuration_error_on_older_servers_too(realm_harness: RealmHarness) -> None:
    realm_harness.realm.behaviour.old_statuses = True
    access = replace(realm_harness.access, sign_in=replace(realm_harness.access.sign_in, secret=Secret("wrong")))
    with pytest.raises(errors.Refused, match="unauthorized_client"):
        await realm_harness.sign_in.password(access, "agent1", realm_harness.password)


@pytest.mark.parametrize("old", [False, True])
async def test_a_required_action_is_recognised_by_the_error_description(realm_harness: RealmHarness, old: bool) -> None:
    realm_harness.realm.behaviour.old_statuses = old
    realm_harness.user.required_actions = ["UPDATE_PASSWORD"]
    assert (
        await realm_harness.sign_in.password(realm_harness.access, "agent1", realm_harness.password) == NotFullySetUp()
    )


async def test_older_servers_report_a_disabled_user_before_they_check_the_password(realm_harness: RealmHarness) -> None:
    realm_harness.realm.behaviour.disabled_first = True
    realm_harness.user.enabled = False
    assert await realm_harness.sign_in.password(realm_harness.access, "agent1", Secret("x")) == WrongPassword(
        "Account disabled"
    )


async def test_a_locked_user_is_reported_as_a_wrong_password(realm_harness: RealmHarness) -> None:
    realm_harness.user.locked = True
    found = await realm_harness.sign_in.password(realm_harness.access, "agent1", realm_harness.password)
    assert found == WrongPassword("Invalid user credentials")


async def test_a_logout_that_keycloak_rejects_is_an_error_and_so_is_tried_again(realm_harness: RealmHarness) -> None:
    found = await granted(realm_harness)
    access = replace(realm_harness.access, sign_in=replace(realm_harness.access.sign_in, secret=Secret("wrong")))
    with pytest.raises(errors.Refused, match="logout: 401"):
        await realm_harness.sign_in.end(access, found.tokens.refresh)


@pytest.mark.row("GW-05")
@pytest.mark.parametrize(("fault", "error"), FAULTS.items())
async def test_no_fault_is_reported_as_a_wrong_password(
    realm_harness: RealmHarness, fault: Fault, error: type[errors.GatewayError]
) -> None:
    realm_harness.realm.behaviour.token_fault = fault
    access = replace(realm_harness.access, timeout=0.3) if fault is Fault.SILENT else realm_harness.access
    with pytest.raises(error, match="password grant"):
        await realm_harness.sign_in.password(access, "agent1", realm_harness.password)


@pytest.mark.parametrize(("fault", "error"), FAULTS.items())
async def test_no_fault_ever_ends_a_session(
    realm_harness: RealmHarness, fault: Fault, error: type[errors.GatewayError]
) -> None:
    tokens = (await granted(realm_harness)).tokens
    realm_harness.realm.behaviour.token_fault = fault
    access = replace(realm_harness.access, timeout=0.3) if fault is Fault.SILENT else realm_harness.access
    with pytest.raises(error):
        await realm_harness.sign_in.refresh(access, tokens)
    realm_harness.realm.behaviour.token_fault = None
    assert isinstance(await realm_harness.sign_in.refresh(realm_harness.access, tokens), Granted)


async def test_a_keycloak_that_does_not_answer_is_unreachable(realm_harness: RealmHarness) -> None:
    access = replace(realm_harness.access, url=f"http://127.0.0.1:{free_port()}/auth/")
    with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1"):
        await realm_harness.sign_in.password(access, "agent1", realm_harness.password)


async def test_a_client_policy_that_forbids_the_grant_is_a_configuration_error(realm_harness: RealmHarness) -> None:
    realm_harness.realm.refusal = lambda *_: "resource owner password credentials grant is prohibited."  # type: ignore[method-assign]
    with pytest.raises(errors.Refused, match="prohibited"):
        await realm_harness.sign_in.password(realm_harness.access, "agent1", realm_harness.password)


async def test_a_grant_whose_token_is_rejected_leaves_no_session(realm_harness: RealmHarness) -> None:
    elsewhere = replace(realm_harness.access, issuer="https://elsewhere.example/auth/realms/expertflow")
    with pytest.raises(errors.Misconfigured):
        await realm_harness.sign_in.password(elsewhere, "agent1", realm_harness.password)
    assert not realm_harness.realm.sessions


async def test_with_rotation_the_new_refresh_token_is_returned(realm_harness: RealmHarness) -> None:
    realm_harness.realm.behaviour.rotate_refresh = True
    first = (await granted(realm_harness)).tokens
    second = await realm_harness.sign_in.refresh(realm_harness.access, first)
    assert isinstance(second, Granted)
    assert isinstance(await realm_harness.sign_in.refresh(realm_harness.access, second.tokens), Granted)


async def test_a_refresh_with_an_unverifiable_access_token_still_returns_the_refresh_token(
    realm_harness: RealmHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    realm_harness.realm.behaviour.rotate_refresh = True
    first = (await granted(realm_harness)).tokens
    realm_harness.realm.rotate_key()

    async def down(*args: object) -> object:
        raise errors.Unreachable("Keycloak", "its signing keys: no answer")

    with monkeypatch.context() as away:
        away.setattr(realm_harness.connections, "get_json", down)
        unjudged = await realm_harness.sign_in.refresh(realm_harness.access, first)
    assert isinstance(unjudged, RefreshUnknown)
    assert isinstance(unjudged.why, errors.Unreachable)
    again = replace(first, refresh=unjudged.refresh.value)
    assert isinstance(await realm_harness.sign_in.refresh(realm_harness.access, again), Granted)


async def test_with_rotation_an_old_refresh_token_ends_the_session(realm_harness: RealmHarness) -> None:
    realm_harness.realm.behaviour.rotate_refresh = True
    first = (await granted(realm_harness)).tokens
    second = await realm_harness.sign_in.refresh(realm_harness.access, first)
    assert isinstance(second, Granted)
    assert isinstance(await realm_harness.sign_in.refresh(realm_harness.access, first), SessionEnded)
    assert isinstance(await realm_harness.sign_in.refresh(realm_harness.access, second.tokens), SessionEnded)


async def test_a_session_idle_for_too_long_has_ended(realm_harness: RealmHarness) -> None:
    tokens = (await granted(realm_harness)).tokens
    realm_harness.clock.advance(realm_harness.realm.idle_life + 1)
    assert isinstance(await realm_harness.sign_in.refresh(realm_harness.access, tokens), SessionEnded)


async def test_token_lifetimes_are_counted_by_the_gateways_clock(realm_harness: RealmHarness) -> None:
    tokens = (await granted(realm_harness)).tokens
    now = realm_harness.clock.now()
    assert (tokens.access_expires_at, tokens.refresh_expires_at) == (now + 300, now + 1800)


async def test_parallel_grants_give_each_user_their_own_tokens(realm_harness: RealmHarness) -> None:
    people = [StandInUser(f"person{number}", f"password-{number}") for number in range(30)]
    for one in people:
        realm_harness.realm.add(one)
    asked = (realm_harness.sign_in.password(realm_harness.access, one.username, Secret(one.password)) for one in people)
    found = await asyncio.gather(*asked)
    assert [one.user.username for one in found if isinstance(one, Granted)] == [one.username for one in people]


async def test_no_client_keeps_a_token_of_a_user(realm_harness: RealmHarness) -> None:
    await granted(realm_harness)
    gc.collect()
    assert not [kept for kept in gc.get_objects() if isinstance(kept, OAuth2Token | OAuth2Client)]


async def failed_login(realm_harness: RealmHarness) -> None:
    """Fails a login by the set-up, as with a flow that judges the password and then denies; then repairs it."""
    await realm_harness.sign_in.check(realm_harness.access)
    realm_harness.realm.behaviour.token_fault = Fault.HTML_DENIED
    with pytest.raises(errors.Refused, match="Authentication flow overrides"):
        await realm_harness.sign_in.password(realm_harness.access, "agent1", realm_harness.password)
    realm_harness.realm.behaviour.token_fault = None


async def test_a_login_that_failed_by_the_set_up_fails_the_check_for_a_minute(realm_harness: RealmHarness) -> None:
    await failed_login(realm_harness)
    realm_harness.clock.advance(59.9)
    with pytest.raises(errors.Misconfigured, match=r"a sign-in failed: .*Authentication flow overrides"):
        await realm_harness.sign_in.check(realm_harness.access)
    realm_harness.clock.advance(0.1)
    await realm_harness.sign_in.check(realm_harness.access)


async def test_a_later_login_that_succeeds_ends_the_failure_of_the_check(realm_harness: RealmHarness) -> None:
    await failed_login(realm_harness)
    await granted(realm_harness)
    await realm_harness.sign_in.check(realm_harness.access)


async def test_a_later_wrong_password_does_not_end_the_failure_of_the_check(realm_harness: RealmHarness) -> None:
    await failed_login(realm_harness)
    await realm_harness.sign_in.password(realm_harness.access, "agent1", Secret("wrong"))
    with pytest.raises(errors.Misconfigured):
        await realm_harness.sign_in.check(realm_harness.access)


@pytest.mark.parametrize("signed_in", [False, True])
async def test_the_password_grant_is_checked_once_in_ten_minutes_or_shown_by_a_sign_in(
    realm_harness: RealmHarness, signed_in: bool
) -> None:
    await granted(realm_harness) if signed_in else await realm_harness.sign_in.check(realm_harness.access)
    client = realm_harness.realm.client("gateway-login")
    assert client
    client.direct_access = False
    realm_harness.clock.advance(599.9)
    await realm_harness.sign_in.check(realm_harness.access)
    realm_harness.clock.advance(0.1)
    for _ in range(2):  # while it fails, each check looks again
        with pytest.raises(errors.Refused, match="turn on Direct access grants"):
            await realm_harness.sign_in.check(realm_harness.access)
    client.direct_access = True
    await realm_harness.sign_in.check(realm_harness.access)
