"""Tests of `gateway.keycloak.users`: accounts as directories behind Keycloak report them."""

from dataclasses import replace

import pytest

from tests.keycloak.conftest import RealmHarness


@pytest.mark.attack("F16")
@pytest.mark.parametrize("date", [-1, 0], ids=["LDAP without a date", "another directory without a date"])
async def test_a_password_without_a_date_in_its_directory_has_no_date(realm_harness: RealmHarness, date: int) -> None:
    realm_harness.user.credential_date = date
    account = await realm_harness.users.account(realm_harness.access, realm_harness.user.id)
    assert account
    assert account.credential_date is None


@pytest.mark.attack("F16")
async def test_a_user_without_a_password_at_keycloak_has_no_date(realm_harness: RealmHarness) -> None:
    realm_harness.user.password = ""
    account = await realm_harness.users.account(realm_harness.access, realm_harness.user.id)
    assert account
    assert account.credential_date is None


@pytest.mark.row("SI-11")
@pytest.mark.attack("F3", "F4")
@pytest.mark.parametrize(("editors", "verified"), [(["admin"], True), (["admin", "user"], False)])
async def test_a_number_in_the_profile_is_verified_only_if_users_cannot_edit_it(
    realm_harness: RealmHarness, editors: list[str], verified: bool
) -> None:
    permissions = {"view": ["admin", "user"], "edit": editors}
    realm_harness.realm.profile["attributes"].append({"name": "phoneNumber", "permissions": permissions})
    realm_harness.user.attributes["phoneNumber"] = ["0300 1234567"]
    access = replace(realm_harness.access, phone_attribute="phoneNumber")
    account = await realm_harness.users.account(access, realm_harness.user.id)
    assert account
    assert (account.user.phone, account.user.phone_verified) == ("0300 1234567", verified)


async def test_a_number_in_the_profile_is_not_read_where_no_code_is_sent_to_numbers(
    realm_harness: RealmHarness,
) -> None:
    realm_harness.user.attributes["phoneNumber"] = ["0300 1234567"]
    account = await realm_harness.users.account(realm_harness.access, realm_harness.user.id)
    assert account
    assert account.user.phone == ""
