"""Gives turns to the password grants at Keycloak.

Keycloak rejects parallel logins of one user even with the right password (measured), and each costs it 0.1 CPU
seconds. So one grant at a time runs for each user name, over all replicas, and a limited number in all. The operator
sets the numbers. The promises:

- An attacker who types a user's name does not stall that user: a limited number of logins wait for a name, of one
  client address and of all, and addresses take turns. A browser in which the user finished a login before has a lane
  of its own that has priority.
- Many users behind one address do not wait for each other: the rule is for each name.
- No login waits for ever: one that has no turn in time gets `Busy`.
- A name rests for a moment after each turn: Keycloak still counts a login when its answer is out already, and rejects
  one that follows at once (measured: one right password in a hundred right after another; none in 2,300 after 20 ms).
  After a wrong password it rests longer: by default Keycloak locks a user for a minute after two within a second
  (measured: four of four users without this rest, none of four with it).
"""

import asyncio
import hashlib
import unicodedata
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from math import inf

from gateway.domain import errors
from gateway.domain.configuration import OperatorLimits
from gateway.domain.ports import Clock, Lock
from gateway.domain.tasks import BackgroundTasks

REST = 0.1
"""Seconds between two turns of one name. A login that had the turn does not wait for them."""
REST_AFTER_REJECTION = 1.2
"""The same after a wrong password: longer than Keycloak's quick login check (`quickLoginCheckMilliSeconds`, 1,000)."""


@dataclass(frozen=True, slots=True)
class Busy:
    """No turn: too many requests for this name, or in total. Try again at `until` (seconds since the epoch)."""

    until: float


@dataclass(slots=True)
class Turn:
    """The caller has the turn until the context closes, and sets whether Keycloak `rejected` the password."""

    rejected: bool = False


class GrantQueue:
    """The lines of one process; `lock` keeps replicas apart.

    `shed_after` is the time in seconds to wait for one of the places of all names. `rest` waits between two turns of a
    name.
    """

    def __init__(
        self,
        lock: Lock,
        clock: Clock,
        tasks: BackgroundTasks,
        limits: OperatorLimits,
        *,
        shed_after: float = 2.0,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._lock = lock
        self._clock = clock
        self._limits = limits
        self._shed_after = shed_after
        self._rest = rest
        self._tasks = tasks
        self._names: dict[tuple[str, str], _Line] = {}
        self._places = _Line(limits.grants_at_once)

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
            name = (tenant_id, normalised(username))
            turn = await self._enter(held, place, name, client_address, known, longest=longest)
            try:
                yield turn
            finally:
                if isinstance(turn, Turn):
                    seconds = REST_AFTER_REJECTION if turn.rejected else REST
                    self._tasks.start(self._let_rest(held.pop_all(), seconds), "rest of a user name")

    async def _let_rest(self, held: AsyncExitStack, seconds: float) -> None:
        async with held:
            await self._rest(seconds)

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
        limits, line = self._limits, self._names.setdefault(name, _Line(1))
        held.callback(self._forget, name, line)
        most = limits.grants_per_user_waiting, limits.grants_per_user_and_client
        try:
            async with asyncio.timeout(limits.grant_wait):
                if not await line.enter(client_address, known, *most):
                    return self._busy()
                held.callback(line.leave)
                hold = self._lock.hold(_lock_name(name), wait=limits.grant_wait, ttl=longest + 10)
                await held.enter_async_context(hold)
            async with asyncio.timeout(self._shed_after):
                await self._places.enter(client_address, known)
                place.callback(self._places.leave)
        except (TimeoutError, errors.Conflict):
            await held.aclose()  # now: a login that shows "busy" to its user must not keep others waiting
            return self._busy()
        return Turn()

    def _busy(self) -> Busy:
        return Busy(until=self._clock.now() + self._shed_after)

    def _forget(self, name: tuple[str, str], line: "_Line") -> None:
        if line.free and self._names.get(name) is line:
            del self._names[name]


def normalised(username: str) -> str:
    """One spelling of a name: Keycloak folds case, and compatibility forms of a character (NFKC) look the same."""
    return unicodedata.normalize("NFKC", username).casefold().strip()


def _lock_name(name: tuple[str, str]) -> str:
    tenant_id, username = name
    return f"grant:{tenant_id}:{hashlib.sha256(username.encode(errors='surrogatepass')).hexdigest()[:32]}"


@dataclass(slots=True)
class _Line:
    """A number of places, and the logins that wait for one: known browsers first, then one of each address in turn."""

    free: int
    known: deque[asyncio.Future[None]] = field(default_factory=deque)
    others: OrderedDict[str, deque[asyncio.Future[None]]] = field(default_factory=OrderedDict)

    async def enter(self, address: str, known: bool, most: float = inf, most_of_address: float = inf) -> bool:
        """Wait for a place and take it; False, at once, if `most` wait already. No request waits while one is free."""
        if self.free:
            self.free -= 1
            return True
        if self._is_full(address, known, most, most_of_address):
            return False
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
        return True

    def leave(self) -> None:
        """Assign the place to the next request, or free it."""
        while self.known or self.others:
            place = self._next()
            if not place.done():  # else its request was cancelled and has not left the lane yet
                place.set_result(None)
                return
        self.free += 1

    def _is_full(self, address: str, known: bool, most: float, most_of_address: float) -> bool:
        """Whether one more request may not wait. The lane of known browsers has its own limit."""
        if known:
            return len(self.known) >= most
        waiting = sum(len(lane) for lane in self.others.values())
        return waiting >= most or len(self.others.get(address, ())) >= most_of_address

    def _next(self) -> asyncio.Future[None]:
        if self.known:
            return self.known.popleft()
        address, lane = self.others.popitem(last=False)
        place = lane.popleft()
        if lane:
            self.others[address] = lane  # at the end: the other addresses first
        return place
