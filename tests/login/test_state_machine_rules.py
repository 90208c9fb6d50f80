"""Direct tests of the rules whose loss the random runs do not notice."""

from dataclasses import replace

import pytest

from gateway.domain.challenge import Draft
from gateway.domain.policy import ChoosePage, FactorKind, Registration
from gateway.domain.problem import Problem, ProblemDetail
from gateway.login.record import (
    Acknowledged,
    AddressConfirmed,
    AddressGiven,
    Drafted,
    Event,
    Login,
    PasswordChanged,
    Picked,
    Queued,
    Saved,
    Stopped,
    TokensGranted,
    TokensRenewed,
)
from gateway.login.state_machine import Step
from tests.fixtures.event_scripts import (
    APP_DRAFT,
    BOTH_ENROLLED,
    CODES,
    DRAFT,
    EMAIL,
    ENROLLED,
    FIRST_LOGIN,
    NOW,
    OPENED,
    OTHER_DRAFT,
    TOKENS,
    TOTP,
    USER,
    after,
    apply,
    begun,
    password,
    pending,
    problem_detail,
    proved,
    proved_by,
    sent,
    step,
    waiting,
    with_policy,
)

BOTH = with_policy(methods=(EMAIL, TOTP))
COMBINED = with_policy(methods=(EMAIL, TOTP), choose_page=ChoosePage.COMBINED, admin_codes=True)
WITH_CODES = replace(BOTH_ENROLLED, backup_codes=CODES)
EVERYTHING: tuple[Event, ...] = (
    password(),
    password(ENROLLED),
    Picked(FactorKind.TOTP),
    Picked(None),
    AddressGiven(DRAFT),
    AddressGiven(None),
    AddressConfirmed(DRAFT),
    Drafted(APP_DRAFT),
    sent(0),
    sent(1),
    waiting(1),
    proved(0),
    proved_by(FactorKind.TOTP),
    proved_by(FactorKind.ADMIN_CODE),
    Saved(ENROLLED),
    Acknowledged(Step.BACKUP_CODES.value),
    PasswordChanged(2),
    TokensGranted(TOKENS, USER),
    OPENED,
    Stopped(ProblemDetail(Problem.LOCKED)),
    Stopped(ProblemDetail(Problem.LOCKED), "c0"),
)
BUSY: dict[str, Login] = {
    "after the password": after(password(ENROLLED)),
    "while registering": after(*FIRST_LOGIN[:3]),
    "with a code on its way": after(*FIRST_LOGIN[:4]),
    "before saving": after(*FIRST_LOGIN),
    "before a new password": after(password(ENROLLED, due=True), sent(), proved()),
    "before opening": after(password(ENROLLED), sent(), proved()),
}


@pytest.mark.parametrize("where", BUSY)
@pytest.mark.parametrize("event", EVERYTHING, ids=lambda event: type(event).__name__)
def test_a_stopped_login_ignores_every_event(where: str, event: Event) -> None:
    stopped = apply(BUSY[where], Stopped(ProblemDetail(Problem.LOCKED)))
    assert apply(stopped, event) is stopped


@pytest.mark.parametrize("event", EVERYTHING, ids=lambda event: type(event).__name__)
def test_an_opened_login_ignores_every_event(event: Event) -> None:
    opened = after(OPENED, login=BUSY["before opening"])
    assert opened.opened
    assert apply(opened, event) is opened


def test_a_stopped_login_shows_only_the_stopped_page() -> None:
    assert pending(apply(BUSY["with a code on its way"], Stopped(ProblemDetail(Problem.LOCKED)))) == (Step.STOPPED,)


def test_the_first_reason_for_stopping_a_login_is_kept() -> None:
    login = after(
        Stopped(ProblemDetail(Problem.LOCKED)),
        Stopped(ProblemDetail(Problem.MAX_SENDS)),
        login=BUSY["after the password"],
    )
    assert problem_detail(login) == ProblemDetail(Problem.LOCKED)


# ------------------------------------------------------------------ the round


@pytest.mark.parametrize("factor", [FactorKind.TOTP, FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE])
def test_a_factor_without_a_message_counts_for_its_whole_round(factor: FactorKind) -> None:
    login = after(password(WITH_CODES), waiting(0), sent(1), login=begun(COMBINED))
    assert after(proved_by(factor, 0), login=login).proved is factor


@pytest.mark.row("SI-10")
@pytest.mark.parametrize("factor", [FactorKind.TOTP, FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE])
def test_a_factor_without_a_message_does_not_count_for_another_round(factor: FactorKind) -> None:
    events = (password(BOTH_ENROLLED, due=True), waiting(0), proved_by(FactorKind.TOTP, 0), PasswordChanged(2))
    login = after(*events, waiting(1, of_round=1), login=begun(COMBINED))
    assert login.verification.round == 1
    assert apply(login, proved_by(factor, 0, of_round=0)) == login


@pytest.mark.row("SI-10")
def test_a_code_sent_in_the_round_before_the_new_password_is_void_after_it() -> None:
    login = after(password(ENROLLED, due=True), sent(), proved(), PasswordChanged(2))
    assert apply(login, sent(1, of_round=0)) == login


