"""Tests of the pending proof: the approval of an enrolment, the methods of an entry, and the message to send."""

from dataclasses import replace

import pytest

from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import ChoosePage, FactorKind, Registration
from gateway.domain.user import Contact
from gateway.login import pending_proof
from gateway.login.record import (
    AddressConfirmed,
    AddressGiven,
    Drafted,
    Enrolled,
    Login,
    Picked,
    Purpose,
    SecretWithdrawn,
)
from gateway.login.state_machine import Effect, Step
from tests.fixtures.event_scripts import (
    ADDRESS,
    APP_DRAFT,
    APP_ENROLLED,
    BOTH_ENROLLED,
    CODES,
    DRAFT,
    EMAIL,
    ENROLLED,
    TOTP,
    after,
    apply,
    begun,
    first,
    password,
    pending,
    proof,
    proved,
    proved_by,
    satisfied,
    sent,
    step,
    waiting,
    with_policy,
    within,
)

PROFILE = "profile@example.com"
GUARDED = with_policy(methods=(EMAIL, TOTP), registration=Registration.GUARDED)
KNOWN = (Contact(FactorKind.EMAIL, PROFILE, verified=True),)
SAME = (Contact(FactorKind.EMAIL, ADDRESS.upper(), verified=True),)
UNVERIFIED = (Contact(FactorKind.EMAIL, PROFILE, verified=False),)
TYPED = Enrolment(FactorKind.EMAIL, ADDRESS)
APP = Enrolment(FactorKind.TOTP, secret="made up")

OPEN, GUARD, ADMIN = Registration.OPEN, Registration.GUARDED, Registration.ADMIN_CODE
# registration setting, profile address, due password, in the grace period, the enrolment -> needs an approval
CASES = [
    (OPEN, (), True, False, TYPED, False),
    (OPEN, KNOWN, True, False, APP, False),
    (ADMIN, (), False, True, TYPED, True),
    (ADMIN, SAME, False, True, TYPED, True),
    (GUARD, KNOWN, False, True, TYPED, True),
    (GUARD, KNOWN, False, False, TYPED, True),
    (GUARD, KNOWN, False, True, APP, True),
    (GUARD, SAME, False, False, TYPED, False),
    (GUARD, SAME, False, True, APP, True),
    (GUARD, SAME, True, True, TYPED, True),
    (GUARD, (), False, True, TYPED, False),
    (GUARD, (), False, True, APP, False),
    (GUARD, (), False, False, TYPED, True),
    (GUARD, (), False, False, APP, True),
    (GUARD, (), True, True, TYPED, True),
    (GUARD, UNVERIFIED, False, True, TYPED, False),
    (GUARD, UNVERIFIED, False, False, TYPED, True),
    (GUARD, KNOWN, True, True, TYPED, True),
]


def login(
    registration: Registration, contacts: tuple[Contact, ...], *, due: bool = False, open_registration: bool = True
) -> Login:
    """Returns a login of a new user with a correct password."""
    policy = replace(GUARDED, registration=registration)
    right = password(contacts=contacts, due=due, open_registration=open_registration)
    return after(right, login=begun(policy))


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
@pytest.mark.parametrize(("registration", "contacts", "due", "window", "new", "needed"), CASES)
def test_approval_is_required_for_the_users_that_the_policy_names(
    registration: Registration, contacts: tuple[Contact, ...], due: bool, window: bool, new: Enrolment, needed: bool
) -> None:
    asked = login(registration, contacts, due=due, open_registration=window)
    assert pending_proof.needs_approval(asked, new) is needed


@pytest.mark.row("GW-27")
@pytest.mark.parametrize("registration", list(Registration))
def test_a_user_who_proved_a_factor_needs_no_approval_for_another(registration: Registration) -> None:
    policy = replace(GUARDED, registration=registration)
    asked = within(Purpose.ENROL, ENROLLED, policy, contacts=KNOWN, recent=True, wanted=FactorKind.TOTP)
    assert not pending_proof.needs_approval(after(sent(), proved(), login=asked), APP)


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
@pytest.mark.parametrize("registration", [GUARD, ADMIN])
def test_a_factor_proved_at_the_sign_in_replaces_no_approval(registration: Registration) -> None:
    policy = replace(GUARDED, registration=registration)
    asked = within(Purpose.SIGN_IN, ENROLLED, policy, contacts=KNOWN)
    assert pending_proof.needs_approval(after(sent(), proved(), login=asked), APP)


