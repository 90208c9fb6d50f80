"""Sends and receives replica events, and detects when this replica misses some.

Events are small JSON messages over the store's publish and subscribe. Each replica sends itself a heartbeat through the
store five times a second. If the last heartbeat that was received was sent at most 500 ms ago, the replica has received
every event that was published before that moment (`alive`). Local copies of the store's state may be used only while
`alive` is true. They must be dropped after a new subscription (`on_gap`), because events in between are lost.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial

import structlog

from gateway.domain import errors
from gateway.domain.ports import Random
from gateway.domain.tasks import running
from gateway.store.protocol import Store

EventFields = Mapping[str, str]
BEAT = 0.2
"""Seconds between two heartbeats."""
ALIVE = 0.5
"""Seconds for which a received heartbeat is valid, from the moment it was sent."""
SILENCE = 1.5
"""Seconds without any message after which the replica subscribes again: the streams of a session whose end it missed
are closed within two seconds."""
FIRST_PAUSE, LAST_PAUSE = 0.1, 2.0
"""Seconds between two attempts to subscribe: at first, and at most."""
_BEAT_KIND = "beat"
_log = structlog.get_logger(__name__)


class ReplicaEvents:
    """Sends and receives the events of one replica.

    :param monotonic: seconds of a clock that is never set; decides `alive`.
    """

    def __init__(
        self,
        *,
        store: Store,
        random: Random,
        channel: str = "notices",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._channel = channel
        self._monotonic = monotonic
        self._me = random.token_bytes(8).hex()
        self._handlers: dict[str, list[Callable[[EventFields], None]]] = {}
        self._gap_handlers: list[Callable[[], None]] = []
        self._sent: dict[int, float] = {}
        self._beats = 0
        self._spoken_for: float | None = None
        self._heard = asyncio.Event()
        self._told = ""

    @property
    def alive(self) -> bool:
        """Whether every event published until half a second ago was received."""
        return self._spoken_for is not None and self._monotonic() - self._spoken_for <= ALIVE

    def on(self, kind: str, handler: Callable[[EventFields], None]) -> Callable[[], None]:
        """Call `handler` with the fields of each event of `kind`, including own ones; returns a function to stop it."""
        handlers = self._handlers.setdefault(kind, [])
        handlers.append(handler)
        return lambda: handlers.remove(handler)

    def on_gap(self, handler: Callable[[], None]) -> None:
        """Call `handler` after each new subscription, because events may have been missed."""
        self._gap_handlers.append(handler)

    async def tell(self, kind: str, **fields: str) -> None:
        """Send an event to every replica; raises `errors.Unreachable`."""
        await self._store.publish(self._channel, json.dumps({**fields, "kind": kind}).encode())

    async def ready(self) -> None:
        """Wait until a heartbeat was received."""
        await self._heard.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen while the context is open, through every loss of the store."""
        try:
            async with running(self._listen_for_ever()):
                yield
        finally:
            self._forget_beats()

    async def _listen_for_ever(self) -> None:
        pause, opened = FIRST_PAUSE, False
        while True:
            try:
                async with self._store.subscribe(self._channel) as messages:
                    if opened:
                        self._call(self._gap_handlers)
                    opened, pause = True, FIRST_PAUSE
                    async with running(self._beat()):
                        await self._listen(messages)
            except (errors.Unreachable, TimeoutError) as error:
                self._tell_lost(str(error) or f"no message for {SILENCE:g} s")
            except Exception as error:  # after any error the replica must subscribe again
                _log.error("replica_events_failed", why=type(error).__name__)
            self._forget_beats()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE)

    def _tell_lost(self, why: str) -> None:
        """Logs each reason once, although every attempt may fail for it."""
        if why != self._told:
            self._told = why
            _log.warning("replica_events_lost", why=why)

    async def _listen(self, messages: AsyncIterator[bytes]) -> None:
        while True:
            async with asyncio.timeout(SILENCE):
                self._take(await anext(messages))

    async def _beat(self) -> None:
        while True:
            self._beats += 1
            self._sent[self._beats] = self._monotonic()
            with suppress(errors.Unreachable):
                await self.tell(_BEAT_KIND, sender=self._me, number=str(self._beats))
            await asyncio.sleep(BEAT)

    def _take(self, message: bytes) -> None:
        try:
            fields = json.loads(message)
        except ValueError:
            fields = None
        if not isinstance(fields, dict) or not all(isinstance(value, str) for value in fields.values()):
            _log.warning("replica_event_invalid")
            return
        kind = fields.pop("kind", "")
        if kind == _BEAT_KIND:
            self._take_beat(fields)
        else:
            self._call([partial(handler, fields) for handler in self._handlers.get(kind, [])])

    def _take_beat(self, fields: EventFields) -> None:
        if fields.get("sender") != self._me or not fields.get("number", "").isdecimal():
            return
        number = int(fields["number"])
        if (sent := self._sent.pop(number, None)) is not None:
            self._spoken_for = sent
            self._sent = {n: at for n, at in self._sent.items() if n > number}
            self._heard.set()
            if self._told:
                self._told = ""
                _log.info("replica_events_received")

    def _forget_beats(self) -> None:
        self._spoken_for = None
        self._sent.clear()
        self._heard.clear()

    def _call(self, handlers: Sequence[Callable[[], None]]) -> None:
        for handler in list(handlers):
            try:
                handler()
            except Exception as error:  # an error of one handler must not stop the others
                _log.error("replica_event_handler_failed", why=type(error).__name__)