@pytest.mark.row("GW-34")
def test_a_code_queued_in_the_round_before_the_new_password_is_void_after_it() -> None:
    login = after(password(ENROLLED, due=True), sent(), proved(), PasswordChanged(2))
    assert apply(login, Queued(NOW + 60, login.verification.next_number, 0)) == login


def test_a_login_without_tokens_ignores_renewed_tokens() -> None:
    login = after(password(ENROLLED, due=True), sent())
    assert apply(login, TokensRenewed(TOKENS)) == login


def test_trusting_the_browser_stays_selected_when_the_following_proof_does_not_select_it() -> None:
    guarded = with_policy(registration=Registration.ADMIN_CODE, trust_browser_days=14)
    events = (*FIRST_LOGIN[:-1], replace(proved(), remember=True), waiting(1), proved_by(FactorKind.ADMIN_CODE, 1))
    assert after(*events, login=begun(guarded)).remember


@pytest.mark.row("GW-34")
def test_a_queued_login_keeps_its_latest_end_when_it_is_queued_again() -> None:
    login = after(password(ENROLLED), Queued(NOW + 7200, 0, 0), Queued(NOW + 60, 0, 0))
    assert (login.verification.queued_until, login.verification.held_until) == (NOW + 60, NOW + 7200)


def test_a_proof_before_a_challenge_is_void() -> None:
    login = after(password(BOTH_ENROLLED), login=begun(COMBINED))
    assert apply(login, proved_by(FactorKind.TOTP)) == login


def test_an_older_challenge_does_not_replace_a_newer_sent_code() -> None:
    login = after(password(BOTH_ENROLLED), waiting(0), sent(1), login=begun(COMBINED))
    assert apply(login, waiting(0)) == login


# ------------------------------------------------------------------ the kind that was picked


def test_a_factor_that_is_not_offered_cannot_be_picked() -> None:
    login = after(password(), login=begun(BOTH))
    assert apply(login, Picked(FactorKind.SMS)) == login


def test_the_user_of_a_tenant_with_one_factor_cannot_pick() -> None:
    login = after(password())
    assert apply(login, Picked(FactorKind.EMAIL)) == login


def test_an_address_is_void_during_the_enrolment_of_an_app() -> None:
    login = after(password(), Picked(FactorKind.TOTP), login=begun(BOTH))
    assert apply(login, AddressGiven(DRAFT)) == login


def test_an_address_is_void_before_a_factor_is_picked() -> None:
    login = after(password(), login=begun(BOTH))
    assert apply(login, AddressGiven(DRAFT)) == login


def test_an_app_secret_is_void_during_the_enrolment_of_an_address() -> None:
    login = after(password(), Picked(FactorKind.EMAIL), login=begun(BOTH))
    assert apply(login, Drafted(APP_DRAFT)) == login


def test_a_draft_of_a_factor_that_was_not_picked_is_void() -> None:
    login = after(password(), Picked(FactorKind.EMAIL), login=begun(BOTH))
    assert apply(login, AddressGiven(Draft(FactorKind.SMS, "+15550100"))) == login


def test_a_code_of_an_address_is_void_for_an_app_picked_since() -> None:
    events = (password(), Picked(FactorKind.EMAIL), AddressGiven(DRAFT), AddressConfirmed(DRAFT), sent(0))
    login = after(*events, Picked(None), Picked(FactorKind.TOTP), Drafted(APP_DRAFT), waiting(1), login=begun(BOTH))
    assert apply(login, proved(0)) == login


def test_a_code_of_an_earlier_app_is_void_for_the_app_picked_after_it() -> None:
    one = (Picked(FactorKind.TOTP), Drafted(APP_DRAFT), waiting(0, factor=FactorKind.TOTP))
    other = (Picked(FactorKind.TOTP), Drafted(replace(APP_DRAFT, secret="other")), waiting(1, factor=FactorKind.TOTP))
    login = after(password(), *one, Picked(None), *other, login=begun(BOTH))
    assert apply(login, proved_by(FactorKind.TOTP, 0)) == login


def test_a_proved_factor_cannot_be_picked_again() -> None:
    events = (password(), Picked(FactorKind.TOTP), Drafted(APP_DRAFT), waiting(0, factor=FactorKind.TOTP))
    login = after(*events, proved_by(FactorKind.TOTP), login=begun(BOTH))
    assert apply(login, Picked(None)) == login


def test_a_code_to_another_address_than_the_confirmed_one_is_void() -> None:
    login = after(*FIRST_LOGIN[:3])
    assert apply(login, sent(0, address=OTHER_DRAFT.address)) == login


# ------------------------------------------------------------------ stops


def test_a_stop_for_the_current_challenge_stops_the_login() -> None:
    login = after(password(ENROLLED), sent(0))
    assert step(after(Stopped(ProblemDetail(Problem.LOCKED), "c0"), login=login)) is Step.STOPPED


def test_a_second_password_is_void_after_a_correct_one() -> None:
    login = after(password(ENROLLED), sent(0))
    assert apply(login, password()) == login


def test_a_session_is_opened_only_when_nothing_else_is_pending() -> None:
    for where in ("after the password", "while registering", "with a code on its way", "before saving"):
        assert apply(BUSY[where], OPENED) == BUSY[where]
    assert apply(BUSY["before a new password"], OPENED) == BUSY["before a new password"]