@pytest.mark.row("GW-27", "EF-22")
@pytest.mark.attack("F5")
@pytest.mark.parametrize("registration", [GUARD, ADMIN])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_an_address_of_a_channel_that_the_tenant_no_longer_has_approves_no_new_factor(
    registration: Registration, purpose: Purpose
) -> None:
    policy = with_policy(methods=(TOTP,), registration=registration)
    asked = within(purpose, ENROLLED, policy, contacts=KNOWN)
    assert pending_proof.needs_approval(asked, APP)


@pytest.mark.row("GW-27", "EF-22")
@pytest.mark.attack("F5")
def test_an_app_that_the_tenant_no_longer_offers_approves_an_address_only_if_it_was_proved() -> None:
    assert pending_proof.needs_approval(within(Purpose.SIGN_IN, APP_ENROLLED, GUARDED, contacts=KNOWN), TYPED)
    asked = within(Purpose.ENROL, APP_ENROLLED, GUARDED, contacts=KNOWN, recent=True, wanted=FactorKind.EMAIL)
    proving = after(waiting(factor=FactorKind.TOTP), proved_by(FactorKind.TOTP), login=asked)
    assert not pending_proof.needs_approval(proving, TYPED)


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
@pytest.mark.parametrize("purpose", [Purpose.ENROL, Purpose.STEP_UP])
def test_a_first_factor_needs_approval_inside_a_session_too(purpose: Purpose) -> None:
    asked = within(purpose, EnrolmentSet(), GUARDED, contacts=KNOWN, recent=True, fresh=True)
    assert pending_proof.needs_approval(asked, TYPED)


def registered(
    registration: Registration = GUARD, contacts: tuple[Contact, ...] = KNOWN, *, due: bool = False
) -> Login:
    """The typed address was proved after the grace period; the approval is pending."""
    events = (Picked(FactorKind.EMAIL), AddressGiven(DRAFT), AddressConfirmed(DRAFT), sent(), proved())
    return after(*events, login=login(registration, contacts, due=due, open_registration=False))


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
def test_a_proved_address_is_not_saved_before_its_approval() -> None:
    assert pending(registered())[:2] == (Effect.CHALLENGE, Step.VERIFY)
    assert registered().enrolled is None


@pytest.mark.row("GW-27")
def test_the_approval_code_is_sent_to_the_verified_profile_address() -> None:
    assert proof(registered()).message == Enrolment(FactorKind.EMAIL, PROFILE)


@pytest.mark.row("GW-27")
def test_an_administrators_code_approves_also_where_there_is_a_profile_address() -> None:
    waited = after(sent(1, address=PROFILE, of_round=1), login=registered())
    assert first(after(proved_by(FactorKind.ADMIN_CODE, 1, of_round=1), login=waited)) is Effect.SAVE


@pytest.mark.row("GW-27")
@pytest.mark.parametrize("contacts", [(), UNVERIFIED])
def test_without_a_verified_address_only_an_administrator_approves(contacts: tuple[Contact, ...]) -> None:
    asked = registered(contacts=contacts)
    assert asked.enrolling.awaiting_approval
    assert (proof(asked).methods, proof(asked).extras) == ((), (FactorKind.ADMIN_CODE,))


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
@pytest.mark.parametrize("contacts", [KNOWN, SAME])
def test_for_a_due_password_only_an_administrator_approves(contacts: tuple[Contact, ...]) -> None:
    asked = registered(contacts=contacts, due=True)
    assert asked.enrolling.awaiting_approval
    assert (proof(asked).methods, proof(asked).extras) == ((), (FactorKind.ADMIN_CODE,))


@pytest.mark.row("GW-27")
def test_where_only_administrators_approve_nothing_is_sent_to_the_profile_address() -> None:
    asked = registered(ADMIN)
    assert (proof(asked).methods, proof(asked).extras) == ((), (FactorKind.ADMIN_CODE,))


@pytest.mark.row("GW-27")
@pytest.mark.attack("F5")
def test_the_code_sent_to_the_typed_address_is_no_approval() -> None:
    assert apply(registered(), proved(0)) == registered()
    assert apply(registered(), sent(1, address=ADDRESS)) == registered()


@pytest.mark.row("GW-27")
def test_a_correct_approval_saves_the_typed_address() -> None:
    approved = after(
        sent(1, address=PROFILE, of_round=1), proved_by(FactorKind.EMAIL, 1, of_round=1), login=registered()
    )
    assert (first(approved), approved.enrolled) == (Effect.SAVE, Enrolled(TYPED, first=True))


