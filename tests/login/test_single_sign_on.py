"""Tests of a login whose user signs in on Keycloak's own page."""

from dataclasses import fields, replace

import pytest

from gateway.domain.session import DecidedBy, Satisfied
from gateway.login.record import Login, PasswordRight, SignedInAtProvider
from gateway.login.state_machine import Effect, Step
from tests.fixtures.event_scripts import ENROLLED, after, begun, first, password, pending, satisfied

pytestmark = [pytest.mark.row("GW-06"), pytest.mark.row("SI-08")]


def sso() -> Login:
    """Returns a login at its beginning."""
    return replace(begun(), sso=True)


def signed_in(right: PasswordRight, factor: str = "") -> SignedInAtProvider:
    """Returns the same event for a sign-in at Keycloak."""
    return SignedInAtProvider(**{one.name: getattr(right, one.name) for one in fields(right)}, factor=factor)


def test_a_login_begins_on_the_page_that_leads_to_keycloak() -> None:
    assert pending(sso()) == (Step.SSO,)


def test_a_user_who_signed_in_at_keycloak_enters_a_code() -> None:
    assert pending(after(signed_in(password(ENROLLED)), login=sso())) == (
        Effect.CHALLENGE,
        Step.VERIFY,
        Effect.OPEN,
        Step.DONE,
    )


def test_a_password_does_not_count_in_a_login_of_single_sign_on() -> None:
    assert first(after(password(ENROLLED), login=sso())) is Step.SSO


def test_a_sign_in_at_keycloak_does_not_count_in_a_login_by_password() -> None:
    assert first(after(signed_in(password(ENROLLED), "acr=2"))) is Step.PASSWORD


@pytest.mark.parametrize("right", [password(ENROLLED), password()])
def test_a_second_factor_at_keycloak_replaces_code_and_enrolment(right: PasswordRight) -> None:
    login = after(signed_in(right, "acr=2"), login=sso())
    assert pending(login) == (Effect.OPEN, Step.DONE)
    assert satisfied(login) == (Satisfied.NOT_ASKED, DecidedBy.IDENTITY_PROVIDER.value)


def test_a_second_factor_at_keycloak_does_not_replace_the_proof_for_an_act() -> None:
    login = replace(after(signed_in(password(ENROLLED), "acr=2"), login=sso()), recent=True)
    assert Step.VERIFY in pending(login)
