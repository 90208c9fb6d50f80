"""Tests of `gateway.rendering.step_view`."""

from dataclasses import fields

from gateway.rendering.step_view import MethodView, as_json
from tests.fixtures import page_states as states

COMMON = {
    "step", "problem", "factor", "sent_to", "digits", "expires_in", "resend_in", "attempts_left", "methods", "csrf",
    "to", "purpose", "login", "round", "form",
}  # fmt: skip


def test_every_step_has_the_documented_json_keys() -> None:
    for step in ("password", "register", "confirm", "choose", "verify", "new-password", "stopped"):
        assert as_json(states.view(step), None).keys() >= COMMON


def test_times_are_whole_seconds_from_now_and_never_negative() -> None:
    body = as_json(states.verify(expires_at=states.NOW + 59.1, resend_at=states.NOW - 5), None)
    assert (body["expires_in"], body["resend_in"]) == (60, 0)


def test_a_step_without_a_code_has_null_for_it() -> None:
    body = as_json(states.view("password"), None)
    assert (body["expires_in"], body["resend_in"], body["sent_to"]) == (None, None, None)


def test_the_code_step_never_contains_the_typed_address() -> None:
    assert "address" not in as_json(states.verify(), None)


def test_only_the_enrolment_of_an_app_contains_a_secret() -> None:
    view = states.totp_view()
    assert as_json(view, None)["otpauth"].startswith("otpauth://totp/")
    assert "secret" not in as_json(states.view("register"), None)


def test_the_backup_codes_step_has_codes_and_the_done_step_a_location() -> None:
    assert as_json(states.view("backup-codes", file=states.kept("aaaa")), None)["codes"] == ["aaaa"]
    assert as_json(states.view("done", location="/unified-admin/"), None)["location"] == "/unified-admin/"


def test_the_json_of_an_act_that_shows_backup_codes_contains_them() -> None:
    view = states.view("done", act="show-codes", location="/-/account", codes=["aaaa"])
    assert as_json(view, None)["codes"] == ["aaaa"]
    assert "codes" not in as_json(states.view("done", act="turn-off", location="/-/account"), None)


def test_login_round_and_form_are_text_as_a_form_sends_them() -> None:
    body = as_json(states.view("verify", login="l1", round=2, form="f1"), None)
    assert (body["login"], body["round"], body["form"]) == ("l1", "2", "f1")


def test_the_json_names_the_act_and_its_target() -> None:
    body = as_json(states.view("verify", act="turn-off", act_on="totp"), None)
    assert (body["act"], body["act_on"]) == ("turn-off", "totp")
    assert as_json(states.view("verify", act="new-codes"), None)["act_on"] is None
    assert not {"act", "act_on"} & as_json(states.view("verify"), None).keys()


def test_the_json_says_that_the_current_password_is_required_too() -> None:
    assert as_json(states.view("new-password", asks_current=True), None)["asks_current"] is True
    assert "asks_current" not in as_json(states.view("new-password"), None)


def test_methods_are_named_and_masked() -> None:
    view = states.view("choose", methods=(MethodView("email", "Code by email", "a***@e***.com"),))
    assert as_json(view, None)["methods"] == [{"factor": "email", "label": "Code by email", "sent_to": "a***@e***.com"}]


def test_the_repr_of_a_view_shows_no_secret() -> None:
    view = states.totp_view()
    assert view.totp_secret not in repr(view)
    hidden = {f.name for of in states.VIEWS.values() for f in fields(of) if not f.repr}
    assert hidden == {"totp_secret", "otpauth", "codes"}


def test_a_secret_is_shown_in_groups_of_four() -> None:
    assert states.totp_view(totp_secret="ABCDEFGHIJ").secret_groups == ("ABCD", "EFGH", "IJ")
