"""Tests of `gateway.keycloak.users`: accounts as directories behind Keycloak report them."""

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
