"""Contract of the identity provider: the same tests on the stand-in and on the real Keycloak."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from gateway.domain import errors
from gateway.domain.configuration import OperatorLimits
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.domain.secret import Secret
from gateway.domain.tasks import BackgroundTasks
from gateway.domain.tenant import AdminUser, Credentials, KeycloakAccess, SingleSignOn
from gateway.keycloak.clients import KeycloakClients
from gateway.keycloak.grant_queue import GrantQueue, Turn
from gateway.keycloak.sso import authorization_url
from gateway.keycloak.token_endpoint import (
    CodeRefused,
    Granted,
    NotFullySetUp,
    SessionEnded,
    SignedIn,
    TokenEndpoint,
    WrongPassword,
)
from gateway.keycloak.tokens import SignIn
from gateway.keycloak.user_profile_schema import ATTRIBUTE
from gateway.keycloak.users import PasswordRefused, UserProfiles, Users
from gateway.store.locks import StoreLock
from gateway.store.memory import MemoryStore
from tests.fixtures import stand_in_keycloak as stand_in
from tests.fixtures.keycloak import Keycloak
from tests.fixtures.keycloak_admin import Person, new_password
from tests.fixtures.sign_in_page import SignInPage, answer_of, new_client

UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module", params=["stand-in", pytest.param("keycloak", marks=pytest.mark.keycloak)])
def server(request: pytest.FixtureRequest) -> Iterator[Keycloak]:
    """Returns the stand-in or the real Keycloak, for the tests' administrator."""
    if request.param == "keycloak":
        yield request.getfixturevalue("keycloak")
        return
    with stand_in.running() as found:
        yield found.server


@dataclass(frozen=True)
class Gateway:
    """The gateway's adapters and a realm's access."""

    access: KeycloakAccess
    sign_in: TokenEndpoint
    queue: GrantQueue
    users: Users
    profile: UserProfiles

    async def password(self, username: str, password: str) -> Granted | WrongPassword | NotFullySetUp:
        """Signs in as the gateway does: one grant at a time for each username."""
        async with self.queue.turn("tenant", username, "192.0.2.1") as turn:
            assert turn == Turn()
            return await self.sign_in.password(self.access, username, Secret(password))


@pytest.fixture
async def gateway(server: Keycloak) -> AsyncIterator[Gateway]:
    connections, clock, tasks = KeycloakClients(), SystemClock(), BackgroundTasks()
    queue = GrantQueue(StoreLock(MemoryStore(clock), clock, SystemRandom()), clock, tasks, OperatorLimits())
    yield Gateway(
        access_of(server), TokenEndpoint(connections, clock), queue, Users(connections), UserProfiles(connections)
    )
    await tasks.close(10)
    await connections.close()


@pytest.fixture
def person(server: Keycloak) -> Person:
    return server.admin.create_user()


def access_of(server: Keycloak, *, realm: str = "") -> KeycloakAccess:
    realm = realm or server.realm
    return KeycloakAccess(
        url=server.base_url,
        realm=realm,
        issuer=server.issuer(realm),
        sign_in=Credentials("gateway-login", Secret(server.clients["gateway-login"])),
        administration=Credentials("gateway-admin", Secret(server.clients["gateway-admin"])),
        timeout=20.0,  # the real one shares a small machine with all other processes
    )


async def granted(gateway: Gateway, person: Person) -> Granted:
    """Returns a grant by the correct password."""
    found = await gateway.password(person.username, person.password)
    assert isinstance(found, Granted)
    return found


async def ask(server: Keycloak, endpoint: str, form: dict[str, str]) -> httpx2.Response:
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        client = {"client_id": "gateway-login", "client_secret": server.clients["gateway-login"]}
        return await http.post(server.url(endpoint), data=client | form)


# ------------------------------------------------------------------ passwords


@pytest.mark.row("GW-05")
async def test_a_correct_password_gives_verified_tokens_and_the_user(gateway: Gateway, person: Person) -> None:
    found = await granted(gateway, person)
    assert found.user.id == person.id
    assert found.user.username == person.username
    assert found.user.email == person.email
    assert found.user.email_verified
    assert found.user.display_name == "Test Person"
    assert "agent" in found.user.roles
    assert found.tokens.session_id
    assert 0 < found.tokens.access_expires_at - SystemClock().now() <= 300


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda name: f"{name}@example.com"])
async def test_the_username_is_accepted_in_any_case_and_as_a_mail_address(
    gateway: Gateway, person: Person, change: Any
) -> None:
    found = await gateway.password(change(person.username), person.password)
    assert isinstance(found, Granted)
    assert found.user.id == person.id


