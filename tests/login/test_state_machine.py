"""Tests of the pending steps of a login after its events."""

import pytest

from gateway.domain.policy import EnrolmentRule, FactorKind, NoContact, RegistrationContact
from gateway.domain.problem import Problem, ProblemDetail
from gateway.domain.session import Satisfied
from gateway.domain.user import Contact
from gateway.login.record import AddressConfirmed, AddressGiven, Proved, Stopped
from gateway.login.state_machine import Effect, Step
from tests.fixtures.event_scripts import (
    ADDRESS,
    DRAFT,
    ENROLLED,
    FIRST_LOGIN,
    NOW,
    OPENED,
    OTHER_DRAFT,
    after,
    apply,
    begun,
    challenge,
    first,
    password,
    pending,
    problem_detail,
    proved,
    satisfied,
    saved,
    sent,
    step,
    with_policy,
)


def test_a_login_begins_on_the_password_page() -> None:
    assert pending(begun()) == (Step.PASSWORD,)


@pytest.mark.row("EF-11")
def test_a_user_without_a_factor_enrols_first() -> None:
    login = after(password())
    assert pending(login) == (
        Step.REGISTER,
        Step.CONFIRM,
        Effect.CHALLENGE,
        Step.VERIFY,
        Effect.OPEN,
        Step.DONE,
    )


@pytest.mark.row("EF-11")
def test_the_typed_address_is_shown_for_confirmation_before_a_code_is_sent() -> None:
    login = after(password(), AddressGiven(DRAFT))
    assert first(login) is Step.CONFIRM


@pytest.mark.row("EF-11")
def test_a_code_is_sent_to_a_confirmed_address() -> None:
    assert first(after(*FIRST_LOGIN[:3])) is Effect.CHALLENGE


@pytest.mark.row("EF-11")
def test_the_first_correct_code_saves_the_address_before_the_session_opens() -> None:
    assert pending(after(*FIRST_LOGIN)) == (Effect.SAVE, Effect.OPEN, Step.DONE)


@pytest.mark.row("EF-11")
def test_an_enrolled_user_is_sent_a_code_at_once() -> None:
    assert first(after(password(ENROLLED))) is Effect.CHALLENGE


@pytest.mark.row("EF-01")
def test_no_session_is_pending_before_a_correct_code() -> None:
    login = after(*FIRST_LOGIN[:4])
    assert first(login) is Step.VERIFY


@pytest.mark.row("EF-01")
def test_with_2fa_off_the_password_alone_opens_the_session() -> None:
    login = after(password(), login=begun(with_policy(enabled=False)))
    assert pending(login) == (Effect.OPEN, Step.DONE)


def test_on_a_route_without_a_factor_the_password_opens_the_session_and_the_rule_is_recorded() -> None:
    login = after(password(ENROLLED), login=begun(route_asks=False))
    assert satisfied(login) == (Satisfied.NOT_ASKED, "route-asks-none")


def test_a_proved_factor_satisfies_the_login() -> None:
    assert satisfied(after(password(ENROLLED), sent(), proved()))[0] is Satisfied.PROVED


def test_editing_the_address_clears_the_draft_its_confirmation_and_its_code() -> None:
    login = after(*FIRST_LOGIN[:4], AddressGiven(None))
    assert (login.enrolling.draft, login.enrolling.confirmed, login.verification.challenge) == (None, False, None)


def test_a_cleared_address_is_kept_in_the_form_for_editing() -> None:
    assert after(*FIRST_LOGIN[:4], AddressGiven(None)).enrolling.edited == ADDRESS


def test_the_confirmation_of_another_address_is_void() -> None:
    login = after(password(), AddressGiven(DRAFT))
    assert apply(login, AddressConfirmed(OTHER_DRAFT)) == login


def test_a_second_address_is_void_while_one_is_being_confirmed() -> None:
    login = after(password(), AddressGiven(DRAFT))
    assert apply(login, AddressGiven(OTHER_DRAFT)) == login


