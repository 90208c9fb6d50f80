"""Facts of ``gateway.rendering.step_view``."""

from dataclasses import fields

from gateway.rendering.step_view import MethodView, as_json
from tests.rendering import states

COMMON = {
    "step", "problem", "factor", "sent_to", "digits", "expires_in", "resend_in", "attempts_left", "methods", "csrf",
    "to", "purpose", "login", "round", "form",
}  # fmt: skip


def test_every_step_has_the_keys_of_the_public_surface() -> None:
    for step in ("password", "register", "confirm", "choose", "verify", "new-password", "stopped"):
        assert as_json(states.view(step), None).keys() >= COMMON


def test_times_are_whole_seconds_from_now_and_never_negative() -> None:
    body = as_json(states.verify(expires_at=states.NOW + 59.1, resend_at=states.NOW - 5), None)
    assert (body["expires_in"], body["resend_in"]) == (60, 0)


def test_a_step_without_a_code_says_so_with_null() -> None:
    body = as_json(states.view("password"), None)
    assert (body["expires_in"], body["resend_in"], body["sent_to"]) == (None, None, None)


def test_the_code_step_never_holds_the_typed_address() -> None:
    assert "address" not in as_json(states.verify(), None)


def test_only_the_app_registration_shows_a_secret() -> None:
    view = states.totp_view()
    assert as_json(view, None)["otpauth"].startswith("otpauth://totp/")
    assert "secret" not in as_json(states.view("register"), None)


def test_backup_codes_and_done_have_what_belongs_to_them() -> None:
    assert as_json(states.view("backup-codes", codes=["aaaa"]), None)["codes"] == ["aaaa"]
    assert as_json(states.view("done", location="/unified-admin/"), None)["location"] == "/unified-admin/"


def test_a_program_is_given_the_backup_codes_that_an_act_shows() -> None:
    view = states.view("done", act="show-codes", location="/-/account", codes=["aaaa"])
    assert as_json(view, None)["codes"] == ["aaaa"]
    assert "codes" not in as_json(states.view("done", act="turn-off", location="/-/account"), None)


def test_what_a_form_must_name_is_text_as_a_form_sends_it() -> None:
    body = as_json(states.view("verify", login="l1", round=2, form="f1"), None)
    assert (body["login"], body["round"], body["form"]) == ("l1", "2", "f1")


def test_an_act_and_its_target_are_told_where_there_is_one() -> None:
    body = as_json(states.view("verify", act="turn-off", act_on="totp"), None)
    assert (body["act"], body["act_on"]) == ("turn-off", "totp")
    assert as_json(states.view("verify", act="new-codes"), None)["act_on"] is None
    assert not {"act", "act_on"} & as_json(states.view("verify"), None).keys()


def test_a_program_is_told_that_the_current_password_is_asked_for_too() -> None:
    assert as_json(states.view("new-password", asks_current=True), None)["asks_current"] is True
    assert "asks_current" not in as_json(states.view("new-password"), None)


def test_methods_are_named_and_masked() -> None:
    view = states.view("choose", methods=(MethodView("email", "Code by email", "a***@e***.com"),))
    assert as_json(view, None)["methods"] == [{"factor": "email", "label": "Code by email", "sent_to": "a***@e***.com"}]


def test_a_secret_is_not_printed() -> None:
    view = states.totp_view()
    assert view.totp_secret not in repr(view)
    hidden = {f.name for of in states.VIEWS.values() for f in fields(of) if not f.repr}
    assert hidden == {"totp_secret", "otpauth", "codes"}


def test_a_secret_is_grouped_by_four() -> None:
    assert states.totp_view(totp_secret="ABCDEFGHIJ").secret_groups == ("ABCD", "EFGH", "IJ")
