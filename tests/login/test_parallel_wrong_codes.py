"""Many wrong codes of one login at once."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from gateway.domain.problem import Problem
from gateway.login.state_machine import Step
from gateway.observe.audit import AuditEvent
from gateway.settings.presets import PRESETS
from tests.fixtures.registered_user import EMAIL, MAILBOX, at_the_code, with_mailbox

EFCX = replace(PRESETS["efcx"].policy, methods=(EMAIL,), otp_expiry=60, otp_max_attempts=5)


@pytest.mark.row("EF-17")
@pytest.mark.parametrize("seed", range(5))
async def test_guesses_refused_by_the_codes_limit_do_not_count_for_the_user(seed: int) -> None:
    login_harness = await with_mailbox(EFCX, seed)
    browser = await at_the_code(login_harness)
    wrong = "000000" if login_harness.mailed(MAILBOX.address) != "000000" else "111111"
    result = await asyncio.gather(*(browser.act(Step.VERIFY, code=wrong) for _ in range(40)))
    reported = Counter(one.problem_detail.problem for one in result if one.problem_detail)
    assert reported == {Problem.WRONG_CODE: 4, Problem.LIMIT_EXCEEDED: 36}
    assert not [line for line in login_harness.audit if line.event is AuditEvent.LOCK_SET]
