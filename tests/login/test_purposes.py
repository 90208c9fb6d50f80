"""Tests of the pending steps, in order, for every purpose of a login: the table of the design, row by row."""

from dataclasses import replace

import pytest

from gateway.domain.enrolment import EnrolmentSet
from gateway.domain.policy import ChoosePage, EnrolmentRule, FactorKind, Policy
from gateway.domain.session import Satisfied
from gateway.domain.user import User
from gateway.login.record import (
    Acknowledged,
    AddressConfirmed,
    AddressGiven,
    Drafted,
    Login,
    PasswordChanged,
    Picked,
    Purpose,
    Saved,
    TokensGranted,
)
from gateway.login.state_machine import Effect, Step
from tests.fixtures.event_scripts import (
    APP_DRAFT,
    APP_ENROLLED,
    BOTH_ENROLLED,
    CODES,
    DRAFT,
    EMAIL,
    ENROLLED,
    FIRST_LOGIN,
    OPENED,
    TOKENS,
    TOTP,
    USER,
    after,
    apply,
    begun,
    first,
    password,
    pending,
    proved,
    proved_by,
    satisfied,
    saved,
    sent,
    step,
    waiting,
    with_policy,
    within,
)

APP = with_policy(methods=(TOTP,))
BOTH = with_policy(methods=(EMAIL, TOTP), choose_page=ChoosePage.COMBINED)
CODES_TOO = with_policy(backup_codes=10)
OPTIONAL = with_policy(methods=(EMAIL, TOTP), enrolment=EnrolmentRule.OPTIONAL, choose_page=ChoosePage.COMBINED)
NEW_TOKENS = TokensGranted(TOKENS, USER)
SEEN = Acknowledged(Step.BACKUP_CODES.value)


def saved_with_codes(login: Login) -> Saved:
    assert login.enrolled
    return Saved(replace(login.enrolments.with_enrolment(login.enrolled.enrolment), backup_codes=CODES))


# ------------------------------------------------------------------ sign-in


def test_an_app_is_enrolled_on_one_page_and_its_secret_is_made_before_the_page() -> None:
    login = after(password(), login=begun(APP))
    assert pending(login)[:3] == (Effect.DRAFT, Effect.CHALLENGE, Step.REGISTER)


def test_a_correct_code_of_a_new_app_saves_the_app_and_opens_the_session() -> None:
    login = after(
        password(), Drafted(APP_DRAFT), waiting(factor=FactorKind.TOTP), proved_by(FactorKind.TOTP), login=begun(APP)
    )
    assert pending(login) == (Effect.SAVE, Effect.OPEN, Step.DONE)


def test_the_secret_of_a_new_app_is_made_once() -> None:
    login = after(password(), Drafted(APP_DRAFT), login=begun(APP))
    assert apply(login, Drafted(replace(APP_DRAFT, secret="another"))) == login


@pytest.mark.row("CC-13")
def test_a_user_with_an_app_is_not_asked_for_a_mail_address() -> None:
    login = after(password(APP_ENROLLED), login=begun(APP))
    assert pending(login)[:2] == (Effect.CHALLENGE, Step.VERIFY)


def test_with_several_factors_to_enrol_the_page_lets_the_user_pick() -> None:
    assert first(after(password(), login=begun(BOTH))) is Step.REGISTER


def test_the_picked_factor_is_enrolled() -> None:
    login = after(password(), Picked(FactorKind.TOTP), login=begun(BOTH))
    assert first(login) is Effect.DRAFT


def test_a_user_may_pick_another_factor_before_one_is_proved() -> None:
    login = after(password(), Picked(FactorKind.TOTP), Drafted(APP_DRAFT), Picked(None), login=begun(BOTH))
    assert (first(login), login.enrolling.draft) == (Step.REGISTER, None)


@pytest.mark.row("CC-04")
def test_the_first_enrolment_shows_backup_codes_before_the_session_opens() -> None:
    login = after(*FIRST_LOGIN, login=begun(CODES_TOO))
    assert pending(login) == (Effect.SAVE, Step.BACKUP_CODES, Effect.OPEN, Step.DONE)


@pytest.mark.row("CC-04")
def test_backup_codes_are_shown_only_once() -> None:
    login = after(*FIRST_LOGIN, login=begun(CODES_TOO))
    login = after(saved_with_codes(login), SEEN, login=login)
    assert pending(login) == (Effect.OPEN, Step.DONE)


