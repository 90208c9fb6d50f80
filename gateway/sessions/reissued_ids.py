"""Remembers the ids of sessions that were reissued: their place does not tell them (`place.public_id`).

The id at a place never changes, so what was seen once counts for ever, also while the store does not answer.
"""

from collections import OrderedDict

from gateway.sessions.session_key import SessionKey, public_id

MOST = 10_000
"""Ids remembered in one process, about 300 bytes each."""


class ReissuedIds:
    """The ids that one replica has seen."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._ids: OrderedDict[SessionKey, str] = OrderedDict()

    def note(self, place: SessionKey, session_id: str) -> None:
        """The session at `place` has this id."""
        if session_id == public_id(place):
            return
        self._ids[place] = session_id
        self._ids.move_to_end(place)
        while len(self._ids) > self._most:
            self._ids.popitem(last=False)

    def of(self, place: SessionKey) -> str:
        """The id of the session at `place`: that of a session which was never reissued, unless another one was seen."""
        return self._ids.get(place) or public_id(place)
