"""Tests of the forms that the account page accepts."""

import pytest

from gateway.crypto.key_ring import Key, KeyRing, Signer
from gateway.login.login_request import of_account_page
from gateway.observe.audit import Audit, RequestAudit
from gateway.web.csrf import LOGIN, PURPOSE, Csrf, account_act
from gateway.web.endpoint import OwnRequest
from tests.fixtures import page_states as states
from tests.fixtures.clock import FakeClock

TENANT, SESSION = states.tenant(), states.session()
CSRF = Csrf(Signer(KeyRing((Key("00000001", b"k" * 32),)), PURPOSE))


def counts(fields: dict[str, str], origin: str = "https://cc.example.com") -> bool:
    """Returns whether the gateway accepts a form with these fields, posted by a page of `origin`."""
    asked = states.request("/-/login", method="POST", of=TENANT, headers={"Origin": origin})
    audit = RequestAudit(Audit(FakeClock()), TENANT.id, "192.0.2.1", "r", "REF")
    return of_account_page(OwnRequest(asked, TENANT, "/-/", audit, CSRF, {}, fields), SESSION)


def form(of_version: int = 3) -> dict[str, str]:
    """Returns the form that turns the app off, as the account page of this version has it."""
    token = CSRF.token(TENANT, SESSION.id, *account_act("turn-off", "totp", of_version))
    return {"csrf": token, "act": "turn-off", "factor": "totp", "version": str(of_version)}


@pytest.mark.row("GW-46")
def test_the_form_of_the_users_account_page_is_accepted() -> None:
    assert counts(form())


@pytest.mark.row("GW-46")
def test_a_form_of_another_origin_is_rejected() -> None:
    assert not counts(form(), "https://evil.example")


@pytest.mark.row("GW-46")
@pytest.mark.parametrize(
    "changes",
    [
        {"act": "new-codes"},
        {"act": "enrol"},
        {"factor": "email"},
        {"factor": ""},
        {"version": "4"},
        {"version": "2"},
        {"csrf": ""},
        {"csrf": CSRF.token(TENANT, "another session", *account_act("turn-off", "totp", 3))},
        {"csrf": CSRF.token(TENANT, SESSION.id, LOGIN)},
    ],
    ids=lambda changes: "/".join(f"{name} {value[:16]}" for name, value in changes.items()),
)
def test_a_csrf_token_is_accepted_only_for_its_act_factor_version_and_session(changes: dict[str, str]) -> None:
    assert not counts({**form(), **changes})


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("version", ["", "-3", "3.0", " 3", "+3", "3\n", "٣", "³", "three", "0x3", "9" * 19])
def test_an_invalid_version_is_rejected(version: str) -> None:
    assert not counts({**form(), "version": version})


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("version", ["0" * 18 + "7", "0" * 18 + "7" * 5000], ids=len)
def test_a_token_of_version_0_is_rejected_for_a_version_with_many_leading_zeros(version: str) -> None:
    assert counts(form(0))
    assert not counts({**form(0), "version": version})


def test_a_form_without_fields_is_rejected() -> None:
    assert not counts({})
