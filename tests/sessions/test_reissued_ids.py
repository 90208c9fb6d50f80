"""Tests of the id of a session at a place in the store."""

from gateway.sessions.cache import ReissuedIds
from gateway.sessions.session_key import SessionKey, public_id


def place(number: int = 1) -> SessionKey:
    return SessionKey("t", "tag", str(number))


def test_a_session_that_was_never_reissued_has_the_id_of_its_place() -> None:
    assert ReissuedIds().of(place()) == public_id(place())


def test_a_reissued_session_keeps_the_id_that_was_recorded() -> None:
    ids = ReissuedIds()
    ids.note(place(2), public_id(place(1)))
    assert ids.of(place(2)) == public_id(place(1))


def test_an_id_that_follows_from_the_place_is_not_recorded() -> None:
    ids = ReissuedIds(most=1)
    ids.note(place(1), "reissued")
    ids.note(place(2), public_id(place(2)))
    assert ids.of(place(1)) == "reissued"


def test_the_least_recently_used_id_is_evicted() -> None:
    ids = ReissuedIds(most=2)
    for number in (1, 2, 1, 3):
        ids.note(place(number), f"id {number}")
    assert [ids.of(place(n)) for n in (1, 2, 3)] == ["id 1", public_id(place(2)), "id 3"]
