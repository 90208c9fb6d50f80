"""Tests of the grant queue: no attacker delays a user by their username, and all users behind one address get in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from gateway.domain import errors
from gateway.domain.configuration import OperatorLimits
from gateway.domain.tasks import BackgroundTasks
from gateway.keycloak.grant_queue import Busy, GrantQueue, Turn, normalised
from tests.fixtures.clock import FakeClock

TASKS, LIMITS = BackgroundTasks(), OperatorLimits()


class LocalLock:
    """A lock that no other replica holds, except for the names in `held`."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.names: list[str] = []
        self.lives: list[float] = []

    @asynccontextmanager
    async def hold(self, name: str, *, wait: float, ttl: float) -> AsyncIterator[None]:
        if name in self.held:
            raise errors.Conflict("another replica")
        self.held.add(name)
        self.names.append(name)
        self.lives.append(ttl)
        try:
            yield
        finally:
            self.held.discard(name)


class Crowd:
    """Tasks that take a turn, record it, and keep it until the gate opens."""

    def __init__(self, queue: GrantQueue) -> None:
        self.queue = queue
        self.order: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Semaphore(0)
        self.tasks: dict[str, asyncio.Task[Turn | Busy]] = {}

    async def send(self, label: str, username: str, address: str, *, known: bool = False) -> None:
        """Adds one request and runs it until it waits or has its answer."""
        self.tasks[label] = asyncio.create_task(self._take_turn(label, username, address, known))
        await settle()

    async def _take_turn(self, label: str, username: str, address: str, known: bool) -> Turn | Busy:
        async with self.queue.turn("tenant", username, address, known=known) as turn:
            if isinstance(turn, Turn):
                self.order.append(label)
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await self.gate.acquire()
                self.at_once -= 1
            return turn

    async def next(self) -> None:
        """Lets one task with a turn finish."""
        self.gate.release()
        await settle()

    def busy(self) -> set[str]:
        """Returns the refused requests."""
        done = {label: task for label, task in self.tasks.items() if task.done() and not task.cancelled()}
        return {label for label, task in done.items() if isinstance(task.result(), Busy)}

    async def finish(self) -> None:
        for _ in self.tasks:
            self.gate.release()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        await TASKS.close(1)


async def no_rest(_seconds: float) -> None:
    """Makes no pause between two turns of one username."""