@pytest.mark.row("GW-05")
async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(gateway: Gateway, person: Person) -> None:
    wrong = await gateway.password(person.username, new_password())
    unknown = await gateway.password("nobody-of-this-name", new_password())
    assert wrong == unknown == WrongPassword("Invalid user credentials")


async def test_characters_of_every_script_reach_the_server_unchanged(server: Keycloak, gateway: Gateway) -> None:
    person = server.admin.create_user(password="ä+%&=\u20ac \"'<>\\#日本 Aa1!")
    await granted(gateway, person)


async def test_an_empty_password_is_a_wrong_password(gateway: Gateway, person: Person) -> None:
    assert isinstance(await gateway.password(person.username, ""), WrongPassword)


@pytest.mark.row("GW-05")
async def test_a_disabled_user_is_reported_as_a_wrong_password_with_the_reason(
    server: Keycloak, gateway: Gateway
) -> None:
    person = server.admin.create_user(enabled=False)
    found = await gateway.password(person.username, person.password)
    assert found == WrongPassword("Account disabled")


async def test_a_disabled_user_with_a_wrong_password_is_not_disclosed(server: Keycloak, gateway: Gateway) -> None:
    person = server.admin.create_user(enabled=False)
    found = await gateway.password(person.username, new_password())
    assert found == WrongPassword("Invalid user credentials")


@pytest.mark.row("GW-05")
@pytest.mark.parametrize("action", ["UPDATE_PASSWORD", "CONFIGURE_TOTP"])
async def test_a_required_action_is_reported_only_with_the_correct_password(
    server: Keycloak, gateway: Gateway, action: str
) -> None:
    person = server.admin.create_user(required_actions=(action,))
    right = await gateway.password(person.username, person.password)
    wrong = await gateway.password(person.username, new_password())
    account = await gateway.users.account(gateway.access, person.id)
    assert (right, wrong) == (NotFullySetUp(), WrongPassword("Invalid user credentials"))
    assert account is not None
    assert account.required_actions == (action,)


async def test_failures_are_counted_and_a_correct_password_clears_them(gateway: Gateway, person: Person) -> None:
    for _ in range(3):
        await gateway.password(person.username, new_password())
    before = await counted(gateway, person)
    await granted(gateway, person)
    after = await counted(gateway, person)
    assert (before["numFailures"], before["disabled"], after["numFailures"]) == (3, False, 0)


async def counted(gateway: Gateway, person: Person) -> dict[str, Any]:
    """Returns the number of failures that Keycloak's brute-force protection counts for a user."""
    async with gateway.users._clients.administration(gateway.access, "reading failed logins") as admin:
        return await admin.a_get_bruteforce_detection_status(person.id)


# ------------------------------------------------------------------ what is the operator's matter


@pytest.mark.parametrize(
    "client",
    [
        Credentials("gateway-login", Secret(new_password())),
        Credentials("no-such-client", Secret(new_password())),
    ],
)
async def test_a_rejected_client_is_never_a_wrong_password(
    gateway: Gateway, person: Person, client: Credentials
) -> None:
    access = replace(gateway.access, sign_in=client)
    with pytest.raises(errors.Refused, match=client.client_id):
        await gateway.sign_in.password(access, person.username, Secret(person.password))


async def test_a_client_without_direct_access_grants_is_never_a_wrong_password(
    server: Keycloak, gateway: Gateway, person: Person
) -> None:
    access = replace(gateway.access, sign_in=gateway.access.administration)  # type: ignore[arg-type]
    with pytest.raises(errors.Refused, match="not allowed for direct access grants"):
        await gateway.sign_in.password(access, person.username, Secret(person.password))


async def test_without_any_user_the_check_tells_whether_the_client_may_take_passwords(gateway: Gateway) -> None:
    assert await gateway.sign_in.check(gateway.access) == ()
    access = replace(gateway.access, sign_in=gateway.access.administration)  # type: ignore[arg-type]
    with pytest.raises(errors.Refused, match="turn on Direct access grants of this client"):
        await gateway.sign_in.check(access)