@pytest.mark.row("GW-27")
def test_an_app_enrolment_waits_for_approval_like_an_address() -> None:
    events = (Picked(FactorKind.TOTP), Drafted(APP_DRAFT), waiting(factor=FactorKind.TOTP), proved_by(FactorKind.TOTP))
    asked = after(*events, login=login(GUARD, KNOWN))
    assert (step(asked), proof(asked).message) == (Step.VERIFY, Enrolment(FactorKind.EMAIL, PROFILE))


@pytest.mark.attack("F5")
def test_a_proved_address_cannot_be_edited_while_it_waits_for_approval() -> None:
    asked = after(sent(1, address=PROFILE, of_round=1), login=registered())
    assert apply(asked, AddressGiven(None)) == asked


# ------------------------------------------------------------------ methods and extras

COMBINED = with_policy(methods=(EMAIL, TOTP), choose_page=ChoosePage.COMBINED, admin_codes=True, backup_codes=10)


def test_backup_codes_are_accepted_only_from_users_who_have_some() -> None:
    without = after(password(BOTH_ENROLLED), login=begun(COMBINED))
    some = after(password(replace(BOTH_ENROLLED, backup_codes=CODES)), login=begun(COMBINED))
    assert proof(without).extras == (FactorKind.ADMIN_CODE,)
    assert proof(some).extras == (FactorKind.BACKUP_CODE, FactorKind.ADMIN_CODE)


@pytest.mark.row("CC-16")
def test_administrators_codes_are_accepted_on_the_code_page_where_they_are_on() -> None:
    assert proof(after(password(ENROLLED), login=begun(replace(COMBINED, admin_codes=False)))).extras == ()
    assert proof(after(password(ENROLLED), login=begun(COMBINED))).extras == (FactorKind.ADMIN_CODE,)


def test_neither_backup_codes_nor_administrators_codes_enrol_a_factor() -> None:
    asked = after(password(), Picked(FactorKind.TOTP), Drafted(APP_DRAFT), login=begun(COMBINED))
    assert proof(asked).extras == ()


@pytest.mark.row("CC-13")
def test_a_code_is_mailed_at_once_where_mail_is_the_only_method() -> None:
    assert proof(after(password(ENROLLED), login=begun(COMBINED))).sends_at_once


@pytest.mark.row("CC-13")
def test_a_code_is_mailed_on_request_where_the_user_also_has_an_app() -> None:
    assert not proof(after(password(BOTH_ENROLLED), login=begun(COMBINED))).sends_at_once


@pytest.mark.row("EF-10")
def test_without_a_combined_page_only_the_tenants_one_method_is_accepted() -> None:
    asked = after(password(BOTH_ENROLLED), login=begun(with_policy(methods=(TOTP,))))
    assert [m.factor for m in proof(asked).methods] == [FactorKind.TOTP]


@pytest.mark.row("EF-10")
def test_without_a_combined_page_only_the_tenants_first_method_is_requested() -> None:
    asked = after(password(BOTH_ENROLLED), login=begun(with_policy(methods=(TOTP, EMAIL))))
    assert [m.factor for m in proof(asked).methods] == [FactorKind.TOTP]


def test_an_entry_counts_against_all_factors_only_on_the_combined_page() -> None:
    assert proof(after(password(BOTH_ENROLLED), login=begun(COMBINED))).takes_any
    assert not proof(after(password(), Picked(FactorKind.TOTP), login=begun(COMBINED))).takes_any


def test_the_rule_that_made_a_proof_unnecessary_is_recorded() -> None:
    assert satisfied(after(password(), login=begun(with_policy(enabled=False))))[1] == "2fa-off"


@pytest.mark.row("GW-27")
def test_an_app_secret_that_was_proved_and_waits_for_approval_is_not_withdrawn() -> None:
    events = (Picked(FactorKind.TOTP), Drafted(APP_DRAFT), waiting(factor=FactorKind.TOTP), proved_by(FactorKind.TOTP))
    waits = after(*events, login=login(GUARD, KNOWN, open_registration=False))
    assert waits.enrolling.draft == APP_DRAFT
    assert step(waits) is Step.VERIFY
    assert after(SecretWithdrawn(), login=waits) == waits


def test_where_no_app_secret_was_made_none_is_withdrawn() -> None:
    chosen = after(Picked(FactorKind.EMAIL), login=login(GUARD, KNOWN))
    assert step(chosen) is Step.REGISTER
    assert after(SecretWithdrawn(), login=chosen) == chosen
