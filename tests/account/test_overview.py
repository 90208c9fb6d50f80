"""Tests of `gateway.account.overview`."""

import pytest

from gateway.account.overview import Overview, overview
from gateway.domain.enrolment import Enrolment, EnrolmentSet
from gateway.domain.policy import EnrolmentRule, FactorKind, Method, Policy
from tests.fixtures import page_states as states

EMAIL, APP = FactorKind.EMAIL, FactorKind.TOTP
LANGUAGE = states.pages().languages.get("en")


def seen(*on: FactorKind, rule: EnrolmentRule = EnrolmentRule.OPTIONAL, codes: int = 0, kept: int = 10) -> Overview:
    """Returns the account page of a user with the methods `on` and that number of unused backup codes."""
    policy = Policy("cloudcx", True, (Method(EMAIL, "otp@example.com"), Method(APP)), enrolment=rule, backup_codes=kept)
    addresses = {EMAIL: "amira@example.com"}
    enrolments = EnrolmentSet(
        enrolments=tuple(Enrolment(kind, addresses.get(kind, "")) for kind in on),
        backup_codes=states.BACKUP_CODES[:codes],
    )
    return overview(policy, states.session(), enrolments, LANGUAGE)


@pytest.mark.row("CC-01")
def test_each_method_of_the_tenant_has_a_row_in_the_tenants_order() -> None:
    assert [(row.factor, row.on) for row in seen(APP).methods] == [("email", False), ("totp", True)]


@pytest.mark.row("EF-20")
def test_a_method_that_a_service_manages_is_on_for_every_user_and_cannot_be_changed() -> None:
    policy = Policy("efcx", True, (Method(FactorKind.RSA, "rsa"),), backup_codes=10)
    page = overview(policy, states.session(), EnrolmentSet(), LANGUAGE)
    [row] = page.methods
    assert (row.on, row.managed, row.may_turn_off) == (True, True, False)
    assert (page.suggests, page.codes_left, page.last_stays) == (False, None, False)


def test_an_address_is_shown_masked() -> None:
    assert seen(EMAIL).methods[0].sent_to == "am•••@example.com"


@pytest.mark.row("CC-21")
def test_the_account_page_says_that_a_user_has_no_method() -> None:
    page = seen()
    assert (page.suggests, page.codes_left, page.last_stays) == (True, None, False)


@pytest.mark.row("CC-21")
@pytest.mark.parametrize(("rule", "free"), [(EnrolmentRule.OPTIONAL, True), (EnrolmentRule.REQUIRED, False)])
def test_a_user_may_turn_off_the_last_method_only_if_none_is_required(rule: EnrolmentRule, *, free: bool) -> None:
    page = seen(EMAIL, rule=rule)
    assert page.methods[0].may_turn_off is free
    assert page.last_stays is not free
    assert all(row.may_turn_off for row in seen(EMAIL, APP, rule=rule).methods)


@pytest.mark.row("CC-07")
def test_the_number_of_unused_backup_codes_is_shown_only_where_the_tenant_has_backup_codes() -> None:
    assert seen(EMAIL, codes=3).codes_left == 3
    assert seen(EMAIL).codes_left == 0
    assert seen(EMAIL, kept=0).codes_left is None


def test_a_method_that_the_tenant_no_longer_offers_does_not_count_as_a_remaining_method() -> None:
    page = seen(APP, FactorKind.SMS, rule=EnrolmentRule.REQUIRED)
    assert [row.may_turn_off for row in page.methods] == [False, False]