async def test_an_unknown_realm_is_never_a_wrong_password(gateway: Gateway, person: Person) -> None:
    access = replace(gateway.access, realm="nowhere")
    with pytest.raises(errors.Refused, match="Realm does not exist"):
        await gateway.sign_in.password(access, person.username, Secret(person.password))


async def test_an_unknown_scope_is_a_400_that_is_not_a_wrong_password(server: Keycloak, person: Person) -> None:
    form = {"grant_type": "password", "username": person.username, "password": person.password, "scope": "openid zzz"}
    answer = await ask(server, "token", form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    assert answer.json()["error_description"] == "Invalid scopes: openid zzz"


async def test_a_token_of_another_issuer_is_reported_as_a_setting_with_both_issuers(
    server: Keycloak, gateway: Gateway, person: Person
) -> None:
    access = replace(gateway.access, issuer="https://sso.example.test/auth/realms/elsewhere")
    with pytest.raises(errors.Misconfigured) as reported:
        await gateway.sign_in.password(access, person.username, Secret(person.password))
    assert access.issuer in str(reported.value)
    assert server.issuer() in str(reported.value)
    assert server.admin.sessions(person.id) == []  # the session of the rejected grant has ended


async def test_no_error_contains_a_password_or_a_secret(gateway: Gateway, person: Person) -> None:
    secret = new_password()
    access = replace(gateway.access, sign_in=Credentials("gateway-login", Secret(secret)))
    with pytest.raises(errors.Refused) as reported:
        await gateway.sign_in.password(access, person.username, Secret(person.password))
    assert not {person.password, secret} & set(str(reported.value).split())


# ------------------------------------------------------------------ refresh and logout


async def test_a_refresh_gives_new_tokens_of_the_same_session(gateway: Gateway, person: Person) -> None:
    first = (await granted(gateway, person)).tokens
    second = await gateway.sign_in.refresh(gateway.access, first)
    assert isinstance(second, Granted)
    assert second.tokens.access != first.access
    assert second.tokens.session_id == first.session_id


async def test_a_refresh_after_logout_reports_that_the_session_has_ended(gateway: Gateway, person: Person) -> None:
    tokens = (await granted(gateway, person)).tokens
    await gateway.sign_in.end(gateway.access, tokens.refresh)
    assert isinstance(await gateway.sign_in.refresh(gateway.access, tokens), SessionEnded)


async def test_a_refresh_of_a_disabled_user_reports_that_the_session_has_ended(
    server: Keycloak, gateway: Gateway, person: Person
) -> None:
    tokens = (await granted(gateway, person)).tokens
    server.admin.change(person.id, enabled=False)
    assert await gateway.sign_in.refresh(gateway.access, tokens) == SessionEnded("User disabled")


async def test_a_refresh_with_an_invalid_token_reports_that_the_session_has_ended(
    gateway: Gateway, person: Person
) -> None:
    tokens = replace((await granted(gateway, person)).tokens, refresh="nonsense")
    assert isinstance(await gateway.sign_in.refresh(gateway.access, tokens), SessionEnded)


async def test_a_refresh_by_a_rejected_client_ends_nothing(gateway: Gateway, person: Person) -> None:
    tokens = (await granted(gateway, person)).tokens
    wrong = replace(gateway.access, sign_in=Credentials("gateway-login", Secret(new_password())))
    with pytest.raises(errors.Refused):
        await gateway.sign_in.refresh(wrong, tokens)
    assert isinstance(await gateway.sign_in.refresh(gateway.access, tokens), Granted)


async def test_logout_ends_the_session_and_may_be_repeated(server: Keycloak, gateway: Gateway, person: Person) -> None:
    tokens = (await granted(gateway, person)).tokens
    before = [session["id"] for session in server.admin.sessions(person.id)]
    await gateway.sign_in.end(gateway.access, tokens.refresh)
    await gateway.sign_in.end(gateway.access, tokens.refresh)
    assert (before, server.admin.sessions(person.id)) == ([tokens.session_id], [])


async def test_a_logout_with_an_invalid_token_changes_nothing(gateway: Gateway) -> None:
    await gateway.sign_in.end(gateway.access, "nonsense")


async def test_every_grant_opens_a_separate_session(server: Keycloak, gateway: Gateway, person: Person) -> None:
    for _ in range(3):
        await granted(gateway, person)
    assert len(server.admin.sessions(person.id)) == 3


async def test_ending_all_sessions_invalidates_every_refresh_token(gateway: Gateway, person: Person) -> None:
    tokens = [(await granted(gateway, person)).tokens for _ in range(2)]
    await gateway.users.end_sessions(gateway.access, person.id)
    found = [await gateway.sign_in.refresh(gateway.access, one) for one in tokens]
    assert [type(one) for one in found] == [SessionEnded, SessionEnded]


# ------------------------------------------------------------------ accounts


async def test_an_account_is_read_with_all_fields_that_a_login_needs(gateway: Gateway, person: Person) -> None:
    account = await gateway.users.account(gateway.access, person.id)
    assert account is not None
    assert (account.user.id, account.user.username, account.user.email) == (person.id, person.username, person.email)
    assert account.user.email_verified
    assert account.enabled
    assert account.required_actions == ()


@pytest.mark.parametrize("user_id", [UNKNOWN, "no-such-id", "../clients", "a/b?c=d"])
async def test_an_unknown_id_gives_no_account(gateway: Gateway, user_id: str) -> None:
    assert await gateway.users.account(gateway.access, user_id) is None


async def test_a_user_is_found_by_name_or_address_in_any_case(gateway: Gateway, person: Person) -> None:
    names = [person.username, person.username.upper(), f"{person.username}@EXAMPLE.com"]
    found = [await gateway.users.find(gateway.access, name) for name in names]
    assert [one.user.id for one in found if one] == [person.id] * 3


@pytest.mark.attack("F18")
async def test_no_user_can_have_the_address_of_another_user_as_username(server: Keycloak, person: Person) -> None:
    with pytest.raises(httpx2.HTTPStatusError):
        server.admin.create_user(username=person.email, email=None)


@pytest.mark.parametrize("name", ["user", "agent", "*", "", "%"])
async def test_a_part_of_a_username_finds_no_user(gateway: Gateway, person: Person, name: str) -> None:
    assert await gateway.users.find(gateway.access, name) is None


@pytest.mark.attack("F16")
async def test_a_user_without_a_password_has_no_credential_date(server: Keycloak, gateway: Gateway) -> None:
    body = {"username": f"undated-{new_password()[:12].lower()}", "enabled": True, "firstName": "A", "lastName": "B"}
    made = server.admin.request("POST", "users", json=body)
    account = await gateway.users.account(gateway.access, made.headers["Location"].rpartition("/")[2])
    assert account is not None
    assert account.credential_date is None


async def test_an_address_has_the_username_of_its_only_user(gateway: Gateway, person: Person) -> None:
    assert person.email
    typed = (person.email.upper(), person.username, "nobody@example.com")
    found = [await gateway.users.username_of(gateway.access, name) for name in typed]
    assert found == [person.username, person.username, "nobody@example.com"]


async def test_a_user_locked_by_failures_is_reported_as_locked(gateway: Gateway, person: Person) -> None:
    assert await gateway.users.locked_until(gateway.access, person.username) is None
    async with asyncio.timeout(50):
        while not (before := await counted(gateway, person))["disabled"]:
            await gateway.sign_in.password(gateway.access, person.username, Secret(new_password()))
            for _ in range(20):  # Keycloak counts later than it answers, and not each of several that follow at once
                if (await counted(gateway, person))["numFailures"] > before["numFailures"]:
                    break
    assert await gateway.users.locked_until(gateway.access, person.username) is not None
    assert await gateway.sign_in.password(gateway.access, person.username, Secret(person.password)) == WrongPassword(
        "Invalid user credentials"
    )


@pytest.mark.attack("F16")
async def test_the_credential_date_changes_only_with_the_password(
    server: Keycloak, gateway: Gateway, person: Person
) -> None:
    async def date() -> int | None:
        account = await gateway.users.account(gateway.access, person.id)
        assert account is not None
        return account.credential_date

    first = await date()
    await granted(gateway, person)
    await gateway.profile.write(gateway.access, person.id, "sealed", None)
    assert (first, await date()) == (await date(), first)
    server.admin.set_password(person.id, new_password())
    assert (await date() or 0) > (first or 0) > 0


async def test_setting_a_password_removes_the_required_action(server: Keycloak, gateway: Gateway) -> None:
    person = server.admin.create_user(required_actions=("UPDATE_PASSWORD",))
    new = new_password()
    assert await gateway.users.set_password(gateway.access, person.id, Secret(new)) is None
    assert isinstance(await gateway.password(person.username, new), Granted)


async def test_a_password_that_violates_the_policy_is_refused_with_the_realms_sentence(
    gateway: Gateway, person: Person
) -> None:
    refused = await gateway.users.set_password(gateway.access, person.id, Secret("short"))
    assert refused == PasswordRefused("Invalid password: minimum length 8.")


async def test_a_new_password_ends_no_session(gateway: Gateway, person: Person) -> None:
    tokens = (await granted(gateway, person)).tokens
    await gateway.users.set_password(gateway.access, person.id, Secret(new_password()))
    assert isinstance(await gateway.sign_in.refresh(gateway.access, tokens), Granted)


# ------------------------------------------------------------------ the administrator


async def test_the_service_account_has_the_rights_that_the_gateway_needs(gateway: Gateway) -> None:
    await gateway.users.check(gateway.access)


async def test_an_administrator_with_a_wrong_secret_is_refused(gateway: Gateway) -> None:
    access = replace(gateway.access, administration=Credentials("gateway-admin", Secret(new_password())))
    with pytest.raises(errors.Refused, match="client gateway-admin"):
        await gateway.users.check(access)


async def test_a_client_without_a_service_account_is_refused(gateway: Gateway) -> None:
    access = replace(gateway.access, administration=gateway.access.sign_in)
    with pytest.raises(errors.Refused, match="client gateway-login"):
        await gateway.users.check(access)


async def test_an_administrator_without_the_role_is_refused_and_the_missing_role_is_named(
    gateway: Gateway, person: Person
) -> None:
    administrator = AdminUser(gateway.access.sign_in, person.username, Secret(person.password))
    with pytest.raises(errors.Refused, match="manage-users"):
        await gateway.users.check(replace(gateway.access, administration=administrator))


async def test_an_administrator_with_a_wrong_password_is_refused(gateway: Gateway, person: Person) -> None:
    administrator = AdminUser(gateway.access.sign_in, person.username, Secret(new_password()))
    with pytest.raises(errors.Refused, match="Invalid user credentials"):
        await gateway.users.check(replace(gateway.access, administration=administrator))


# ------------------------------------------------------------------ the sealed set


async def test_a_new_user_has_no_sealed_enrolments(gateway: Gateway, person: Person) -> None:
    assert await gateway.profile.read(gateway.access, person.id) is None


@pytest.mark.parametrize("length", [1, 1500, 2000, 2001, 9000])
async def test_sealed_enrolments_of_any_length_are_read_as_written(
    gateway: Gateway, person: Person, length: int
) -> None:
    sealed = ("Aa0-_." * 2000)[:length]
    await gateway.profile.write(gateway.access, person.id, sealed, None)
    assert await gateway.profile.read(gateway.access, person.id) == sealed


async def test_a_write_keeps_the_users_other_attributes(server: Keycloak, gateway: Gateway, person: Person) -> None:
    before = server.admin.user(person.id)
    await gateway.profile.write(gateway.access, person.id, "sealed", None)
    after = server.admin.user(person.id)
    assert after.pop("attributes") == {ATTRIBUTE: ["sealed"]}
    assert after == {name: value for name, value in before.items() if name != "attributes"}


async def test_a_write_for_a_user_without_address_or_names_succeeds(server: Keycloak, gateway: Gateway) -> None:
    person = server.admin.create_user(email=None, email_verified=False)
    await gateway.profile.write(gateway.access, person.id, "sealed", None)
    assert await gateway.profile.read(gateway.access, person.id) == "sealed"


async def test_a_write_keeps_changes_of_an_administrator(server: Keycloak, gateway: Gateway, person: Person) -> None:
    server.admin.change(person.id, enabled=False, requiredActions=["UPDATE_PASSWORD"])
    await gateway.profile.write(gateway.access, person.id, "sealed", None)
    found = server.admin.user(person.id)
    assert (found["enabled"], found["requiredActions"]) == (False, ["UPDATE_PASSWORD"])


async def test_a_write_over_an_unexpected_value_is_a_conflict(gateway: Gateway, person: Person) -> None:
    await gateway.profile.write(gateway.access, person.id, "first", None)
    with pytest.raises(errors.Conflict):
        await gateway.profile.write(gateway.access, person.id, "second", None)
    assert await gateway.profile.read(gateway.access, person.id) == "first"


async def test_a_write_over_the_expected_value_replaces_it(gateway: Gateway, person: Person) -> None:
    await gateway.profile.write(gateway.access, person.id, "first" * 900, None)
    await gateway.profile.write(gateway.access, person.id, "second", "first" * 900)
    assert await gateway.profile.read(gateway.access, person.id) == "second"


async def test_the_same_write_repeated_succeeds(gateway: Gateway, person: Person) -> None:
    await gateway.profile.write(gateway.access, person.id, "sealed", None)
    await gateway.profile.write(gateway.access, person.id, "sealed", None)
    assert await gateway.profile.read(gateway.access, person.id) == "sealed"


async def test_a_write_for_a_deleted_user_is_a_conflict(gateway: Gateway) -> None:
    with pytest.raises(errors.Conflict):
        await gateway.profile.read(gateway.access, UNKNOWN)


async def test_a_realm_that_declares_the_attribute_has_no_findings(gateway: Gateway) -> None:
    assert await gateway.profile.check_declared(gateway.access) == ()


async def test_a_realm_without_the_declared_attribute_is_reported_with_the_remedy(
    server: Keycloak, gateway: Gateway
) -> None:
    (finding,) = await gateway.profile.check_declared(access_of(server, realm=server.bare_realm))
    assert "not declared" in finding
    assert "Realm settings, User profile" in finding


async def test_a_write_that_the_realm_drops_is_detected(server: Keycloak, gateway: Gateway) -> None:
    access = access_of(server, realm=server.bare_realm)
    person = server.admin.create_user(realm_name=server.bare_realm, roles=())
    with pytest.raises(errors.Misconfigured, match=r"dropped the attribute; .*User profile"):
        await gateway.profile.write(access, person.id, "sealed", None)


# ------------------------------------------------------------------ semantics that the adapters are built around


async def test_a_put_with_attributes_erases_address_and_names(server: Keycloak, person: Person) -> None:
    server.admin.request("PUT", f"users/{person.id}", json={"attributes": {ATTRIBUTE: ["x"]}})
    found = server.admin.user(person.id)
    assert not {"email", "firstName", "lastName"} & found.keys()


async def test_a_put_without_attributes_changes_only_what_it_names(server: Keycloak, person: Person) -> None:
    server.admin.set_attribute(person.id, ["x"])
    server.admin.change(person.id, firstName="Other")
    found = server.admin.user(person.id)
    assert (found["firstName"], found["email"], found["attributes"]) == ("Other", person.email, {ATTRIBUTE: ["x"]})


async def test_an_attribute_that_is_not_declared_is_dropped_with_204(server: Keycloak, person: Person) -> None:
    server.admin.set_attribute(person.id, ["x"], name="unheard-of")
    assert "attributes" not in server.admin.user(person.id)


async def test_several_values_of_an_attribute_keep_their_order(server: Keycloak, person: Person) -> None:
    server.admin.set_attribute(person.id, ["2/2:b", "1/2:a"])
    assert server.admin.attribute(person.id) == ["2/2:b", "1/2:a"]


async def test_a_value_above_2048_characters_is_refused(server: Keycloak, person: Person) -> None:
    with pytest.raises(httpx2.HTTPStatusError) as reported:
        server.admin.set_attribute(person.id, ["x" * 2049])
    assert reported.value.response.status_code == 400
    assert reported.value.response.json()["errorMessage"] == "error-invalid-length"


async def test_the_signing_keys_are_public_and_one_key_is_not_for_signatures(server: Keycloak) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        found = (await http.get(server.url("certs"))).json()["keys"]
    assert {key["use"] for key in found} == {"sig", "enc"}
    assert not any({"d", "p", "q"} & key.keys() for key in found)


async def test_the_realm_s_document_names_its_endpoints(server: Keycloak) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        found = (await http.get(f"{server.issuer()}/.well-known/openid-configuration")).json()
    assert (found["issuer"], found["token_endpoint"]) == (server.issuer(), server.url("token"))
    assert (found["jwks_uri"], found["end_session_endpoint"]) == (server.url("certs"), server.url("logout"))


async def test_an_unknown_realm_is_answered_in_json(server: Keycloak) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.get(server.url("token", "nowhere").replace("/token", "/certs"))
    assert (answer.status_code, json.loads(answer.text)) == (404, {"error": "Realm does not exist"})


async def test_the_admin_api_without_a_token_is_401(server: Keycloak) -> None:
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.get(f"{server.base_url}admin/realms/{server.realm}/users")
    assert answer.status_code == 401


async def test_some_of_the_parallel_grants_of_one_user_are_refused(server: Keycloak, person: Person) -> None:
    """The reason for the grant queue. The number depends on timing, so the test needs one refusal only."""
    form = {"grant_type": "password", "username": person.username, "password": person.password}
    answers = await asyncio.gather(*(ask(server, "token", form) for _ in range(8)))
    assert {answer.status_code for answer in answers} <= {200, 400}
    texts = {answer.json()["error_description"] for answer in answers if answer.status_code == 400}
    assert texts <= {"Invalid user credentials"}
    assert server.admin.failures(person.id)["numFailures"] == 0


async def test_no_correct_password_is_refused_because_it_follows_another_at_once(
    gateway: Gateway, server: Keycloak
) -> None:
    async def log_in_often(person: Person) -> list[object]:
        return [await gateway.password(person.username, person.password) for _ in range(15)]

    people = [server.admin.create_user() for _ in range(3)]
    answers = [answer for some in await asyncio.gather(*map(log_in_often, people)) for answer in some]
    assert [answer for answer in answers if not isinstance(answer, Granted)] == []


# ------------------------------------------------------------------ the sign-in page


@pytest.fixture
async def sign_in(server: Keycloak, gateway: Gateway) -> AsyncIterator["SignIns"]:
    """Yields sign-ins on the server's own page, by a client with one redirect address and PKCE."""
    async with SignInPage() as page:
        yield SignIns(server, gateway, page, add_client(server))


@dataclass
class SignIns:
    """Sign-ins of one browser."""

    server: Keycloak
    gateway: Gateway
    page: SignInPage
    access: KeycloakAccess

    def address(self, asked: SignIn, **changed: str) -> str:
        """Returns the address at which the gateway lets a user sign in."""
        address = authorization_url(self.access, state="state", nonce=asked.nonce, verifier=VERIFIER)
        query = {**answer_of(address), **changed}
        return f"{address.partition('?')[0]}?{urlencode({name: value for name, value in query.items() if value})}"

    async def code(self, person: Person, asked: SignIn) -> str:
        """Signs in and returns the code."""
        return answer_of(await self.page.sign_in(self.address(asked), person.username, person.password))["code"]

    async def exchanged(self, code: str, asked: SignIn, verifier: str = "") -> SignedIn | CodeRefused:
        """Exchanges the code as the gateway does."""
        return await self.gateway.sign_in.code(self.access, Secret(code), verifier=verifier or VERIFIER, asked=asked)


VERIFIER = "v" * 43
CALLBACK = "https://cc.example.com/-/oidc/callback"


def add_client(server: Keycloak) -> KeycloakAccess:
    """Returns the access by a client for sign-ins on the own page."""
    return replace(access_of(server), sign_in=new_client(server, CALLBACK), sso=SingleSignOn(CALLBACK))


def asked_now() -> SignIn:
    """Returns a sign-in that begins now."""
    return SignIn(new_password(), SystemClock().now())


@pytest.mark.row("GW-06")
async def test_a_sign_in_on_the_own_page_returns_state_issuer_and_a_code_for_verified_tokens(
    sign_in: SignIns, person: Person
) -> None:
    asked = asked_now()
    back = answer_of(await sign_in.page.sign_in(sign_in.address(asked), person.username, person.password))
    found = await sign_in.exchanged(back["code"], asked)
    assert isinstance(found, SignedIn)
    assert (back["state"], back["iss"]) == ("state", sign_in.access.issuer)
    assert (found.user.id, found.acr, found.amr) == (person.id, "1", ())
    assert found.tokens.session_id == back["session_state"]


@pytest.mark.row("GW-06")
async def test_a_code_is_good_for_one_exchange_and_the_second_one_ends_what_the_first_one_got(
    sign_in: SignIns, person: Person
) -> None:
    asked = asked_now()
    code = await sign_in.code(person, asked)
    first = await sign_in.exchanged(code, asked)
    assert isinstance(first, SignedIn)
    assert await sign_in.exchanged(code, asked) == CodeRefused("Code not valid")
    assert isinstance(await sign_in.gateway.sign_in.refresh(sign_in.access, first.tokens), SessionEnded)


@pytest.mark.row("GW-06")
async def test_a_code_is_exchanged_only_with_the_verifier_it_was_asked_with(sign_in: SignIns, person: Person) -> None:
    asked = asked_now()
    found = await sign_in.exchanged(await sign_in.code(person, asked), asked, "w" * 43)
    assert found == CodeRefused("PKCE verification failed: Code mismatch")


@pytest.mark.row("GW-06")
@pytest.mark.parametrize(("prompt", "most"), [("login", ""), ("login", "0")])
async def test_a_session_at_the_server_does_not_replace_a_sign_in_that_is_asked_for_now(
    sign_in: SignIns, person: Person, prompt: str, most: str
) -> None:
    await sign_in.code(person, asked_now())
    again = sign_in.address(asked_now(), prompt=prompt, max_age=most)
    assert await sign_in.page.open(again) == ""
    assert 'name="password"' in sign_in.page.text


@pytest.mark.attack("F15")
async def test_a_session_at_the_server_signs_in_where_it_is_not_asked_for_and_the_gateway_refuses_it(
    sign_in: SignIns, person: Person
) -> None:
    await sign_in.code(person, replace(asked_now(), since=0.0))
    later = SignIn(new_password(), SystemClock().now() + 2)
    code = answer_of(await sign_in.page.open(sign_in.address(later, prompt="", max_age="")))["code"]
    with pytest.raises(errors.Misconfigured, match="an earlier sign-in was used"):
        await sign_in.exchanged(code, later)


@pytest.mark.row("GW-06")
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"prompt": "none"}, "login_required"),
        ({"code_challenge_method": "", "code_challenge": ""}, "invalid_request"),
        ({"response_type": "made-up"}, "unsupported_response_type"),
    ],
)
async def test_a_request_that_shows_no_page_returns_with_an_error(
    sign_in: SignIns, changed: dict[str, str], error: str
) -> None:
    back = answer_of(await sign_in.page.open(sign_in.address(asked_now(), **changed)))
    assert (back["error"], back["state"]) == (error, "state")


