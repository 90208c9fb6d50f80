"""Tests that sealed enrolments stay complete, whatever Keycloak or another writer does at the same time."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example
from hypothesis import strategies as st

from gateway.demo.identity_provider import Fault
from gateway.domain import errors
from gateway.keycloak import admin_client
from gateway.keycloak.user_profile_schema import ATTRIBUTE
from gateway.keycloak.users import sealed_in, values_of
from tests.fixtures.properties import Reached, property_test
from tests.keycloak.conftest import RealmHarness

PART = 2000


@property_test(st.text(min_size=1, max_size=PART * 4), least=1)
@example("a" * PART + "b")
@example("a" * PART + "b" * PART * 2 + "c" * PART)
@example("é" * PART * 12)
def test_any_text_is_read_as_written(reached: Reached, sealed: str) -> None:
    values = values_of(sealed)
    reached()
    assert sealed_in({ATTRIBUTE: values}) == sealed
    assert sealed_in({ATTRIBUTE: tuple(reversed(values))}) == sealed
    assert all(0 < len(value) <= PART for value in values)


@pytest.mark.parametrize("sealed", ["1/1:x", "1/2:x", "99/99:", "2/1:"])
def test_a_text_that_looks_like_a_split_part_is_read_as_written(sealed: str) -> None:
    assert sealed_in({ATTRIBUTE: values_of(sealed)}) == sealed


@pytest.mark.parametrize(
    "values",
    [
        ("1/2:a",),
        ("1/2:a", "1/2:b"),
        ("1/2:a", "2/3:b"),
        ("1/2:a", "2/2:b", "extra"),
        ("a", "b"),
        ("3/2:a", "1/2:b"),
        ("",),
    ],
)
@pytest.mark.attack("F2")
def test_inconsistent_values_are_read_as_a_value_and_not_as_missing(values: tuple[str, ...]) -> None:
    assert sealed_in({ATTRIBUTE: values}) == "\n".join(values)


@pytest.mark.parametrize("attributes", [{}, {ATTRIBUTE: ()}, {"other": ("x",)}])
def test_without_the_attribute_there_are_no_enrolments(attributes: dict[str, tuple[str, ...]]) -> None:
    assert sealed_in(attributes) is None


async def test_a_write_keeps_the_users_other_attributes(realm_harness: RealmHarness) -> None:
    realm_harness.realm.profile["unmanagedAttributePolicy"] = "ADMIN_EDIT"
    realm_harness.user.attributes = {"team": ["red", "blue"]}
    await realm_harness.profile.write(realm_harness.access, realm_harness.user.id, "sealed", None)
    assert realm_harness.user.attributes == {"team": ["red", "blue"], ATTRIBUTE: ["sealed"]}


async def test_a_write_whose_answer_was_lost_is_verified_by_reading(
    realm_harness: RealmHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keycloak carries out the PUT; its answer never arrives."""
    await realm_harness.users.check(realm_harness.access)
    library_admin = (await _admin(realm_harness)).__class__
    update = library_admin.a_update_user

    async def without_answer(self: Any, user_id: str, payload: dict[str, Any]) -> None:
        await update(self, user_id=user_id, payload=payload)
        raise TimeoutError

    monkeypatch.setattr(library_admin, "a_update_user", without_answer)
    await realm_harness.profile.write(realm_harness.access, realm_harness.user.id, "sealed", None)
    assert realm_harness.user.attributes[ATTRIBUTE] == ["sealed"]


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.HTML_ERROR, Fault.SILENT])
async def test_a_write_that_was_not_stored_raises_unreachable(realm_harness: RealmHarness, fault: Fault) -> None:
    realm_harness.realm.behaviour.put_fault = fault
    access = replace(realm_harness.access, timeout=0.5) if fault is Fault.SILENT else realm_harness.access
    await realm_harness.users.check(access)
    with pytest.raises(errors.Unreachable):
        await realm_harness.profile.write(access, realm_harness.user.id, "sealed", None)
    assert ATTRIBUTE not in realm_harness.user.attributes


async def test_enrolments_changed_by_another_writer_are_not_overwritten(realm_harness: RealmHarness) -> None:
    realm_harness.user.attributes = {ATTRIBUTE: ["theirs"]}
    with pytest.raises(errors.Conflict):
        await realm_harness.profile.write(realm_harness.access, realm_harness.user.id, "ours", "before")
    assert realm_harness.user.attributes == {ATTRIBUTE: ["theirs"]}


async def test_enrolments_deleted_by_another_writer_are_not_overwritten(realm_harness: RealmHarness) -> None:
    with pytest.raises(errors.Conflict):
        await realm_harness.profile.write(realm_harness.access, realm_harness.user.id, "ours", "before")


async def test_the_attributes_of_an_account_include_the_sealed_enrolments(realm_harness: RealmHarness) -> None:
    await realm_harness.profile.write(realm_harness.access, realm_harness.user.id, "sealed" * 500, None)
    account = await realm_harness.users.account(realm_harness.access, realm_harness.user.id)
    assert account is not None
    assert sealed_in(account.attributes) == "sealed" * 500


async def _admin(realm_harness: RealmHarness) -> Any:
    async with realm_harness.connections.administration(realm_harness.access, "a test") as admin:
        return admin


def test_the_keycloak_library_is_imported_only_when_needed() -> None:
    assert "KeycloakAdmin" not in vars(admin_client)
