"""One of many does it, the others take its outcome."""

import asyncio

import pytest

from gateway.domain.tasks import SingleFlight


async def test_who_asks_while_it_is_under_way_takes_the_same_outcome() -> None:
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


async def test_who_asks_when_it_is_over_begins_again() -> None:
    single_flight: SingleFlight[int] = SingleFlight()
    begun: list[int] = []

    async def work() -> int:
        begun.append(1)
        return len(begun)

    assert [await single_flight.join(("a",), work), await single_flight.join(("a",), work)] == [1, 2]


async def test_a_failure_is_everybodys_and_is_forgotten() -> None:
    single_flight: SingleFlight[int] = SingleFlight()

    async def fail() -> int:
        raise ValueError

    outcomes = await asyncio.gather(*(single_flight.join(("a",), fail) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ValueError] * 3
    assert not single_flight


async def test_a_request_that_goes_away_does_not_end_what_it_began() -> None:
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