@pytest.mark.row("CC-04")
def test_a_later_login_shows_no_backup_codes() -> None:
    enrolled = replace(ENROLLED, backup_codes=CODES)
    login = after(password(enrolled), sent(), proved(), login=begun(CODES_TOO))
    assert pending(login) == (Effect.OPEN, Step.DONE)


@pytest.mark.row("CC-21")
def test_where_a_factor_is_optional_a_user_without_one_signs_in_with_the_password() -> None:
    assert pending(after(password(), login=begun(OPTIONAL))) == (Effect.OPEN, Step.DONE)


@pytest.mark.row("CC-21")
def test_where_a_factor_is_optional_a_user_with_one_must_prove_it() -> None:
    assert step(after(password(APP_ENROLLED), login=begun(OPTIONAL))) is Step.VERIFY


@pytest.mark.row("CC-13")
@pytest.mark.parametrize("factor", [FactorKind.EMAIL, FactorKind.TOTP, FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE])
def test_one_page_accepts_the_code_of_any_factor(factor: FactorKind) -> None:
    enrolled = replace(BOTH_ENROLLED, backup_codes=CODES)
    login = after(password(enrolled), sent(), proved_by(factor), login=begun(replace(BOTH, admin_codes=True)))
    assert pending(login) == (Effect.OPEN, Step.DONE)


@pytest.mark.row("CC-12")
def test_in_a_trusted_browser_no_proof_is_requested() -> None:
    login = after(password(ENROLLED, trusted=True), login=begun(with_policy(trust_browser_days=30)))
    assert satisfied(login) == (Satisfied.TRUSTED, "trusted-browser")


@pytest.mark.row("CC-09")
def test_with_a_policy_of_every_login_a_trusted_browser_must_prove_too() -> None:
    assert step(after(password(ENROLLED, trusted=True))) is Step.VERIFY


# ------------------------------------------------------------------ sign-in with a due password


def due_until_changed(policy: Policy | None = None) -> Login:
    """A due password: the factor was proved, the password changed, tokens granted."""
    login = begun(policy or with_policy())
    return after(password(ENROLLED, due=True), sent(), proved(), PasswordChanged(2), NEW_TOKENS, login=login)


@pytest.mark.row("SI-10")
def test_a_due_password_is_changed_after_the_factor() -> None:
    login = after(password(ENROLLED, due=True), sent(), proved())
    assert pending(login) == (Step.NEW_PASSWORD,)


@pytest.mark.row("SI-10")
def test_a_due_password_is_not_changed_before_the_factor() -> None:
    login = after(password(ENROLLED, due=True), sent())
    assert apply(login, PasswordChanged(2)) == login


@pytest.mark.row("SI-10")
def test_after_a_new_password_a_second_proof_is_requested() -> None:
    assert pending(due_until_changed()) == (Effect.CHALLENGE, Step.VERIFY, Effect.OPEN, Step.DONE)


@pytest.mark.row("SI-10")
def test_the_proof_before_the_new_password_does_not_count_after_it() -> None:
    login = due_until_changed()
    assert apply(login, proved(0)) == login


@pytest.mark.row("SI-10")
def test_a_second_proof_after_the_new_password_opens_the_session() -> None:
    login = after(sent(1, of_round=1), proved_by(FactorKind.EMAIL, 1, of_round=1), login=due_until_changed())
    assert pending(login) == (Effect.OPEN, Step.DONE)


def test_a_new_user_with_a_due_password_enrols_changes_the_password_and_proves_the_factor() -> None:
    login = after(password(due=True), *FIRST_LOGIN[1:], login=begun(CODES_TOO))
    assert pending(login) == (Effect.SAVE, Step.BACKUP_CODES, Step.NEW_PASSWORD)
    login = after(saved_with_codes(login), SEEN, PasswordChanged(2), NEW_TOKENS, login=login)
    assert pending(login) == (Effect.CHALLENGE, Step.VERIFY, Effect.OPEN, Step.DONE)


@pytest.mark.attack("F18")
def test_with_2fa_off_a_due_password_is_changed_right_after_the_old_one() -> None:
    login = begun(with_policy(enabled=False))
    login = after(password(due=True), login=login)
    assert pending(login) == (Step.NEW_PASSWORD,)
    assert pending(after(PasswordChanged(2), NEW_TOKENS, login=login)) == (Effect.OPEN, Step.DONE)


