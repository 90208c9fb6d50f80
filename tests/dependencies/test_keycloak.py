"""Tests of the tests' Keycloak: its users, clients and realms."""

import httpx2
import pytest

from tests.dependencies.keycloak import Keycloak
from tests.dependencies.realm import ATTRIBUTE

pytestmark = pytest.mark.keycloak


def service_account(keycloak: Keycloak, method: str, path: str, **more: object) -> httpx2.Response:
    """Makes one call of the admin API with the gateway's service account."""
    with httpx2.Client(trust_env=False, timeout=30) as http:
        form = {
            "grant_type": "client_credentials",
            "client_id": "gateway-admin",
            "client_secret": keycloak.clients["gateway-admin"],
        }
        token = http.post(keycloak.url("token"), data=form).raise_for_status().json()["access_token"]
        url = f"{keycloak.base_url}admin/realms/{keycloak.realm}/{path}"
        return http.request(method, url, headers={"Authorization": f"Bearer {token}"}, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("client", ["cim", "gateway-login"])
@pytest.mark.parametrize("username", ["agent1", "supervisor", "noemail", "norole"])
def test_a_user_signs_in_by_password(keycloak: Keycloak, username: str, client: str) -> None:
    answer = keycloak.grant(username, keycloak.passwords[username], client=client)
    assert answer.status_code == 200
    assert answer.json()["refresh_token"]


@pytest.mark.parametrize(
    ("username", "why"),
    [
        ("disabled1", "Account disabled"),
        ("due1", "Account is not fully set up"),
        ("other-action", "Account is not fully set up"),
    ],
)
def test_the_error_says_why_a_user_may_not_sign_in(keycloak: Keycloak, username: str, why: str) -> None:
    answer = keycloak.grant(username, keycloak.passwords[username]).json()
    assert (answer["error"], answer["error_description"]) == ("invalid_grant", why)


def test_a_new_user_signs_in_at_once(keycloak: Keycloak) -> None:
    person = keycloak.admin.create_user()
    assert keycloak.grant(person.username, person.password).status_code == 200


def test_the_correct_password_works_at_once_after_two_wrong_ones(keycloak: Keycloak) -> None:
    person = keycloak.admin.create_user()
    assert [keycloak.grant(person.username, "wrong").status_code for _ in range(3)] == [400, 400, 400]
    assert keycloak.grant(person.username, person.password).status_code == 200


def test_the_attribute_is_kept_in_the_realm_that_declares_it(keycloak: Keycloak) -> None:
    person = keycloak.admin.create_user()
    keycloak.admin.set_attribute(person.id, ["one", "two"])
    assert keycloak.admin.attribute(person.id) == ["one", "two"]
    assert keycloak.admin.user(person.id)["email"] == person.email


def test_the_attribute_is_dropped_in_the_bare_realm(keycloak: Keycloak) -> None:
    realm = keycloak.bare_realm
    person = keycloak.admin.create_user(realm_name=realm)
    keycloak.admin.set_attribute(person.id, ["one"], realm_name=realm)
    assert keycloak.admin.attribute(person.id, realm_name=realm) == []


def test_the_service_account_finds_users_with_the_attribute_and_reads_the_profile(keycloak: Keycloak) -> None:
    person = keycloak.admin.create_user(attributes={ATTRIBUTE: ["sealed"]})
    found = service_account(keycloak, "GET", f"users?username={person.username}&exact=true").json()
    assert found[0]["attributes"][ATTRIBUTE] == ["sealed"]
    profile = service_account(keycloak, "GET", "users/profile")
    assert profile.status_code == 200
    assert ATTRIBUTE in [one["name"] for one in profile.json()["attributes"]]


def test_the_service_account_cannot_change_the_profile(keycloak: Keycloak) -> None:
    profile = service_account(keycloak, "GET", "users/profile").json()
    assert service_account(keycloak, "PUT", "users/profile", json=profile).status_code == 403


def test_a_reset_user_is_like_a_new_user(keycloak: Keycloak) -> None:
    person = keycloak.admin.create_user(
        attributes={ATTRIBUTE: ["x"]}, enabled=False, required_actions=("CONFIGURE_TOTP",)
    )
    keycloak.admin.reset(person.username, person.password)
    assert keycloak.admin.attribute(person.id) == []
    assert keycloak.grant(person.username, person.password).status_code == 200
