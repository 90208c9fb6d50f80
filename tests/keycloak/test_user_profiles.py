"""Is a sealed set kept whole, whatever Keycloak or another writer does in between?"""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example
from hypothesis import strategies as st

from gateway.demo.identity_provider import Fault
from gateway.domain import errors
from gateway.keycloak import admin_client
from gateway.keycloak.user_profile_schema import ATTRIBUTE
from gateway.keycloak.users import PART, sealed_in, values_of
from tests.keycloak.conftest import Place
from tests.properties import Reached, property_test


@property_test(st.text(min_size=1, max_size=PART * 4), least=1)
@example("a" * PART + "b")
@example("a" * PART + "b" * PART * 2 + "c" * PART)
@example("é" * PART * 12)
def test_any_text_is_read_as_it_was_written(reached: Reached, sealed: str) -> None:
    values = values_of(sealed)
    reached()
    assert sealed_in({ATTRIBUTE: values}) == sealed
    assert sealed_in({ATTRIBUTE: tuple(reversed(values))}) == sealed
    assert all(0 < len(value) <= PART for value in values)


@pytest.mark.parametrize("sealed", ["1/1:x", "1/2:x", "99/99:", "2/1:"])
def test_a_text_that_looks_like_a_part_is_kept_too(sealed: str) -> None:
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
def test_values_that_do_not_fit_together_are_something_and_not_nothing(values: tuple[str, ...]) -> None:
    assert sealed_in({ATTRIBUTE: values}) == "\n".join(values)


@pytest.mark.parametrize("attributes", [{}, {ATTRIBUTE: ()}, {"other": ("x",)}])
def test_without_the_attribute_there_is_no_set(attributes: dict[str, tuple[str, ...]]) -> None:
    assert sealed_in(attributes) is None


async def test_a_write_keeps_other_attributes(place: Place) -> None:
    place.realm.profile["unmanagedAttributePolicy"] = "ADMIN_EDIT"
    place.user.attributes = {"team": ["red", "blue"]}
    await place.profile.write(place.access, place.user.id, "sealed", None)
    assert place.user.attributes == {"team": ["red", "blue"], ATTRIBUTE: ["sealed"]}


async def test_a_write_whose_answer_was_lost_is_read_back(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The PUT arrives and is carried out; its answer never comes."""
    await place.users.check(place.access)
    library_admin = (await _admin(place)).__class__
    update = library_admin.a_update_user

    async def and_then_nothing(self: Any, user_id: str, payload: dict[str, Any]) -> None:
        await update(self, user_id=user_id, payload=payload)
        raise TimeoutError

    monkeypatch.setattr(library_admin, "a_update_user", and_then_nothing)
    await place.profile.write(place.access, place.user.id, "sealed", None)
    assert place.user.attributes[ATTRIBUTE] == ["sealed"]


@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.HTML_ERROR, Fault.SILENT])
async def test_a_write_that_did_not_arrive_is_unreachable(place: Place, fault: Fault) -> None:
    place.realm.behaviour.put_fault = fault
    access = replace(place.access, timeout=0.5) if fault is Fault.SILENT else place.access
    await place.users.check(access)
    with pytest.raises(errors.Unreachable):
        await place.profile.write(access, place.user.id, "sealed", None)
    assert ATTRIBUTE not in place.user.attributes


async def test_a_set_changed_by_somebody_else_is_not_written_over(place: Place) -> None:
    place.user.attributes = {ATTRIBUTE: ["theirs"]}
    with pytest.raises(errors.Conflict):
        await place.profile.write(place.access, place.user.id, "ours", "before")
    assert place.user.attributes == {ATTRIBUTE: ["theirs"]}


async def test_a_set_that_vanished_is_not_written_over(place: Place) -> None:
    with pytest.raises(errors.Conflict):
        await place.profile.write(place.access, place.user.id, "ours", "before")


async def test_the_attributes_of_an_account_hold_the_set(place: Place) -> None:
    await place.profile.write(place.access, place.user.id, "sealed" * 500, None)
    account = await place.users.account(place.access, place.user.id)
    assert account is not None
    assert sealed_in(account.attributes) == "sealed" * 500


async def _admin(place: Place) -> Any:
    async with place.connections.administration(place.access, "a test") as admin:
        return admin


def test_the_library_is_imported_only_when_needed() -> None:
    assert "KeycloakAdmin" not in vars(admin_client)
