"""Tests of the pauses in which a sign-out that the store has not confirmed is tried again."""

import asyncio
from itertools import pairwise

from gateway.domain import errors
from gateway.domain.tasks import BackgroundTasks
from gateway.sessions.pending_sign_outs import PendingSignOuts
from gateway.sessions.session_key import SessionKey
from tests.fixtures import quick_loop

PLACE = SessionKey("expertflow", "tag", "digest")


def tried(seconds: float) -> list[float]:
    """Returns when a sign-out is tried during so long an outage of the store, in seconds since the user left."""

    async def out() -> list[float]:
        tasks, clock = BackgroundTasks(), asyncio.get_running_loop().time
        pending, begun, times = PendingSignOuts(tasks), clock(), list[float]()

        async def end() -> None:
            times.append(clock() - begun)
            raise errors.Unreachable("store", "TimeoutError")

        pending.begin(PLACE, end, seconds)
        assert PLACE in pending
        await tasks.close(2 * seconds)
        assert PLACE not in pending
        return times

    return quick_loop.run(out())


def test_a_sign_out_is_tried_within_a_second_of_a_short_outage() -> None:
    times = tried(2)
    assert len(times) >= 3
    assert times[0] < 1


def test_a_sign_out_is_tried_ever_less_often_during_a_long_outage_and_still_twice_a_minute() -> None:
    times = tried(3600)
    pauses = [after - before for before, after in pairwise(times)]
    assert all(after > 1.5 * before for before, after in pairwise(pauses[:7]))
    assert 25 < min(pauses[10:]) <= max(pauses) < 31
