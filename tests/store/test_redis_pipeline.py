"""Tests of the connection that all reads of the Redis store share."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from gateway.domain import errors
from gateway.domain.channel import TlsSettings
from gateway.store.redis import RedisStore
from tests.fixtures.redis_relay import RedisRelay, relayed

pytestmark = pytest.mark.redis
CALLS = 100


def at(url: str, timeout: float = 10.0) -> RedisStore:
    return RedisStore(url=url, prefix="test:", timeout=timeout, tls=TlsSettings())


@pytest.fixture
async def relay(redis_url: str) -> AsyncIterator[RedisRelay]:
    async with relayed(redis_url) as made:
        yield made


@pytest.fixture
async def store(relay: RedisRelay) -> AsyncIterator[RedisStore]:
    """Yields a store with a value for each call, and an open connection for reads."""
    made = at(relay.url)
    for number in range(CALLS):
        await made.set(str(number), str(number).encode(), 60)
    await made.get("0")
    yield made
    await made.close()


def calls(store: RedisStore) -> list[asyncio.Task[bytes | None]]:
    return [asyncio.create_task(store.get(str(number))) for number in range(CALLS)]


def questions(store: RedisStore, *keys: str) -> list[asyncio.Future[bytes | None]]:
    found: list[asyncio.Future[bytes | None]] = [asyncio.get_running_loop().create_future() for _ in keys]
    for key, answer in zip(keys, found, strict=True):
        store.ask(key, answer.set_result)
    return found


async def all_unreachable(waiting: list[asyncio.Task[bytes | None]]) -> bool:
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    return all(isinstance(outcome, errors.Unreachable) for outcome in outcomes)


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_concurrent_reads_share_one_connection_and_each_receives_its_own_answer(
    store: RedisStore, relay: RedisRelay
) -> None:
    assert await asyncio.gather(*calls(store)) == [str(number).encode() for number in range(CALLS)]
    assert len(relay.of(b"GET")) == 1


async def test_the_first_reads_of_all_callers_open_one_connection(redis_url: str, relay: RedisRelay) -> None:
    store = at(relay.url)
    assert await asyncio.gather(*(store.get("none") for _ in range(CALLS))) == [None] * CALLS
    assert len(relay.connections) == 1
    await store.close()


@pytest.mark.parametrize("before", range(8))
async def test_cancelled_reads_leave_every_other_read_its_own_answer(store: RedisStore, before: int) -> None:
    running = calls(store)
    await turns(before)
    for task in running[::3]:
        task.cancel()
    outcomes = await asyncio.gather(*running, return_exceptions=True)
    for number, outcome in enumerate(outcomes):
        if not isinstance(outcome, asyncio.CancelledError):
            assert outcome == str(number).encode()
    assert not any(isinstance(outcome, asyncio.CancelledError) for n, outcome in enumerate(outcomes) if n % 3)


async def test_a_read_cancelled_while_it_connects_leaves_the_others_their_connection(relay: RedisRelay) -> None:
    store = at(relay.url)
    first, second = (asyncio.create_task(store.get("none")) for _ in range(2))
    await turns(3)
    first.cancel()
    assert await second is None
    assert first.cancelled()
    await store.close()


async def test_a_lost_connection_is_unreachable_for_every_waiting_read(store: RedisStore, relay: RedisRelay) -> None:
    relay.withhold(b"GET")
    waiting = calls(store)
    await turns(3)
    relay.of(b"GET")[0].to_client.transport.abort()
    assert await all_unreachable(waiting)


async def test_a_question_on_a_lost_connection_is_not_confirmed(store: RedisStore, relay: RedisRelay) -> None:
    relay.withhold(b"GET")
    found = questions(store, "1", "2")
    await turns(3)
    relay.of(b"GET")[0].to_client.transport.abort()
    async with asyncio.timeout(5):
        assert await asyncio.gather(*found) == [None, None]


async def test_a_late_answer_to_a_question_confirms_nothing(relay: RedisRelay, store: RedisStore) -> None:
    hasty = at(relay.url, timeout=0.1)
    assert await hasty.get("0") == b"0"
    relay.withhold(b"GET")
    async with asyncio.timeout(5):
        assert await asyncio.gather(*questions(hasty, "1")) == [None]
    await hasty.close()


async def test_the_first_question_connects(relay: RedisRelay, store: RedisStore) -> None:
    other = at(relay.url)
    assert await asyncio.gather(*questions(other, "1", "2")) == [b"1", b"2"]
    await other.close()


async def test_a_question_to_a_closed_store_is_not_confirmed(relay: RedisRelay) -> None:
    store = at(relay.url)
    await store.close()
    assert await asyncio.gather(*questions(store, "1")) == [None]


async def test_questions_and_reads_receive_each_its_own_answer(store: RedisStore) -> None:
    reads, keys = calls(store), [str(number) for number in range(CALLS)]
    assert await asyncio.gather(*questions(store, *keys)) == await asyncio.gather(*reads)


async def test_a_question_that_fails_with_its_answer_leaves_every_other_one_its_own(store: RedisStore) -> None:
    told: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))

    def fails(_: bytes | None) -> None:
        raise ValueError("not taken")

    store.ask("0", fails)
    assert await asyncio.gather(*questions(store, "1", "2")) == [b"1", b"2"]
    assert [str(error) for error in told] == ["not taken"]


async def test_after_a_lost_connection_the_next_read_connects_again(store: RedisStore, relay: RedisRelay) -> None:
    used = store._pipeline._link
    assert used
    relay.of(b"GET")[0].to_client.transport.abort()
    await used.lost
    assert await store.get("1") == b"1"


async def test_late_answers_are_unreachable_and_reach_no_later_read(relay: RedisRelay, store: RedisStore) -> None:
    hasty = at(relay.url, timeout=0.1)
    assert await hasty.get("0") == b"0"
    relay.withhold(b"GET")
    async with asyncio.timeout(5):
        assert await all_unreachable(calls(hasty))
    relay.withheld = None
    assert await hasty.get("7") == b"7"
    await hasty.close()


@pytest.mark.parametrize("extra", [b"+OK\r\n", b"$1\r\nx\r\n", b"no answer of Redis\r\n"])
async def test_an_answer_that_nothing_asked_for_closes_the_connection(
    store: RedisStore, relay: RedisRelay, extra: bytes
) -> None:
    used = store._pipeline._link
    assert used
    relay.of(b"GET")[0].to_client.write(extra)
    await used.lost
    assert await asyncio.gather(*calls(store)) == [str(number).encode() for number in range(CALLS)]


async def test_a_push_message_of_the_server_is_no_answer(store: RedisStore, relay: RedisRelay) -> None:
    relay.of(b"GET")[0].to_client.write(b">2\r\n+moving\r\n:1\r\n")
    assert await asyncio.gather(*calls(store)) == [str(number).encode() for number in range(CALLS)]
    assert len(relay.of(b"GET")) == 1


async def test_a_read_that_the_server_refuses_fails_alone(store: RedisStore) -> None:
    await store.append("list", b"1", keep=1, ttl=60)
    outcomes = await asyncio.gather(store.get("1"), store.get("list"), store.get("2"), return_exceptions=True)
    assert [outcomes[0], outcomes[2]] == [b"1", b"2"]
    assert isinstance(outcomes[1], errors.Unreachable)


async def test_reads_use_the_database_and_user_of_the_address(redis_url: str, raw: Redis) -> None:
    await raw.execute_command("ACL", "SETUSER", "reader", "on", ">pass", "~test:*", "&*", "+@all")  # type: ignore[no-untyped-call]  # untyped in redis-py
    scheme, _, rest = redis_url.partition("://")
    store = at(f"{scheme}://reader:pass@{rest.rpartition('/')[0]}/3")
    await store.set("k", b"1", 60)
    assert await store.get("k") == b"1"
    assert await raw.get("test:k") is None
    await store.close()
    await raw.execute_command("ACL", "DELUSER", "reader")  # type: ignore[no-untyped-call]  # untyped in redis-py


async def test_reads_under_way_end_when_the_store_is_closed(store: RedisStore, relay: RedisRelay) -> None:
    relay.withhold(b"GET")
    waiting = calls(store)
    await turns(3)
    await store.close()
    assert await all_unreachable(waiting)


async def test_reads_that_wait_for_the_connection_end_when_the_store_is_closed(relay: RedisRelay) -> None:
    relay.withhold(b"HELLO")
    store = at(relay.url)
    waiting = calls(store)
    await turns(3)
    await store.close()
    assert await all_unreachable(waiting)


@pytest.fixture
async def raw(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def test_concurrent_changes_of_one_key_over_one_connection_take_effect_once(store: RedisStore) -> None:
    await asyncio.gather(*(store.delete_if("5", b"5") for _ in range(3)))
    assert sum(await asyncio.gather(*(store.add("5", b"new", 60) for _ in range(CALLS)))) == 1
    swapped = await asyncio.gather(*(store.swap("5", b"new", str(n).encode(), 60) for n in range(CALLS)))
    assert sum(swapped) == 1
    assert await store.get("5") == str(swapped.index(True)).encode()
