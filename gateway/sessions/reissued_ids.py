"""Remembers the ids of reissued sessions, which cannot be computed from their place (`place.public_id`).

The id at a place never changes. So an id that was seen once stays valid, even while the store does not respond.
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
        """Remember that the session at `place` has this id."""
        if session_id == public_id(place):
            return
        self._ids[place] = session_id
        self._ids.move_to_end(place)
        while len(self._ids) > self._most:
            self._ids.popitem(last=False)

    def of(self, place: SessionKey) -> str:
        """The id of the session at `place`: the remembered one, else that of a session that was never reissued."""
        return self._ids.get(place) or public_id(place)
