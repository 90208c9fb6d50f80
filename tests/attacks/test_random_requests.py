"""A short run of the attack with changed requests; `make attacks REQUESTS=…` runs a long one."""

from pathlib import Path

import pytest

from tests.attacks.random_requests import attack, attacked, request


@pytest.mark.slow
async def test_changed_requests_without_a_session_reach_no_app_and_find_no_fault(tmp_path: Path) -> None:
    with attacked(tmp_path) as (replica, upstream):
        found = await attack(replica, upstream, seed=1, count=500)
    assert found.findings == []
    assert {200, 303, 400, 404} <= set(found.statuses), "or nothing was shown"


def test_a_seed_always_sends_the_same_request() -> None:
    assert [request(seed) for seed in range(50)] == [request(seed) for seed in range(50)]
