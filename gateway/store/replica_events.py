"""How do replicas hear of each other, and how does one know that it still hears?

Small JSON notices over the store's publish and subscribe. Each replica sends itself a beat through the store five times
a second; while the last beat that came back was sent at most 500 ms ago, it hears everything that was published before
that moment (`alive`). Whoever keeps copies of the store's state uses them only then, and forgets them when the
subscription had to be opened anew (`on_gap`): notices published in between are lost.
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
"""Seconds between two beats."""
ALIVE = 0.5
"""Seconds a beat that came back speaks for."""
SILENCE = 3.0
"""Seconds without any message after which the subscription is opened anew."""
FIRST_PAUSE, LAST_PAUSE = 0.1, 2.0
"""Seconds between two tries to subscribe."""
_BEAT_KIND = "beat"
_log = structlog.get_logger(__name__)


class ReplicaEvents:
    """One replica's ear and voice.

    :param monotonic: seconds of a clock that nobody sets; judges `alive`.
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
        """Whether everything published until half a second ago was heard."""
        return self._spoken_for is not None and self._monotonic() - self._spoken_for <= ALIVE

    def on(self, kind: str, handler: Callable[[EventFields], None]) -> Callable[[], None]:
        """Call `handler` with the fields of each notice of `kind`, this replica's own included; returns how to stop."""
        handlers = self._handlers.setdefault(kind, [])
        handlers.append(handler)
        return lambda: handlers.remove(handler)

    def on_gap(self, handler: Callable[[], None]) -> None:
        """Call `handler` each time the subscription was opened anew: notices may have been missed."""
        self._gap_handlers.append(handler)

    async def tell(self, kind: str, **fields: str) -> None:
        """Tell every replica; raises `errors.Unreachable`."""
        await self._store.publish(self._channel, json.dumps({**fields, "kind": kind}).encode())

    async def ready(self) -> None:
        """Wait until a beat came back."""
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
            except Exception as error:  # a deaf replica must try again, whatever made it deaf
                _log.error("replica_events_failed", why=type(error).__name__)
            self._forget_beats()
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_PAUSE)

    def _tell_lost(self, why: str) -> None:
        """Every pause is another try: the log has each reason once."""
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
            except Exception as error:  # one reader's fault must not make the replica deaf
                _log.error("replica_event_handler_failed", why=type(error).__name__)