@pytest.mark.attack("F18")
def test_a_due_password_of_a_user_without_a_required_proof_is_changed_right_after_the_old_one() -> None:
    login = after(password(due=True), login=begun(OPTIONAL))
    assert pending(login) == (Step.NEW_PASSWORD,)


@pytest.mark.attack("F18")
def test_a_trusted_browser_must_prove_while_a_password_is_due() -> None:
    policy = with_policy(trust_browser_days=30)
    assert step(after(password(ENROLLED, due=True, trusted=True), login=begun(policy))) is Step.VERIFY


@pytest.mark.attack("F18")
def test_a_trusted_browser_must_prove_again_after_the_new_password() -> None:
    policy = with_policy(trust_browser_days=30)
    events = (password(ENROLLED, due=True, trusted=True), sent(), proved(), PasswordChanged(2), NEW_TOKENS)
    assert step(after(*events, login=begun(policy))) is Step.VERIFY


def test_an_earlier_verified_session_replaces_no_proof_while_a_password_is_due() -> None:
    policy = with_policy(skip_when_verified=True)
    assert step(after(password(ENROLLED, due=True, verified=True), login=begun(policy))) is Step.VERIFY


def test_the_tokens_of_a_new_password_are_accepted_once() -> None:
    login = due_until_changed()
    assert apply(login, TokensGranted(replace(TOKENS, access="other"), USER)) == login


def test_new_tokens_are_accepted_only_after_a_new_password() -> None:
    login = after(password(ENROLLED, due=True), sent(), proved())
    assert apply(login, NEW_TOKENS) == login


# ------------------------------------------------------------------ enrol

ENROL = {"recent": True, "wanted": FactorKind.TOTP}


def enrolling(enrolments: EnrolmentSet, policy: Policy = OPTIONAL, **more: object) -> Login:
    """Begins "Set up" of an app on the account page."""
    return within(Purpose.ENROL, enrolments, policy, **{**ENROL, **more})


def test_setting_up_a_factor_needs_a_fresh_proof_of_an_existing_one() -> None:
    login = enrolling(ENROLLED)
    assert pending(login)[:2] == (Effect.CHALLENGE, Step.VERIFY)


@pytest.mark.row("CC-02")
def test_setting_up_a_first_factor_needs_the_password() -> None:
    assert first(enrolling(EnrolmentSet())) is Step.PASSWORD


def test_the_password_of_another_user_is_no_fresh_proof() -> None:
    login = enrolling(EnrolmentSet())
    other = replace(password(), user=User(id="u2", username="agent2"))
    assert apply(login, other) == login


def test_a_fresh_proof_leads_to_the_requested_factor() -> None:
    login = after(sent(), proved(), login=enrolling(ENROLLED))
    assert first(login) is Effect.DRAFT


def test_a_recent_proof_is_not_requested_again() -> None:
    assert first(enrolling(ENROLLED, fresh=True)) is Effect.DRAFT


@pytest.mark.row("CC-03")
def test_an_enrolled_app_is_saved_and_recorded_in_the_session() -> None:
    events = (Drafted(APP_DRAFT), waiting(factor=FactorKind.TOTP), proved_by(FactorKind.TOTP))
    login = after(*events, login=enrolling(ENROLLED, fresh=True))
    assert pending(login) == (Effect.SAVE, Effect.TOUCH, Step.DONE)


@pytest.mark.row("CC-03")
def test_an_app_without_a_correct_code_is_not_saved() -> None:
    login = after(Drafted(APP_DRAFT), waiting(factor=FactorKind.TOTP), login=enrolling(ENROLLED, fresh=True))
    assert (step(login), login.enrolled) == (Step.REGISTER, None)


@pytest.mark.row("CC-04")
def test_a_first_factor_set_up_shows_backup_codes() -> None:
    policy = replace(OPTIONAL, backup_codes=10)
    events = (password(), Drafted(APP_DRAFT), waiting(factor=FactorKind.TOTP), proved_by(FactorKind.TOTP))
    login = after(*events, login=enrolling(EnrolmentSet(), policy))
    assert pending(login) == (Effect.SAVE, Step.BACKUP_CODES, Effect.TOUCH, Step.DONE)