@pytest.mark.row("EF-16")
def test_a_code_sent_to_an_address_edited_since_is_void() -> None:
    login = after(*FIRST_LOGIN[:3], AddressGiven(None), AddressGiven(OTHER_DRAFT), AddressConfirmed(OTHER_DRAFT))
    assert apply(login, sent(address=ADDRESS)) == login


@pytest.mark.row("EF-16")
def test_a_correct_answer_to_a_replaced_code_is_void() -> None:
    login = after(password(ENROLLED), sent(0), sent(1))
    assert apply(login, proved(0)) == login


def test_an_older_code_does_not_replace_a_newer_one() -> None:
    login = after(password(ENROLLED), sent(0), sent(1))
    assert apply(login, sent(0)) == login


def test_a_proof_of_another_round_is_void() -> None:
    login = after(password(ENROLLED), sent())
    assert apply(login, Proved(challenge(of_round=1), FactorKind.EMAIL, NOW)) == login


@pytest.mark.row("EF-13")
def test_a_second_proof_changes_nothing() -> None:
    login = after(password(ENROLLED), sent(), proved())
    assert apply(login, proved()) == login


def test_a_stop_for_a_replaced_code_is_void() -> None:
    login = after(password(ENROLLED), sent(0), sent(1))
    assert apply(login, Stopped(ProblemDetail(Problem.LOCKED), "c0")) == login


def test_a_stopped_login_ignores_every_event() -> None:
    stopped = after(password(ENROLLED), sent(), Stopped(ProblemDetail(Problem.LOCKED)))
    assert after(proved(), sent(1), AddressGiven(DRAFT), OPENED, login=stopped) == stopped


def test_an_opened_login_ignores_every_event() -> None:
    opened = after(password(ENROLLED), sent(), proved(), OPENED)
    assert after(Stopped(ProblemDetail(Problem.LOCKED)), sent(1), login=opened) == opened


def test_a_session_opens_only_when_nothing_else_is_pending() -> None:
    login = after(*FIRST_LOGIN)
    assert apply(login, OPENED) == login


def test_a_saved_and_opened_login_is_done() -> None:
    login = after(*FIRST_LOGIN)
    assert step(after(saved(login), OPENED, login=login)) is Step.DONE


def test_a_second_password_changes_nothing() -> None:
    login = after(password(ENROLLED))
    assert apply(login, password()) == login


def test_with_profile_addresses_a_user_without_one_is_refused() -> None:
    login = after(password(), login=begun(with_policy(registration_contact=RegistrationContact.PROFILE)))
    assert problem_detail(login) == ProblemDetail(Problem.NO_CONTACT)


def test_an_unverified_profile_address_counts_as_missing() -> None:
    contact = Contact(FactorKind.EMAIL, ADDRESS, verified=False)
    login = after(
        password(contacts=(contact,)), login=begun(with_policy(registration_contact=RegistrationContact.PROFILE))
    )
    assert step(login) is Step.STOPPED


def test_where_contacts_are_methods_the_first_accepted_code_saves_the_address() -> None:
    policy = with_policy(registration_contact=RegistrationContact.PROFILE, on_no_contact=NoContact.REFUSE)
    contact = Contact(FactorKind.EMAIL, ADDRESS, verified=True)
    login = after(password(contacts=(contact,)), sent(), proved(), login=begun(policy))
    assert first(login) is Effect.SAVE


def test_where_contacts_are_methods_no_code_is_sent_to_an_unverified_contact() -> None:
    policy = with_policy(registration_contact=RegistrationContact.PROFILE, on_no_contact=NoContact.REFUSE)
    contact = Contact(FactorKind.EMAIL, ADDRESS, verified=False)
    login = after(password(contacts=(contact,)), login=begun(policy))
    assert pending(login) == (Step.STOPPED,)


def test_an_optional_factor_is_not_requested_from_a_user_without_one() -> None:
    login = after(password(), login=begun(with_policy(enrolment=EnrolmentRule.OPTIONAL)))
    assert satisfied(login) == (Satisfied.NOT_ASKED, "optional-and-none-enrolled")
