"""Tests of a service that asks for a further entry, and of a factor that every user has without enrolling."""

import pytest

from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import ChoosePage, FactorKind, Method
from gateway.login.record import Login, Purpose
from gateway.login.state_machine import Effect, Step
from tests.fixtures.event_scripts import (
    APP_ENROLLED,
    ENROLLED,
    TOTP,
    after,
    apply,
    begun,
    challenge,
    continued,
    password,
    pending,
    proof,
    proved,
    proved_by,
    sent,
    step,
    waiting,
    with_policy,
    within,
)

RSA = with_policy(methods=(Method(FactorKind.RSA, "rsa"),))


def asked() -> Login:
    """Returns a login with a mailed code, for which its service asked for another one."""
    login = after(password(ENROLLED), sent())
    assert login.verification.challenge
    return apply(login, continued(login.verification.challenge))


def test_the_page_asks_for_what_the_service_wants_next() -> None:
    login = asked()
    assert login.verification.challenge
    assert login.verification.challenge.prompt == "Enter the next code."
    assert step(login) is Step.VERIFY


def test_a_stale_continuation_changes_nothing() -> None:
    before = after(password(ENROLLED), sent())
    assert before.verification.challenge
    login = apply(before, continued(before.verification.challenge, "First."))
    assert apply(login, continued(before.verification.challenge, "Second.")) == login


def test_a_continuation_of_a_replaced_code_changes_nothing() -> None:
    login = after(password(ENROLLED), sent(), sent(1))
    assert apply(login, continued(challenge())) == login


def test_a_continuation_sends_no_further_code() -> None:
    assert Effect.CHALLENGE not in pending(asked())


def test_a_continuation_alone_opens_nothing() -> None:
    assert pending(asked()) == pending(after(password(ENROLLED), sent()))


def test_the_next_entry_of_a_continued_challenge_counts() -> None:
    assert proved().challenge.id == "c0"
    assert Effect.OPEN in pending(apply(asked(), proved()))[:1]


@pytest.mark.row("EF-20")
def test_a_user_of_a_tenant_with_rsa_is_asked_at_once() -> None:
    login = after(password(), waiting(factor=FactorKind.RSA), login=begun(RSA))
    assert step(login) is Step.VERIFY
    assert proof(login).kinds[0] is FactorKind.RSA


@pytest.mark.row("EF-20")
def test_a_right_passcode_opens_the_session_and_enrols_nothing() -> None:
    login = after(password(), waiting(factor=FactorKind.RSA), proved_by(FactorKind.RSA), login=begun(RSA))
    assert pending(login)[0] is Effect.OPEN
    assert login.enrolled is None


@pytest.mark.row("EF-20")
def test_an_act_of_the_account_page_needs_a_passcode_of_a_user_with_rsa() -> None:
    """Else the password alone would add another factor."""
    both = with_policy(methods=(*RSA.methods, TOTP), choose_page=ChoosePage.COMBINED)
    login = within(Purpose.ENROL, EnrolmentSet(), both, recent=True, wanted=FactorKind.TOTP)
    assert pending(login)[0] is Effect.CHALLENGE
    assert [m.factor for m in proof(login).methods] == [FactorKind.RSA]


@pytest.mark.row("EF-20")
def test_a_factor_enrolled_before_the_tenant_had_rsa_does_not_replace_the_passcode() -> None:
    login = after(password(APP_ENROLLED), waiting(factor=FactorKind.RSA), login=begun(RSA))
    assert proof(login).kinds[0] is FactorKind.RSA
    assert apply(login, proved_by(FactorKind.TOTP)) == login