@pytest.mark.row("GW-06")
@pytest.mark.parametrize(
    "changed",
    [{"redirect_uri": "https://elsewhere.example/"}, {"redirect_uri": f"{CALLBACK}/x"}, {"client_id": "nobody"}],
)
async def test_an_unknown_client_or_redirect_address_is_never_returned_to(
    sign_in: SignIns, changed: dict[str, str]
) -> None:
    assert await sign_in.page.open(sign_in.address(asked_now(), **changed)) == ""
    assert 'name="password"' not in sign_in.page.text


@pytest.mark.row("GW-06")
async def test_a_wrong_password_shows_the_page_again(sign_in: SignIns, person: Person) -> None:
    assert await sign_in.page.sign_in(sign_in.address(asked_now()), person.username, "wrong") == ""
    assert 'name="password"' in sign_in.page.text


@pytest.mark.row("GW-06")
async def test_a_sign_in_by_the_page_needs_no_password_grant(sign_in: SignIns) -> None:
    assert await sign_in.gateway.sign_in.check(sign_in.access) == ()


@pytest.mark.row("GW-06")
async def test_a_client_without_the_redirect_address_is_reported(sign_in: SignIns) -> None:
    access = replace(sign_in.access, sso=SingleSignOn("https://elsewhere.example/callback"))
    with pytest.raises(errors.Misconfigured, match=r"add https://elsewhere\.example/callback to its"):
        await sign_in.gateway.sign_in.check(access)
