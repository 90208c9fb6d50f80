"""Tests of the addresses of a user that count, and of the help path of a user without one."""

from dataclasses import replace

import pytest

from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import ChoosePage, FactorKind, Method, NoContact, RegistrationContact
from gateway.domain.problem import Problem
from gateway.domain.session import DecidedBy
from gateway.domain.tenant import PhoneNumbers
from gateway.domain.user import Contact, User
from gateway.second_factor.requirement import SignInRefused, UserFactors, contacts_of, decide, methods_of, takes_address
from gateway.settings.presets import PRESETS

METHODS = (Method(FactorKind.EMAIL, "otp@example.com"), Method(FactorKind.SMS, "sms"))
FROM_PROFILE = replace(
    PRESETS["efcx"].policy,
    methods=METHODS,
    registration_contact=RegistrationContact.PROFILE,
    on_no_contact=NoContact.PATH,
    no_contact_path="/help",
    choose_page=ChoosePage.COMBINED,
)
PROFILE = (Contact(FactorKind.EMAIL, "anna@example.com", verified=True),)


def user_of(*enrolments: Enrolment, contacts: tuple[Contact, ...] = PROFILE) -> UserFactors:
    """Returns a user with these enrolments and contacts, of whom nothing skips the factor."""
    return UserFactors(EnrolmentSet(1, enrolments), contacts, trusted=False, verified=False)


def test_the_profile_address_is_no_second_method_next_to_an_enrolled_address() -> None:
    registered = Enrolment(FactorKind.EMAIL, "registered@example.com")
    assert methods_of(FROM_PROFILE, user_of(registered)) == (registered,)


def test_a_verified_profile_address_is_a_method_where_no_address_is_enrolled() -> None:
    assert methods_of(FROM_PROFILE, user_of()) == (Enrolment(FactorKind.EMAIL, "anna@example.com"),)


def test_where_any_address_may_be_enrolled_the_profile_address_is_no_method() -> None:
    policy = replace(FROM_PROFILE, registration_contact=RegistrationContact.ANY)
    assert methods_of(policy, user_of()) == ()


@pytest.mark.parametrize("typed", ["anna@example.com", "Anna@Example.COM"])
def test_a_known_address_is_recognised_in_any_case(typed: str) -> None:
    assert takes_address(FROM_PROFILE, PROFILE, FactorKind.EMAIL, typed)


def test_an_unverified_profile_address_may_not_be_enrolled() -> None:
    unverified = tuple(replace(contact, verified=False) for contact in PROFILE)
    assert not takes_address(FROM_PROFILE, unverified, FactorKind.EMAIL, "anna@example.com")


def test_a_user_without_an_address_is_refused_with_the_tenants_help_path() -> None:
    found = decide(FROM_PROFILE, user_of(contacts=()), route_asks=True)
    assert found == SignInRefused(DecidedBy.NO_CONTACT, Problem.NO_CONTACT, "/help")


@pytest.mark.parametrize(
    ("profile", "contact"),
    [
        ("Anna@BÜCHER.example", "Anna@xn--bcher-kva.example"),
        ("anna@xn--bcher-kva.example", "anna@xn--bcher-kva.example"),
        ("anna@cc.example", "anna@cc.example"),
        ("anna@mailhost", None),
        ("ännä@cc.example", None),
        ("", None),
    ],
)
def test_a_profile_address_is_known_in_the_spelling_used_for_sending(profile: str, contact: str | None) -> None:
    found = contacts_of(User("u1", "anna", profile, True), PhoneNumbers())
    assert [one.address for one in found] == ([contact] if contact else [])
    assert not contact or takes_address(FROM_PROFILE, found, FactorKind.EMAIL, contact)


@pytest.mark.row("SI-11")
@pytest.mark.parametrize(
    ("in_profile", "contact"),
    [("0300 1234567", "+923001234567"), ("923001234567", "+923001234567"), ("+1 900 555 0100", None), ("", None)],
)
def test_a_profile_number_is_known_in_the_form_used_for_sending(in_profile: str, contact: str | None) -> None:
    user = User("u1", "anna", phone=in_profile, phone_verified=True)
    known = contacts_of(user, PhoneNumbers(region="PK"))
    assert known == ((Contact(FactorKind.SMS, contact, True),) if contact else ())


@pytest.mark.attack("F3", "F4")
def test_a_profile_number_that_users_may_edit_is_no_verified_contact() -> None:
    user = User("u1", "anna", phone="0300 1234567", phone_verified=False)
    (known,) = contacts_of(user, PhoneNumbers(region="PK"))
    assert not takes_address(FROM_PROFILE, (known,), FactorKind.SMS, known.address)