async def settle() -> None:
    """Runs the loop until every task waits."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
def lock() -> LocalLock:
    return LocalLock()


@pytest.fixture
def queue(lock: LocalLock, clock: FakeClock) -> GrantQueue:
    return GrantQueue(lock, clock, TASKS, LIMITS, rest=no_rest)


@pytest.fixture
async def crowd(queue: GrantQueue) -> AsyncIterator[Crowd]:
    found = Crowd(queue)
    yield found
    await found.finish()


async def test_a_username_has_one_turn_at_a_time(crowd: Crowd) -> None:
    for label in ("a", "b", "c"):
        await crowd.send(label, "agent1", "192.0.2.1")
    assert crowd.order == ["a"]
    await crowd.next()
    assert crowd.order == ["a", "b"]
    await crowd.finish()
    assert (crowd.order, crowd.most_at_once) == (["a", "b", "c"], 1)


@pytest.mark.parametrize("spelling", ["AGENT1", "ａｇｅｎｔ１", " agent1 ", "Agent1"])
async def test_every_spelling_of_a_username_is_the_same_name(crowd: Crowd, spelling: str) -> None:
    await crowd.send("a", "agent1", "192.0.2.1")
    await crowd.send("b", spelling, "192.0.2.2")
    assert crowd.order == ["a"]
    assert normalised(spelling) == "agent1"


@pytest.mark.attack("F20")
async def test_at_most_two_requests_of_one_address_wait_for_a_username(crowd: Crowd) -> None:
    for label in ("has it", "waits 1", "waits 2", "too many"):
        await crowd.send(label, "agent1", "192.0.2.1")
    assert crowd.busy() == {"too many"}


@pytest.mark.attack("F20")
async def test_at_most_five_requests_of_all_addresses_wait_for_a_username(crowd: Crowd) -> None:
    for number in range(7):
        await crowd.send(f"from {number}", "agent1", f"192.0.2.{number}")
    assert crowd.busy() == {"from 6"}


async def test_at_most_five_requests_of_known_browsers_wait_for_a_username(crowd: Crowd) -> None:
    for number in range(7):
        await crowd.send(f"{number}", "agent1", "192.0.2.1", known=True)
    assert crowd.busy() == {"6"}


@pytest.mark.attack("F20")
async def test_the_operator_sets_how_many_requests_wait_for_a_username(lock: LocalLock, clock: FakeClock) -> None:
    crowd = Crowd(
        GrantQueue(
            lock, clock, TASKS, replace(LIMITS, grants_per_user_waiting=2, grants_per_user_and_client=1), rest=no_rest
        )
    )
    for label, address in (("has it", "1"), ("waits 1", "1"), ("too many of 1", "1"), ("waits 2", "2"), ("full", "3")):
        await crowd.send(label, "agent1", f"192.0.2.{address}")
    assert crowd.busy() == {"too many of 1", "full"}
    await crowd.finish()


@pytest.mark.attack("F20")
async def test_turns_alternate_between_client_addresses(crowd: Crowd) -> None:
    for label in ("attacker 1", "attacker 2", "attacker 3"):
        await crowd.send(label, "agent1", "192.0.2.66")
    await crowd.send("victim", "agent1", "192.0.2.1")
    await crowd.finish()
    assert crowd.order == ["attacker 1", "attacker 2", "victim", "attacker 3"]


@pytest.mark.attack("F20")
async def test_a_known_browser_of_the_user_has_the_next_turn_against_200_parallel_attempts(crowd: Crowd) -> None:
    for number in range(200):
        await crowd.send(f"attacker {number}", "victim", f"192.0.2.{number % 50}")
    await crowd.send("victim", "victim", "198.51.100.7", known=True)
    await crowd.next()
    assert crowd.order == ["attacker 0", "victim"]
    assert len(crowd.busy()) == 200 - 1 - 5


@pytest.mark.attack("F20")
async def test_500_usernames_behind_one_address_all_get_a_turn(lock: LocalLock, clock: FakeClock) -> None:
    crowd = Crowd(GrantQueue(lock, clock, TASKS, LIMITS, shed_after=60.0, rest=no_rest))
    for number in range(500):
        await crowd.send(f"agent {number}", f"agent{number}", "192.0.2.1")
    await crowd.finish()
    assert len(crowd.order) == 500
    assert crowd.most_at_once == 20
    assert crowd.busy() == set()


async def test_the_pause_of_a_username_after_its_turn_delays_no_other_username(
    lock: LocalLock, clock: FakeClock
) -> None:
    rested = asyncio.Event()

    async def rest(_seconds: float) -> None:
        await rested.wait()

    crowd = Crowd(GrantQueue(lock, clock, TASKS, replace(LIMITS, grants_at_once=1), rest=rest))
    await crowd.send("a", "agent1", "192.0.2.1")
    await crowd.send("b", "agent1", "192.0.2.1")
    await crowd.next()
    await crowd.send("c", "agent2", "192.0.2.1")
    assert crowd.order == ["a", "c"]
    assert crowd.tasks["a"].done()
    await crowd.next()
    rested.set()
    await settle()
    assert crowd.order == ["a", "c", "b"]
    await crowd.finish()


async def test_closing_the_background_tasks_releases_all_locks_of_turns(lock: LocalLock, clock: FakeClock) -> None:
    queue = GrantQueue(lock, clock, TASKS, LIMITS)
    async with queue.turn("tenant", "agent1", "192.0.2.1"):
        pass
    assert lock.held
    await TASKS.close(1)
    assert not lock.held


async def test_usernames_of_two_tenants_do_not_wait_for_each_other(queue: GrantQueue) -> None:
    async with queue.turn("one", "agent1", "192.0.2.1") as first, queue.turn("two", "agent1", "192.0.2.1") as second:
        assert (first, second) == (Turn(), Turn())


async def test_a_request_without_a_place_in_time_is_refused_with_a_retry_time(
    lock: LocalLock, clock: FakeClock
) -> None:
    crowd = Crowd(GrantQueue(lock, clock, TASKS, replace(LIMITS, grants_at_once=1), shed_after=0.05, rest=no_rest))
    await crowd.send("a", "agent1", "192.0.2.1")
    await crowd.send("b", "agent2", "192.0.2.1")
    assert await crowd.tasks["b"] == Busy(until=clock.now() + 0.05)
    await crowd.finish()


async def test_a_request_that_is_being_refused_delays_no_other_request(lock: LocalLock, clock: FakeClock) -> None:
    queue = GrantQueue(lock, clock, TASKS, replace(LIMITS, grants_at_once=1), shed_after=0.01, rest=no_rest)
    crowd = Crowd(queue)
    await crowd.send("a", "agent1", "192.0.2.1")
    async with queue.turn("tenant", "agent2", "192.0.2.2") as reported:
        assert isinstance(reported, Busy)
        await crowd.next()
        await crowd.send("c", "agent2", "192.0.2.3")
        assert crowd.order == ["a", "c"]
    await crowd.finish()


@pytest.mark.slow
@pytest.mark.attack("F20")
async def test_under_load_no_request_waits_for_a_place_longer_than_two_seconds(
    lock: LocalLock, clock: FakeClock
) -> None:
    crowd = Crowd(GrantQueue(lock, clock, TASKS, LIMITS, rest=no_rest))
    for number in range(21):
        await crowd.send(f"{number}", f"agent{number}", "192.0.2.1")
    assert await asyncio.wait_for(crowd.tasks["20"], 10) == Busy(until=clock.now() + 2.0)
    await crowd.finish()


async def test_a_request_that_waits_too_long_for_a_username_is_refused_and_leaves_the_queue(
    lock: LocalLock, clock: FakeClock
) -> None:
    crowd = Crowd(GrantQueue(lock, clock, TASKS, replace(LIMITS, grant_wait=0.05), rest=no_rest))
    await crowd.send("a", "agent1", "192.0.2.1")
    await crowd.send("b", "agent1", "192.0.2.1")
    assert isinstance(await crowd.tasks["b"], Busy)
    await crowd.next()
    await crowd.send("c", "agent1", "192.0.2.1")
    assert crowd.order == ["a", "c"]
    await crowd.finish()


async def test_a_username_locked_by_another_replica_is_busy_and_blocks_no_other_request(
    crowd: Crowd, lock: LocalLock
) -> None:
    await crowd.send("a", "agent1", "192.0.2.1")
    await crowd.finish()
    lock.held.add(lock.names[0])
    await crowd.send("b", "agent1", "192.0.2.1")
    lock.held.clear()
    await crowd.send("c", "agent1", "192.0.2.1")
    assert crowd.busy() == {"b"}
    assert crowd.order == ["a", "c"]


async def test_the_lock_shared_by_replicas_names_no_user_and_outlives_the_turn(crowd: Crowd, lock: LocalLock) -> None:
    await crowd.send("a", "agent1", "192.0.2.1")
    assert lock.names[0].startswith("grant:tenant:")
    assert "agent1" not in lock.names[0]
    assert lock.lives == [15.0]


async def test_a_cancelled_waiting_request_leaves_its_place(crowd: Crowd) -> None:
    for label in ("a", "b", "c", "d"):
        await crowd.send(label, "agent1", "192.0.2.1")
    crowd.tasks["b"].cancel()
    await settle()
    await crowd.send("e", "agent1", "192.0.2.1")
    await crowd.finish()
    assert crowd.order == ["a", "c", "e"]
    assert crowd.busy() == {"d"}


async def test_a_cancelled_request_that_was_the_only_one_of_its_address_delays_no_other(crowd: Crowd) -> None:
    await crowd.send("a", "agent1", "192.0.2.1")
    await crowd.send("b", "agent1", "192.0.2.2")
    crowd.tasks["b"].cancel()
    await crowd.send("c", "agent1", "192.0.2.3")
    await crowd.next()
    assert crowd.order == ["a", "c"]


async def test_a_request_cancelled_as_its_turn_begins_passes_the_turn_on(crowd: Crowd) -> None:
    for label in ("a", "b", "c"):
        await crowd.send(label, "agent1", "192.0.2.1")
    crowd.tasks["b"].cancel()
    await crowd.next()
    assert crowd.order == ["a", "c"]


async def test_a_request_cancelled_just_after_it_got_a_place_returns_the_place(
    lock: LocalLock, clock: FakeClock
) -> None:
    queue = GrantQueue(lock, clock, TASKS, replace(LIMITS, grants_at_once=1), rest=no_rest)
    crowd = Crowd(queue)
    async with queue.turn("tenant", "agent1", "192.0.2.1"):
        await crowd.send("b", "agent2", "192.0.2.2")
    crowd.tasks["b"].cancel()  # has the place, and has not run since
    await crowd.send("c", "agent3", "192.0.2.3")
    assert crowd.order == ["c"]
    await crowd.finish()


async def test_a_place_is_not_given_to_a_request_that_was_just_cancelled(lock: LocalLock, clock: FakeClock) -> None:
    queue = GrantQueue(lock, clock, TASKS, replace(LIMITS, grants_at_once=1), rest=no_rest)
    crowd = Crowd(queue)
    async with queue.turn("tenant", "agent1", "192.0.2.1"):
        await crowd.send("b", "agent2", "192.0.2.2")
        crowd.tasks["b"].cancel()  # has not run since, so it is still in the queue
    await crowd.send("c", "agent3", "192.0.2.3")
    assert crowd.order == ["c"]
    await crowd.finish()


async def test_a_request_cancelled_in_its_turn_passes_the_turn_on(crowd: Crowd) -> None:
    await crowd.send("a", "agent1", "192.0.2.1")
    await crowd.send("b", "agent1", "192.0.2.1")
    crowd.tasks["a"].cancel()
    await settle()
    assert crowd.order == ["a", "b"]


async def test_an_error_in_a_turn_ends_the_turn(queue: GrantQueue) -> None:
    with pytest.raises(errors.Unreachable):
        async with queue.turn("tenant", "agent1", "192.0.2.1"):
            raise errors.Unreachable("Keycloak")
    async with queue.turn("tenant", "agent1", "192.0.2.1") as turn:
        assert turn == Turn()


async def test_the_queue_of_a_username_is_deleted_when_no_request_waits(crowd: Crowd, queue: GrantQueue) -> None:
    for number in range(10):
        await crowd.send(f"{number}", f"agent{number % 2}", f"192.0.2.{number}")
    await crowd.finish()
    assert not queue._names


@pytest.mark.attack("F20")
async def test_the_lock_shared_by_replicas_lasts_as_long_as_a_grant_may_take(
    lock: LocalLock, queue: GrantQueue
) -> None:
    async with queue.turn("tenant", "agent1", "192.0.2.1", longest=60.0):
        pass
    assert lock.lives[-1] > 60.0


@pytest.mark.parametrize(("rejected", "longer"), [(False, False), (True, True)])
async def test_a_username_rests_longer_than_keycloaks_quick_login_check_after_a_wrong_password(
    lock: LocalLock, clock: FakeClock, rejected: bool, longer: bool
) -> None:
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    async with GrantQueue(lock, clock, TASKS, LIMITS, rest=rest).turn("tenant", "agent1", "192.0.2.1") as turn:
        assert isinstance(turn, Turn)
        turn.rejected = rejected
    await settle()
    assert [seconds > 1.0 for seconds in rests] == [longer]
