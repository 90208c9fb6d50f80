"""Tests that a login opens only by the proofs that its policy requires, with random events in random order."""

import pytest

from tests.login.random_machine import RandomEvents


@pytest.mark.row("EF-01", "GW-27", "SI-10")
@pytest.mark.attack("S19")
def test_a_login_opens_only_by_entries_that_a_factor_accepted_for_it() -> None:
    """A fixed seed; `make test-random` runs new ones. The counts show that the judge was reached."""
    reached = RandomEvents(20).run(25_000)
    assert reached["opened, proved"] > 1500
    assert reached["opened, enrolled"] > 300
    assert reached["opened, approved"] > 150
    assert reached["opened, trusted"] > 30
    assert reached["opened, nothing asked"] > 300
    assert reached["stopped"] > 50
