"""Queues password grants, one at a time for each user name over all replicas, and a limited number in total.

Keycloak rejects parallel logins of one user even with the correct password (measured), and each grant costs it 0.1 CPU
seconds. The operator sets the numbers. The queue guarantees:

- An attacker cannot block a user by typing their name. The number of waiting requests per name is limited, in total
  and per client address, and addresses take turns. A browser in which the user finished a login before uses a separate
  lane with priority.
- Many users behind one address do not wait for each other, because the limits are per name.
- A request that gets no turn in time receives `Busy`.
- A name rests for a moment after each turn. Keycloak still counts a login just after its response, and rejects the
  next one meanwhile (measured: one correct password in a hundred without a pause; none in 2,300 after 20 ms).
"""

import asyncio
import hashlib
import unicodedata
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from gateway.domain import errors
from gateway.domain.ports import Clock, Lock

PER_ADDRESS = 2
PER_NAME = 5
AT_ONCE = 20
REST = 0.1
"""Seconds between two turns of one name. The request that had the turn does not wait for them."""


@dataclass(frozen=True, slots=True)
class Busy:
    """No turn: too many requests for this name, or in total. Try again at `until` (seconds since the epoch)."""

    until: float


@dataclass(frozen=True, slots=True)
class Turn:
    """The caller has the turn until the context closes."""


class GrantQueue:
    """The queues of one process; `lock` excludes other replicas. Times in seconds.

    At most `per_name` requests wait for a name in each lane, and `per_address` of one client address. `patience` limits
    the wait for a name, `shed_after` the wait for one of the `at_once` places. `rest` waits between turns of a name.
    """

    def __init__(
        self,
        lock: Lock,
        clock: Clock,
        *,
        per_name: int = PER_NAME,
        per_address: int = PER_ADDRESS,
        at_once: int = AT_ONCE,
        patience: float = 15.0,
        shed_after: float = 2.0,
        rest: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(REST),
    ) -> None:
        self._lock = lock
        self._clock = clock
        self._per_name = per_name
        self._per_address = per_address
        self._patience = patience
        self._shed_after = shed_after
        self._rest = rest
        self._resting: set[asyncio.Task[None]] = set()
        self._names: dict[tuple[str, str], _Line] = {}
        self._places = _Line(at_once)

    @property
    def names_remembered(self) -> int:
        """The number of names with a turn or a waiting request; 0 without traffic."""
        return len(self._names)

    @asynccontextmanager
    async def turn(
        self, tenant_id: str, username: str, client_address: str, *, known: bool = False, longest: float = 5.0
    ) -> AsyncIterator[Turn | Busy]:
        """Wait for the turn of this name. `known`: this browser finished a login of this user before.

        `longest` is the longest duration of the turn (the grant's timeout): if a replica dies during its turn, the lock
        expires after that.

        Raises `errors.Unreachable` if the store does not respond.
        """
        async with AsyncExitStack() as held, AsyncExitStack() as place:
            turn = await self._enter(
                held, place, (tenant_id, normalised(username)), client_address, known, longest=longest
            )
            try:
                yield turn
            finally:
                if isinstance(turn, Turn):
                    self._let_rest(held.pop_all())

    async def close(self) -> None:
        """Wait until no name rests, so that every turn is released."""
        await asyncio.gather(*self._resting, return_exceptions=True)

    def _let_rest(self, held: AsyncExitStack) -> None:
        async def rest() -> None:
            async with held:
                await self._rest()

        task = asyncio.create_task(rest())
        self._resting.add(task)
        task.add_done_callback(self._resting.discard)

    async def _enter(
        self,
        held: AsyncExitStack,
        place: AsyncExitStack,
        name: tuple[str, str],
        client_address: str,
        known: bool,
        *,
        longest: float,
    ) -> Turn | Busy:
        line = self._names.setdefault(name, _Line(1))
        held.callback(self._forget, name, line)
        if line.is_full(client_address, known, self._per_name, self._per_address):
            return self._busy()
        try:
            async with asyncio.timeout(self._patience):
                await line.enter(client_address, known)
                held.callback(line.leave)
                hold = self._lock.hold(_lock_name(name), wait=self._patience, ttl=longest + 10)
                await held.enter_async_context(hold)
            async with asyncio.timeout(self._shed_after):
                await self._places.enter(client_address, known)
                place.callback(self._places.leave)
        except (TimeoutError, errors.Conflict):
            await held.aclose()  # now, because the caller must not keep others waiting while it reports "busy"
            return self._busy()
        return Turn()

    def _busy(self) -> Busy:
        return Busy(until=self._clock.now() + self._shed_after)

    def _forget(self, name: tuple[str, str], line: "_Line") -> None:
        if line.is_idle and self._names.get(name) is line:
            del self._names[name]


def normalised(username: str) -> str:
    """One spelling of a name: Keycloak folds case, and compatibility forms of a character (NFKC) look the same."""
    return unicodedata.normalize("NFKC", username).casefold().strip()


def _lock_name(name: tuple[str, str]) -> str:
    tenant_id, username = name
    return f"grant:{tenant_id}:{hashlib.sha256(username.encode(errors='surrogatepass')).hexdigest()[:32]}"


@dataclass(slots=True)
class _Line:
    """A number of places and the requests that wait for one: known browsers first, then one of each address in turn."""

    free: int
    taken: int = 0
    known: deque[asyncio.Future[None]] = field(default_factory=deque)
    others: OrderedDict[str, deque[asyncio.Future[None]]] = field(default_factory=OrderedDict)

    @property
    def is_idle(self) -> bool:
        return not (self.taken or self.known or self.others)

    def is_full(self, address: str, known: bool, most: int, most_of_address: int) -> bool:
        """Whether one more request may not wait. The lane of known browsers has its own limit."""
        if self.free and self.is_idle:
            return False
        if known:
            return len(self.known) >= most
        waiting = sum(len(lane) for lane in self.others.values())
        return waiting >= most or len(self.others.get(address, ())) >= most_of_address

    async def enter(self, address: str, known: bool) -> None:
        """Wait for a place and take it."""
        if self.free and not self.known and not self.others:
            self._take()
            return
        place = asyncio.get_running_loop().create_future()
        lane = self.known if known else self.others.setdefault(address, deque())
        lane.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()  # the place was assigned at the moment of cancellation
            elif place in lane:
                lane.remove(place)
                if not lane and self.others.get(address) is lane:
                    del self.others[address]
            raise

    def leave(self) -> None:
        """Release a place and assign it to the next request."""
        self.free += 1
        self.taken -= 1
        while self.free and (place := self._next()) is not None:
            if not place.done():  # else its request was cancelled and has not left the lane yet
                self._take()
                place.set_result(None)

    def _take(self) -> None:
        self.free -= 1
        self.taken += 1

    def _next(self) -> asyncio.Future[None] | None:
        if self.known:
            return self.known.popleft()
        if not self.others:
            return None
        address, lane = self.others.popitem(last=False)
        place = lane.popleft()
        if lane:
            self.others[address] = lane  # at the end: the other addresses first
        return place
