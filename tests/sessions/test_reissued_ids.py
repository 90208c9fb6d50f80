"""Which id has the session at a place?"""

from gateway.sessions.cache import ReissuedIds
from gateway.sessions.session_key import SessionKey, public_id


def place(number: int = 1) -> SessionKey:
    return SessionKey("t", "tag", str(number))


def test_a_place_tells_the_id_of_a_session_that_was_never_reissued() -> None:
    assert ReissuedIds().of(place()) == public_id(place())


def test_the_id_of_a_reissued_session_is_the_one_that_was_seen() -> None:
    ids = ReissuedIds()
    ids.note(place(2), public_id(place(1)))
    assert ids.of(place(2)) == public_id(place(1))


def test_an_id_that_the_place_tells_takes_no_memory() -> None:
    ids = ReissuedIds(most=1)
    ids.note(place(1), "reissued")
    ids.note(place(2), public_id(place(2)))
    assert ids.of(place(1)) == "reissued"


def test_what_was_not_seen_for_longest_makes_room() -> None:
    ids = ReissuedIds(most=2)
    for number in (1, 2, 1, 3):
        ids.note(place(number), f"id {number}")
    assert [ids.of(place(n)) for n in (1, 2, 3)] == ["id 1", public_id(place(2)), "id 3"]
