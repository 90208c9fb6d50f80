"""Tests of one enrolment, and of the set of a user's enrolments."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import FactorKind

MAIL = Enrolment(FactorKind.EMAIL, "anna@cc.example", added_at=1.0)
APP = Enrolment(FactorKind.TOTP, secret="MADEUPSECRET", added_at=2.0)
BOTH = EnrolmentSet(version=3, enrolments=(MAIL, APP), backup_codes=("a", "b"), trust_epoch=2)

SAME: dict[str, EnrolmentSet] = {
    "itself": BOTH,
    "in another order": replace(BOTH, enrolments=(APP, MAIL)),
    "resealed": replace(BOTH, version=4),
    "a backup code used": replace(BOTH, version=4, backup_codes=("b",), last_burn="of a login"),
    "new backup codes": replace(BOTH, version=4, backup_codes=("c", "d")),
    "added at another time": replace(BOTH, enrolments=(replace(MAIL, added_at=9.0), APP)),
}
OTHER: dict[str, EnrolmentSet] = {
    "one turned off": BOTH.without(FactorKind.TOTP),
    "one turned off and set up again": BOTH.without(FactorKind.TOTP).with_enrolment(APP),
    "another address": BOTH.with_enrolment(replace(MAIL, address="eve@cc.example")),
    "an address in another spelling": replace(BOTH, enrolments=(replace(MAIL, address="Anna@cc.example"), APP)),
    "another app": BOTH.with_enrolment(replace(APP, secret="ANOTHERSECRET")),
    "one more": BOTH.with_enrolment(Enrolment(FactorKind.SMS, "+923001234567")),
    "trust ended": replace(BOTH, trust_epoch=3),
    "no enrolment": EnrolmentSet(),
}


@pytest.mark.parametrize("later", SAME.values(), ids=SAME)
def test_sets_with_the_same_factors_are_equal_for_a_login(later: EnrolmentSet) -> None:
    assert BOTH.same_factors(later)
    assert later.same_factors(BOTH)


@pytest.mark.attack("F16")
@pytest.mark.parametrize("later", OTHER.values(), ids=OTHER)
def test_sets_with_different_factors_differ_for_a_login(later: EnrolmentSet) -> None:
    assert not BOTH.same_factors(later)
    assert not later.same_factors(BOTH)


def test_a_set_with_a_first_factor_differs_from_the_empty_set() -> None:
    assert not EnrolmentSet().same_factors(EnrolmentSet().with_enrolment(MAIL))
    assert EnrolmentSet().same_factors(EnrolmentSet(version=7))


ENROLMENTS = st.builds(
    Enrolment, st.sampled_from(FactorKind), st.text(max_size=6), st.text(max_size=6), st.floats(0, 9)
)


@given(ENROLMENTS, ENROLMENTS)
def test_a_digest_depends_only_on_factor_address_and_secret(one: Enrolment, other: Enrolment) -> None:
    same = (one.factor, one.address, one.secret) == (other.factor, other.address, other.secret)
    assert (one.digest == other.digest) is same
    assert one.digest == replace(one, added_at=5.0).digest


def test_a_user_who_turned_off_the_last_method_has_not_used_up_their_backup_codes() -> None:
    one = EnrolmentSet(enrolments=(MAIL,), last_burn="of a login")
    assert one.used_all_codes
    assert not one.without(MAIL.factor).used_all_codes


def test_a_digest_shows_neither_address_nor_secret() -> None:
    assert len(APP.digest) == 64
    assert "MADEUPSECRET" not in APP.digest
    assert "MADEUPSECRET" not in repr(APP)
