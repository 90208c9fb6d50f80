"""Tests that one request does the work and parallel ones get its outcome."""

import asyncio

import pytest

from gateway.domain.tasks import SingleFlight


async def test_a_request_during_the_work_gets_the_same_outcome() -> None:
    single_flight: SingleFlight[int] = SingleFlight()
    begun, go = [], asyncio.Event()

    async def work() -> int:
        begun.append(1)
        await go.wait()
        return len(begun)

    asked = [asyncio.create_task(single_flight.join(("login", "save"), work)) for _ in range(5)]
    other = asyncio.create_task(single_flight.join(("other", "save"), work))
    await asyncio.sleep(0)
    go.set()
    assert len(set(await asyncio.gather(*asked))) == 1
    await other
    assert len(begun) == 2
    assert not single_flight


async def test_a_request_after_the_work_starts_it_again() -> None:
    single_flight: SingleFlight[int] = SingleFlight()
    begun: list[int] = []

    async def work() -> int:
        begun.append(1)
        return len(begun)

    assert [await single_flight.join(("a",), work), await single_flight.join(("a",), work)] == [1, 2]


async def test_a_failure_is_given_to_all_waiting_requests_and_is_not_kept() -> None:
    single_flight: SingleFlight[int] = SingleFlight()

    async def fail() -> int:
        raise ValueError

    outcomes = await asyncio.gather(*(single_flight.join(("a",), fail) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError] * 3
    assert not single_flight


async def test_a_cancelled_request_does_not_cancel_the_work_that_it_started() -> None:
    single_flight: SingleFlight[str] = SingleFlight()
    go, done = asyncio.Event(), asyncio.Event()

    async def work() -> str:
        await go.wait()
        done.set()
        return "done"

    first = asyncio.create_task(single_flight.join(("a",), work))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(single_flight.join(("a",), work))
    await asyncio.sleep(0)
    go.set()
    assert await second == "done"
    assert done.is_set()


async def test_no_part_of_a_name_is_shown_by_the_task_that_does_the_work() -> None:
    single_flight: SingleFlight[str] = SingleFlight()

    async def work() -> str:
        await asyncio.sleep(0)
        return repr(asyncio.current_task())

    assert "a password" not in await single_flight.join(("user", "a password"), work)
