"""Tests of the authenticator app: the vectors of the standards, the window, and a wrong clock."""

import base64
from dataclasses import replace
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest

from gateway.domain.challenge import Accepted, Draft, Judgement, Rejected
from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.domain.problem import Problem
from gateway.domain.user import User
from gateway.second_factor.factors.totp import STEP, TotpFactor
from tests.fixtures.challenge_harness import ChallengeHarness

CLOCK_WINDOW = 20
INTERVAL = 30

SECRET = base64.b32encode(b"12345678901234567890").decode()  # the secret of both appendices
USER = User("u1", "anna")
RFC_4226 = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
# RFC 6238, Appendix B, SHA-1: 8 digits; an app shows the last 6 of them
RFC_6238 = {
    59: "94287082",
    1111111109: "07081804",
    1111111111: "14050471",
    1234567890: "89005924",
    2000000000: "69279037",
    20000000000: "65353130",
}


async def judge(typed: str, at: float, secret: str = SECRET) -> Judgement:
    about = replace(ChallengeHarness().about(FactorKind.TOTP), now=at)
    return await TotpFactor().verify("", USER, Enrolment(FactorKind.TOTP, secret=secret), about, typed)


def code(step: int) -> str:
    """Returns the app's code in a time step."""
    return pyotp.TOTP(SECRET).at(step * INTERVAL)


@pytest.mark.parametrize("counter", range(len(RFC_4226)))
async def test_the_codes_of_rfc_4226_are_accepted_at_their_counter(counter: int) -> None:
    found = await judge(RFC_4226[counter], at=max(1, counter) * INTERVAL)  # no code is older than the epoch
    assert found == Accepted(str(counter))


@pytest.mark.parametrize("at", RFC_6238)
async def test_the_codes_of_rfc_6238_are_accepted_at_their_time(at: int) -> None:
    found = await judge(RFC_6238[at][-6:], at=at)
    assert found == Accepted(str(at // INTERVAL))


@pytest.mark.parametrize("steps", [-1, 0, 1])
async def test_a_code_of_the_previous_or_next_step_is_accepted_for_that_step(steps: int) -> None:
    assert await judge(code(1000 + steps), at=1000 * INTERVAL + 29.9) == Accepted(str(1000 + steps))


@pytest.mark.parametrize("steps", [-CLOCK_WINDOW, -3, -2, 2, 3, CLOCK_WINDOW])
async def test_a_code_two_steps_away_is_rejected_with_a_clock_warning(steps: int) -> None:
    found = await judge(code(1000 + steps), at=1000 * INTERVAL)
    assert found == Rejected(Problem.CLOCK_OFF, ((STEP, str(1000 + steps)),))


@pytest.mark.parametrize("steps", [-CLOCK_WINDOW - 1, CLOCK_WINDOW + 1])
async def test_a_code_ten_minutes_away_is_rejected_without_a_clock_warning(steps: int) -> None:
    assert await judge(code(1000 + steps), at=1000 * INTERVAL) == Rejected(Problem.WRONG_CODE)


@pytest.mark.parametrize("typed", ["", "12345", "1234567", "abcdef", "12 456", "+12345", "１２３４５６"])
async def test_an_entry_other_than_six_plain_digits_is_rejected(typed: str) -> None:
    assert await judge(typed, at=59) == Rejected(Problem.WRONG_CODE)


async def test_a_code_of_another_secret_is_rejected() -> None:
    other = base64.b32encode(b"another secret 12345").decode()
    assert await judge(code(1000), at=1000 * INTERVAL, secret=other) == Rejected(Problem.WRONG_CODE)


async def test_a_secret_has_160_random_bits() -> None:
    harness = ChallengeHarness()
    drafts = [await TotpFactor().enrol(USER, "", harness.about(FactorKind.TOTP)) for _ in range(2)]
    secrets = {d.secret for d in drafts}
    assert {len(base64.b32decode(s)) for s in secrets} == {20}
    assert len(secrets) == 2


async def test_no_typed_entry_becomes_a_secret() -> None:
    about = ChallengeHarness().about(FactorKind.TOTP)
    draft = await TotpFactor().enrol(USER, SECRET, about)
    assert isinstance(draft, Draft)
    assert draft.secret != SECRET


async def test_the_repr_of_an_app_shows_no_secret() -> None:
    assert SECRET not in repr(Draft(FactorKind.TOTP, secret=SECRET))
    assert SECRET not in repr(Enrolment(FactorKind.TOTP, secret=SECRET))


def test_the_uri_in_the_qr_code_names_user_issuer_and_secret() -> None:
    assert (
        TotpFactor.set_up_link(SECRET, "anna", "Expertflow")
        == f"otpauth://totp/Expertflow:anna?secret={SECRET}&issuer=Expertflow"
    )


def test_a_colon_in_a_user_or_tenant_name_does_not_divide_the_label() -> None:
    link = urlsplit(TotpFactor.set_up_link(SECRET, "urn:anna", "Expertflow: Support"))
    issuer, account = unquote(link.path.removeprefix("/")).split(":")
    assert (issuer, account) == ("Expertflow\ua789 Support", "urn\ua789anna")
    assert parse_qs(link.query)["issuer"] == ["Expertflow\ua789 Support"]
