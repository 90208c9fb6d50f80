"""What do Keycloak's bad days and older versions mean to a sign-in?"""

import asyncio
from dataclasses import replace

import pytest

from gateway.demo.identity_provider import Fault, StandInUser
from gateway.domain import errors
from gateway.domain.secret import Secret
from gateway.domain.session import Tokens
from gateway.keycloak.token_endpoint import Granted, NotFullySetUp, RefreshUnknown, SessionEnded, WrongPassword
from tests.keycloak.conftest import Place, grant_client
from tests.ports import free_port

FAULTS = {
    Fault.SILENT: errors.Unreachable,
    Fault.ERROR: errors.Unreachable,
    Fault.HTML_ERROR: errors.Unreachable,
    Fault.NOT_JSON: errors.Unreachable,
    Fault.HTML_DENIED: errors.Refused,
    Fault.REDIRECT: errors.Misconfigured,
}


async def granted(place: Place) -> Granted:
    found = await place.sign_in.password(place.access, place.user.username, place.password)
    assert isinstance(found, Granted)
    return found


@pytest.mark.row("GW-05")
async def test_a_wrong_password_is_the_same_to_old_servers_that_say_401(place: Place) -> None:
    place.realm.behaviour.old_statuses = True
    found = await place.sign_in.password(place.access, "agent1", Secret("wrong"))
    assert found == WrongPassword("Invalid user credentials")


async def test_a_wrong_client_secret_is_the_operator_s_matter_on_old_servers_too(place: Place) -> None:
    place.realm.behaviour.old_statuses = True
    access = replace(place.access, sign_in=replace(place.access.sign_in, secret=Secret("wrong")))
    with pytest.raises(errors.Refused, match="unauthorized_client"):
        await place.sign_in.password(access, "agent1", place.password)


@pytest.mark.parametrize("old", [False, True])
async def test_not_fully_set_up_is_read_from_the_words(place: Place, old: bool) -> None:
    place.realm.behaviour.old_statuses = old
    place.user.required_actions = ["UPDATE_PASSWORD"]
    assert await place.sign_in.password(place.access, "agent1", place.password) == NotFullySetUp()


async def test_old_servers_call_a_disabled_user_disabled_before_the_password(place: Place) -> None:
    place.realm.behaviour.disabled_first = True
    place.user.enabled = False
    assert await place.sign_in.password(place.access, "agent1", Secret("x")) == WrongPassword("Account disabled")


async def test_a_locked_user_is_a_wrong_password(place: Place) -> None:
    place.user.locked = True
    found = await place.sign_in.password(place.access, "agent1", place.password)
    assert found == WrongPassword("Invalid user credentials")


@pytest.mark.row("GW-05")
@pytest.mark.parametrize(("fault", "error"), FAULTS.items())
async def test_no_fault_is_ever_a_wrong_password(place: Place, fault: Fault, error: type[errors.GatewayError]) -> None:
    place.realm.behaviour.token_fault = fault
    access = replace(place.access, timeout=0.3) if fault is Fault.SILENT else place.access
    with pytest.raises(error, match="password grant"):
        await place.sign_in.password(access, "agent1", place.password)


@pytest.mark.parametrize(("fault", "error"), FAULTS.items())
async def test_no_fault_ever_ends_a_session(place: Place, fault: Fault, error: type[errors.GatewayError]) -> None:
    tokens = (await granted(place)).tokens
    place.realm.behaviour.token_fault = fault
    access = replace(place.access, timeout=0.3) if fault is Fault.SILENT else place.access
    with pytest.raises(error):
        await place.sign_in.refresh(access, tokens)
    place.realm.behaviour.token_fault = None
    assert isinstance(await place.sign_in.refresh(place.access, tokens), Tokens)


async def test_a_keycloak_that_is_not_there_is_unreachable(place: Place) -> None:
    access = replace(place.access, url=f"http://127.0.0.1:{free_port()}/auth/")
    with pytest.raises(errors.Unreachable, match=r"127\.0\.0\.1"):
        await place.sign_in.password(access, "agent1", place.password)


async def test_a_client_policy_against_the_grant_is_the_operator_s_matter(place: Place) -> None:
    place.realm.refusal = lambda *_: "resource owner password credentials grant is prohibited."  # type: ignore[method-assign]
    with pytest.raises(errors.Refused, match="prohibited"):
        await place.sign_in.password(place.access, "agent1", place.password)


async def test_a_grant_whose_token_is_refused_leaves_no_session(place: Place) -> None:
    elsewhere = replace(place.access, issuer="https://elsewhere.example/auth/realms/expertflow")
    with pytest.raises(errors.Misconfigured):
        await place.sign_in.password(elsewhere, "agent1", place.password)
    assert not place.realm.sessions


async def test_with_rotation_the_new_refresh_token_is_the_one_that_counts(place: Place) -> None:
    place.realm.behaviour.rotate_refresh = True
    first = (await granted(place)).tokens
    second = await place.sign_in.refresh(place.access, first)
    assert isinstance(second, Tokens)
    assert isinstance(await place.sign_in.refresh(place.access, second), Tokens)


async def test_a_refresh_whose_access_token_cannot_be_judged_gives_the_refresh_token_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.realm.behaviour.rotate_refresh = True
    first = (await granted(place)).tokens
    place.realm.rotate_key()

    async def down(*args: object) -> object:
        raise errors.Unreachable("Keycloak", "its signing keys: no answer")

    with monkeypatch.context() as away:
        away.setattr(place.connections, "get_json", down)
        unjudged = await place.sign_in.refresh(place.access, first)
    assert isinstance(unjudged, RefreshUnknown)
    assert isinstance(unjudged.why, errors.Unreachable)
    again = replace(first, refresh=unjudged.refresh.reveal())
    assert isinstance(await place.sign_in.refresh(place.access, again), Tokens)


async def test_with_rotation_an_old_refresh_token_ends_the_session(place: Place) -> None:
    place.realm.behaviour.rotate_refresh = True
    first = (await granted(place)).tokens
    second = await place.sign_in.refresh(place.access, first)
    assert isinstance(second, Tokens)
    assert isinstance(await place.sign_in.refresh(place.access, first), SessionEnded)
    assert isinstance(await place.sign_in.refresh(place.access, second), SessionEnded)


async def test_a_session_idle_for_too_long_has_ended(place: Place) -> None:
    tokens = (await granted(place)).tokens
    place.clock.advance(place.realm.idle_life + 1)
    assert isinstance(await place.sign_in.refresh(place.access, tokens), SessionEnded)


async def test_lives_are_counted_by_our_clock(place: Place) -> None:
    tokens = (await granted(place)).tokens
    now = place.clock.now()
    assert (tokens.access_expires_at, tokens.refresh_expires_at) == (now + 300, now + 1800)


async def test_grants_of_many_users_at_once_give_each_his_own(place: Place) -> None:
    people = [StandInUser(f"person{number}", f"password-{number}") for number in range(30)]
    for one in people:
        place.realm.add(one)
    asked = (place.sign_in.password(place.access, one.username, Secret(one.password)) for one in people)
    found = await asyncio.gather(*asked)
    assert [one.user.username for one in found if isinstance(one, Granted)] == [one.username for one in people]


async def test_the_client_keeps_no_user_s_token(place: Place) -> None:
    await granted(place)
    assert not (await grant_client(place.connections, place.access)).token
