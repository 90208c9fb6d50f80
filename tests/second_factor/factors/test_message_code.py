"""Tests of a code in a message, and of its stored state."""

import json

import pytest

from gateway.crypto.key_ring import Key, KeyRing, Signer
from gateway.domain.challenge import Accepted, Rejected, Unavailable
from gateway.domain.problem import Problem
from gateway.second_factor.factors.message_code import PURPOSE, new_code, verify
from gateway.second_factor.factors.protocol import DeliveryContext, exactly
from tests.fixtures.clock import START, SeededRandom
from tests.fixtures.sample_tenants import tenant

SIGNER = Signer(KeyRing((Key("00000001", b"k" * 32),)), PURPOSE)
ADDRESS = "anna@cc.example"


def about(challenge: str = "c1", digits: int = 6, tenant_id: str = "expertflow") -> DeliveryContext:
    """Returns the circumstances of a challenge."""
    return DeliveryContext(
        tenant=tenant(id=tenant_id),
        channel=None,
        digits=digits,
        expiry=300,
        language="en",
        host="cc.example",
        browser="Chrome",
        reference="ABCD2345",
        now=START,
        random=SeededRandom(),
        challenge=challenge,
    )


NEW = new_code(SIGNER, about(), "u1", ADDRESS)


def test_a_code_is_accepted_for_its_challenge_user_and_address_and_uses_up_the_challenge() -> None:
    assert verify(SIGNER, NEW.state, about(), "u1", ADDRESS, entry=NEW.code) == Accepted("c1")


@pytest.mark.row("EF-12")
@pytest.mark.parametrize(
    ("circumstances", "user", "address"),
    [
        (about(challenge="c2"), "u1", ADDRESS),
        (about(), "u2", ADDRESS),
        (about(), "u1", "eve@cc.example"),
        (about(tenant_id="other"), "u1", ADDRESS),
    ],
    ids=["another challenge", "another user", "another address", "another tenant"],
)
def test_a_code_is_rejected_for_another_challenge_user_or_address(
    circumstances: DeliveryContext, user: str, address: str
) -> None:
    assert verify(SIGNER, NEW.state, circumstances, user, address, entry=NEW.code) == Rejected(Problem.WRONG_CODE)


@pytest.mark.parametrize(
    "typed", ["", "0", "abcdef", "12345", "1234567", "١٢٣٤٥٦", "12345a", "-12345", "1e1000", "½23456"]
)
def test_an_entry_without_the_form_of_a_code_is_rejected(typed: str) -> None:
    assert not exactly(6).fits(typed)
    assert verify(SIGNER, NEW.state, about(), "u1", ADDRESS, entry=typed) == Rejected(Problem.WRONG_CODE)


def test_a_wrong_code_of_the_correct_length_is_rejected() -> None:
    wrong = str((int(NEW.code) + 1) % 10**6).zfill(6)
    assert verify(SIGNER, NEW.state, about(), "u1", ADDRESS, entry=wrong) == Rejected(Problem.WRONG_CODE)


@pytest.mark.parametrize("state", ["", "{", "null", "[]", "{}", '{"digest": null}', '{"digest": 1}', '"x"'])
def test_an_invalid_challenge_state_makes_the_factor_unavailable(state: str) -> None:
    assert isinstance(verify(SIGNER, state, about(), "u1", ADDRESS, entry=NEW.code), Unavailable)


def test_an_empty_digest_matches_no_code() -> None:
    assert verify(SIGNER, '{"digest": ""}', about(), "u1", ADDRESS, entry=NEW.code) == Rejected(Problem.WRONG_CODE)


def test_only_a_digest_is_stored_and_the_repr_shows_no_code() -> None:
    assert set(json.loads(NEW.state)) == {"digest"}
    assert NEW.code not in NEW.state
    assert NEW.code not in repr(NEW)


@pytest.mark.parametrize("digits", [4, 6, 8, 10])
def test_a_code_has_the_number_of_digits_of_the_policy(digits: int) -> None:
    assert exactly(digits).fits(new_code(SIGNER, about(digits=digits), "u1", ADDRESS).code)