@pytest.mark.row("CC-04")
def test_a_second_factor_set_up_shows_no_backup_codes() -> None:
    policy = replace(OPTIONAL, backup_codes=10)
    events = (Drafted(APP_DRAFT), waiting(factor=FactorKind.TOTP), proved_by(FactorKind.TOTP))
    login = after(*events, login=enrolling(ENROLLED, policy, fresh=True))
    assert Step.BACKUP_CODES not in pending(login)


@pytest.mark.row("CC-02")
def test_an_address_is_set_up_in_a_session_by_the_pages_of_the_first_login() -> None:
    login = enrolling(APP_ENROLLED, wanted=FactorKind.EMAIL, fresh=True)
    assert pending(login)[:4] == (Step.REGISTER, Step.CONFIRM, Effect.CHALLENGE, Step.VERIFY)
    login = after(AddressGiven(DRAFT), AddressConfirmed(DRAFT), sent(), proved(), login=login)
    assert pending(login) == (Effect.SAVE, Effect.TOUCH, Step.DONE)


def test_the_proof_before_an_enrolment_enrols_nothing() -> None:
    login = after(sent(), proved(), login=enrolling(ENROLLED))
    assert (login.enrolled, login.verification.round) == (None, 1)


def test_with_2fa_off_a_fresh_proof_is_requested_from_users_who_have_a_factor() -> None:
    policy = replace(OPTIONAL, enabled=False)
    assert step(enrolling(ENROLLED, policy)) is Step.VERIFY


def test_a_trusted_browser_replaces_no_fresh_proof() -> None:
    policy = replace(OPTIONAL, trust_browser_days=30)
    assert step(enrolling(ENROLLED, policy, trusted=True)) is Step.VERIFY


# ------------------------------------------------------------------ step-up


def test_a_stricter_route_requires_the_factor() -> None:
    login = within(Purpose.STEP_UP, ENROLLED)
    assert pending(login) == (Effect.CHALLENGE, Step.VERIFY, Effect.TOUCH, Step.DONE)


def test_a_stricter_route_lets_a_user_without_a_factor_enrol() -> None:
    login = within(Purpose.STEP_UP, EnrolmentSet())
    assert pending(login)[0] is Step.REGISTER
    login = after(AddressGiven(DRAFT), AddressConfirmed(DRAFT), sent(), proved(), login=login)
    assert pending(login) == (Effect.SAVE, Effect.TOUCH, Step.DONE)


def test_a_stricter_route_never_accepts_a_password() -> None:
    login = within(Purpose.STEP_UP, ENROLLED)
    assert apply(login, password(ENROLLED)) == login


def test_a_trusted_browser_satisfies_a_stricter_route() -> None:
    login = within(Purpose.STEP_UP, ENROLLED, with_policy(trust_browser_days=30), trusted=True)
    assert pending(login) == (Effect.TOUCH, Step.DONE)


def test_the_fresh_proof_of_a_user_without_a_factor_is_the_password() -> None:
    login = within(Purpose.STEP_UP, EnrolmentSet(), recent=True)
    assert pending(login) == (Step.PASSWORD, Effect.TOUCH, Step.DONE)


def test_a_fresh_proof_needs_a_factor_even_in_a_trusted_browser() -> None:
    policy = with_policy(trust_browser_days=30)
    assert step(within(Purpose.STEP_UP, ENROLLED, policy, recent=True, trusted=True)) is Step.VERIFY


def test_a_fresh_proof_is_recorded_in_the_session() -> None:
    login = after(sent(), proved(), login=within(Purpose.STEP_UP, ENROLLED, recent=True))
    assert pending(login) == (Effect.TOUCH, Step.DONE)
    assert step(after(OPENED, login=login)) is Step.DONE


def test_a_fresh_proof_accepts_any_factor_that_the_tenant_still_offers() -> None:
    login = within(Purpose.STEP_UP, APP_ENROLLED, recent=True)  # the tenant now offers e-mail only
    login = after(waiting(factor=FactorKind.TOTP), proved_by(FactorKind.TOTP), login=login)
    assert pending(login) == (Effect.TOUCH, Step.DONE)


def test_an_address_that_can_no_longer_receive_mail_is_no_fresh_proof() -> None:
    assert first(within(Purpose.STEP_UP, ENROLLED, APP, recent=True)) is Step.PASSWORD


# ------------------------------------------------------------------ the end


def test_after_saving_the_login_continues_with_the_saved_enrolments() -> None:
    login = after(*FIRST_LOGIN)
    assert after(saved(login), login=login).enrolments.version == 1
