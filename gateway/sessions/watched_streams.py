"""The live streams of apps that admit only some users: each closes when its session loses the role or group."""

import itertools
from collections.abc import Callable

from gateway.domain.session import Session


class WatchedStreams:
    """Such streams of one replica, by the id of their session."""

    def __init__(self) -> None:
        self._streams: dict[str, dict[int, tuple[Callable[[Session], bool], Callable[[], None]]]] = {}
        self._numbers = itertools.count()

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._streams

    def add(self, session_id: str, admits: Callable[[Session], bool], close: Callable[[], None]) -> Callable[[], None]:
        """Call `close` once the session no longer passes `admits`; returns a function to stop that."""
        number = next(self._numbers)
        self._streams.setdefault(session_id, {})[number] = admits, close

        def forget() -> None:
            streams = self._streams.get(session_id, {})
            streams.pop(number, None)
            if not streams:
                self._streams.pop(session_id, None)

        return forget

    def judge(self, session: Session) -> None:
        """Close the streams that the session, as it is now, may not have."""
        for admits, close in tuple(self._streams.get(session.id, {}).values()):
            if not admits(session):
                close()
