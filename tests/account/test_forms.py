"""Which forms count as a button of the account page?"""

import pytest

from gateway.crypto.sealing import Key, KeyRing
from gateway.crypto.signing import Signer
from gateway.login.login_request import of_account_page
from gateway.observe.audit import Audit, RequestAudit
from gateway.web.csrf import LOGIN, PURPOSE, Csrf, account_act
from gateway.web.endpoint import OwnRequest
from tests.clock import FakeClock
from tests.rendering import states

TENANT, SESSION = states.tenant(), states.session()
CSRF = Csrf(Signer(KeyRing((Key("00000001", b"k" * 32),)), PURPOSE))


def counts(fields: dict[str, str], origin: str = "https://cc.example.com") -> bool:
    """Whether a form with these fields, posted by a page of `origin`, is taken."""
    asked = states.request("/-/login", method="POST", of=TENANT, headers={"Origin": origin})
    audit = RequestAudit(Audit(FakeClock()), TENANT.id, "192.0.2.1", "r", "REF")
    return of_account_page(OwnRequest(asked, TENANT, "/-/", audit, CSRF, {}, fields), SESSION)


def form(of_version: int = 3) -> dict[str, str]:
    """The form that turns the app off, as the page of this version has it."""
    token = CSRF.token(TENANT, SESSION.id, *account_act("turn-off", "totp", of_version))
    return {"csrf": token, "act": "turn-off", "factor": "totp", "version": str(of_version)}


@pytest.mark.row("GW-46")
def test_the_form_of_the_sessions_own_page_counts() -> None:
    assert counts(form())


@pytest.mark.row("GW-46")
def test_a_form_of_another_origin_does_not_count() -> None:
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
def test_a_token_counts_for_what_it_was_made_for_only(changes: dict[str, str]) -> None:
    assert not counts({**form(), **changes})


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("version", ["", "-3", "3.0", " 3", "+3", "3\n", "٣", "³", "three", "0x3", "9" * 19])
def test_what_is_no_version_does_not_count(version: str) -> None:
    assert not counts({**form(), "version": version})


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("version", ["0" * 18 + "7", "0" * 18 + "7" * 5000], ids=len)
def test_a_token_of_version_0_is_none_of_a_version_that_begins_with_many_zeros(version: str) -> None:
    assert counts(form(0))
    assert not counts({**form(0), "version": version})


def test_a_form_without_any_field_does_not_count() -> None:
    assert not counts({})
