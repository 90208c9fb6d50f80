"""Tests of the pages for apps, backup codes, the combined page, enrolment approval, new passwords and the account."""

from urllib.parse import unquote

import pytest

from gateway.domain.enrolment import Enrolment
from gateway.domain.policy import FactorKind
from gateway.rendering.step_view import codes_file
from tests.fixtures import page_states as states
from tests.rendering.test_templates import by_name, html, tags


def actions(page: str) -> list[str | None]:
    """Returns the values of the buttons named "action", except that for another user."""
    return [b["value"] for b in tags(page, "button") if b.get("name") == "action" and b["value"] != "cancel"]


def words(page: str) -> str:
    """Returns the text of a page, roughly: without tags, with single spaces."""
    out, inside = [], False
    for piece in page.replace("<", "\0<").replace(">", ">\0").split("\0"):
        inside = piece.startswith("<")
        if not inside:
            out.append(piece)
    return " ".join(" ".join(out).split())


@pytest.mark.row("CC-13", "CC-16")
def test_the_combined_page_names_every_accepted_code_and_has_one_verify_button() -> None:
    page = html("verify-any")
    for sentence in (
        "Code from your authenticator app",
        "Email a code to am•••@example.com",
        "Use a backup code",
        "Use a code from your administrator",
    ):
        assert sentence in words(page)
    assert "Check your email" not in page
    assert words(page).count("Verify") == 1


@pytest.mark.row("CC-13")
@pytest.mark.parametrize("name", ["verify-any", "verify-any-sent", "verify-extras"])
def test_the_code_field_is_above_the_other_ways(name: str) -> None:
    page = html(name)
    assert page.index('id="code"') < page.index('class="choices"')


@pytest.mark.row("CC-13")
def test_without_scripts_the_other_codes_are_named_in_plain_text_and_have_no_button() -> None:
    page = html("verify-any")
    assert all("hidden" in button for button in tags(page, "button") if "data-way" in button)
    assert "You can also use a backup code or a code from your administrator." in page


@pytest.mark.row("CC-13")
def test_the_combined_page_sends_a_mail_on_request_and_then_offers_to_resend_it() -> None:
    assert actions(html("verify-any")) == ["send"]
    assert "Email a code to" in html("verify-any")
    assert actions(html("verify-any-sent")) == ["resend"]
    assert "Enter the code we sent to am•••@example.com , or the one" in words(html("verify-any-sent"))


@pytest.mark.row("CC-13")
def test_after_a_sent_code_expired_the_combined_page_still_accepts_other_codes() -> None:
    page = html("verify-any-expired")
    assert "The sent code has expired." in page
    assert next(b for b in tags(page, "button") if b.get("value") == "resend")["class"] == "choice"
    assert by_name(page, "code")


def test_the_cooldown_of_the_mail_does_not_disable_the_verify_button() -> None:
    waiting = [b.get("value") for b in tags(html("verify-any-cooling"), "button") if "data-wait" in b]
    assert waiting == ["send"]


@pytest.mark.row("CC-06")
@pytest.mark.parametrize(
    ("name", "wanted"),
    [("verify-any", "text"), ("verify-extras", "text"), ("verify-used-up", "numeric"), ("verify-totp", "numeric")],
)
def test_the_code_field_requests_a_letter_keyboard_only_where_backup_codes_are_accepted(name: str, wanted: str) -> None:
    field = by_name(html(name), "code")
    assert (field["inputmode"], field["autocomplete"], field["autocapitalize"]) == (wanted, "one-time-code", "off")


@pytest.mark.row("CC-06", "CC-16")
def test_a_page_for_one_method_names_the_other_accepted_codes() -> None:
    assert "You can also use a backup code or a code from your administrator." in html("verify-extras")
    page = html("verify-used-up")
    assert "You can also use a code from your administrator." in page
    assert "use a backup code" not in page.lower()
    assert by_name(page, "code")["aria-describedby"] == "lead code-life code-hint"


@pytest.mark.row("CC-06")
@pytest.mark.parametrize(("name", "sends"), [("verify-extras-queued", []), ("verify-extras-unsent", ["resend"])])
def test_while_no_mail_can_be_sent_the_page_accepts_a_backup_code(name: str, sends: list[str]) -> None:
    page = html(name)
    assert by_name(page, "code")["inputmode"] == "text"
    assert "am•••@example.com" in words(page)
    assert "Use a backup code" not in words(page)  # the field is for nothing else
    assert page.partition('<label for="code">')[2].startswith("Backup code<")
    assert actions(page) == sends
    assert not any("data-wait" in b for b in tags(page, "button"))


@pytest.mark.row("CC-07")
def test_the_page_says_that_all_backup_codes_are_used_and_where_to_make_new_ones() -> None:
    assert "All your backup codes are used. After you sign in, you can generate new ones" in html("verify-used-up")
    assert "All your backup codes are used" not in html("verify-extras")
    assert "Generate new codes" in html("account-used-up")
    assert "All codes are used." in html("account-used-up")
    assert "You have none yet." in html("account-never-had")
    assert "All codes are used." not in html("account-never-had")


@pytest.mark.row("CC-08")
@pytest.mark.parametrize("name", ["verify-any", "verify-any-sent", "verify-extras", "verify-used-up", "verify-totp"])
def test_the_page_says_that_only_an_administrator_can_help_without_device_and_codes(name: str) -> None:
    page = html(name)
    assert "Lost your phone" in page
    assert "Only your administrator can help" in page


@pytest.mark.row("CC-08")
@pytest.mark.parametrize("name", ["backup-codes", "account-codes"])
def test_the_pages_with_backup_codes_advise_the_user_to_keep_them(name: str) -> None:
    page = html(name)
    assert "ave or print them" in page
    assert "keep them where only you can see them" in page
    assert "only your administrator can help" in page


FILE_HEAD = (
    "Northwind Contact Centre (cc.example.com)",
    "Username: amira.haddad",
    "Made on: 15 Jan 2027",
    "Each code works once.",
)


@pytest.mark.parametrize("name", ["backup-codes", "account-codes"])
def test_the_file_of_backup_codes_is_named_by_tenant_and_user_and_paper_has_the_same_head(name: str) -> None:
    page = html(name)
    [link] = [a for a in tags(page, "a") if "download" in a]
    assert link["download"] == "expertflow-amira.haddad-backup-codes.txt"
    assert all(line in page for line in FILE_HEAD)


def test_a_user_name_with_odd_letters_makes_a_plain_file_name() -> None:
    english = states._LANGUAGES.get("en")
    file = codes_file(states.tenant(), "cc.example.com", "../Amira/\u202eO'Neil@x", (), language=english, at=states.NOW)
    assert file.name == "expertflow-..-Amira-O-Neil@x-backup-codes.txt"


@pytest.mark.row("CC-04")
def test_without_scripts_backup_codes_can_be_saved_as_a_file() -> None:
    page = html("backup-codes")
    link = next(a for a in tags(page, "a") if "download" in a)
    kind, _, text = str(link["href"]).partition(",")
    assert kind == "data:text/plain;charset=utf-8"
    assert unquote(text).split("\r\n") == [*FILE_HEAD, "", *states.BACKUP_CODES, ""]


@pytest.mark.row("CC-04")
def test_backup_codes_are_not_shown_again_but_the_page_names_where_to_make_new_ones() -> None:
    page = html("backup-codes-shown")
    assert "You can view them again on the two-step sign-in page." in page
    assert not [a for a in tags(page, "a") if "download" in a]
    assert not any(code in page for code in states.BACKUP_CODES)
    assert "I've saved my codes" not in page
    assert "Continue" in words(page)


@pytest.mark.row("CC-10")
def test_trusting_the_browser_is_offered_unticked_for_the_days_of_the_policy() -> None:
    page = html("verify-any")
    assert "ask again on this browser for 30 days" in page
    assert "checked" not in by_name(page, "remember")


@pytest.mark.row("CC-09")
def test_with_a_policy_of_every_login_there_is_no_trust_option() -> None:
    assert not any(i.get("name") == "remember" for i in tags(html("verify-extras"), "input"))


@pytest.mark.row("CC-03")
def test_the_app_page_has_a_qr_code_the_secret_a_code_field_and_one_button() -> None:
    page = html("register-totp")
    assert words(page).count("Turn on") == 1
    assert any(str(a["href"]).startswith("otpauth://totp/") for a in tags(page, "a"))
    assert by_name(page, "code")["inputmode"] == "numeric"


def test_the_user_picks_one_of_several_methods_to_enrol_before_typing_anything() -> None:
    page = html("register-choose")
    assert [b["value"] for b in tags(page, "button") if b.get("name") == "factor"] == ["email", "totp"]
    assert not any(i.get("name") in ("address", "code") for i in tags(page, "input"))


@pytest.mark.parametrize("name", ["register-several-email", "register-several-totp"])
def test_the_enter_key_in_the_field_submits_it_and_does_not_change_the_method(name: str) -> None:
    form = next(part for part in html(name).split("<form")[1:] if 'id="code"' in part or 'id="address"' in part)
    buttons = tags(form.partition("</form>")[0], "button")
    assert [b["class"] for b in buttons if b["type"] == "submit"] == ["main"]


@pytest.mark.row("GW-27")
def test_an_enrolment_that_needs_approval_says_so_and_offers_no_other_address() -> None:
    page = html("verify-approval")
    assert "the address your organisation has for you" in words(page)
    assert "You can also use a code from your administrator." in page
    assert actions(page) == ["resend"]
    alone = html("verify-approval-admin")
    assert "Ask your administrator for a code to finish set-up." in alone
    assert actions(alone) == []


def test_the_page_tells_a_signed_in_user_why_it_asks_for_the_password_again() -> None:
    page = html("asked-again")
    assert "Confirm it's you" in page
    assert "Sign in" not in page
    assert "Confirm it's you" not in html("password")


def test_the_new_password_page_says_whether_another_code_follows() -> None:
    assert "After that we'll ask for another code." in html("new-password")
    context = {"view": states.view("new-password"), "problem": None}
    answer = states.pages().render(states.request(of=states.tenant()), "steps/new_password.html", context)
    assert "another code" not in str(answer.text)


@pytest.mark.row("SI-10")
def test_the_realms_sentence_is_shown_in_its_text_direction() -> None:
    sentence = "<bdi>Invalid password: must contain at least 2 numerical digits.</bdi>"
    assert sentence in html("new-password-refused", "ur")


@pytest.mark.row("SI-10")
def test_after_the_new_password_the_code_page_says_that_it_is_saved() -> None:
    assert "Your new password is saved. Enter one more code to finish." in html("verify-after-password")
    assert "Your new password is saved." not in html("verify-totp")


@pytest.mark.row("SI-10")
def test_a_reused_app_code_shows_a_countdown_to_the_next_one() -> None:
    page = html("verify-totp-used")
    assert '<span data-left="23">23 seconds</span>' in page
    assert 'data-over="Enter the code your app shows now."' in page
    assert not any("data-wait" in b for b in tags(page, "button"))


@pytest.mark.row("NX-10")
@pytest.mark.parametrize("language", states.LANGUAGES)
def test_page_subject_and_mail_show_the_same_tag(language: str) -> None:
    mail = states.mail("message", language)
    assert all("K7Q" in part for part in (html("verify-tag-remember", language), mail.subject, mail.text, mail.html))


@pytest.mark.row("CC-01")
def test_each_method_has_a_set_up_button_or_when_it_is_on_a_turn_off_button() -> None:
    off, on = html("account-none"), html("account-both")
    for label in ("Authenticator app", "Code by email"):
        assert f'aria-label="Set up: {label}"' in off
        assert f'aria-label="Turn off: {label}"' in on
    assert "Turn off" not in off
    assert 'aria-label="Set up: ' not in on


def forms(page: str) -> list[dict[str, str | None]]:
    """Returns address and hidden fields of every form that posts to the login; "says" is its button's label."""
    found = []
    for part in page.split("<form")[1:]:
        form = "<form" + part.partition("</form>")[0]
        if tags(form, "form")[0]["action"] == "/-/login":
            fields = {str(i["name"]): i.get("value") for i in tags(form, "input") if i.get("type") == "hidden"}
            found.append({**fields, "says": words(form)})
    return found


def act(kind: str, button_label: str, factor: str | None = None, target: str | None = None) -> dict[str, str | None]:
    """Returns the form of one act on the account page of version 7."""
    fields = {"act": kind, "version": "7", "form": "made-up-form", "to": "/-/account", "says": button_label}
    named = {name: value for name, value in {"factor": factor, "target": target}.items() if value}
    return {"csrf": f"made-up token of {kind} {factor or ''} {target or ''}".strip(), **fields, **named}


@pytest.mark.row("GW-46", "CC-01")
def test_the_account_page_has_one_form_with_a_separate_token_for_each_act() -> None:
    assert forms(html("account-both")) == [
        act("enrol", "Move to a new phone", "totp"),
        act("turn-off", "Turn off", "totp"),
        act("enrol", "Change address", "email"),
        act("turn-off", "Turn off", "email"),
        act("enrol", "Add another phone", "totp", "new"),
        act("show-codes", "View backup codes"),
        act("new-codes", "Generate new codes"),
        act("sign-out-everywhere", "Sign out everywhere else"),
    ]


@pytest.mark.row("GW-46", "CC-21")
def test_without_a_factor_the_account_page_offers_nothing_to_turn_off_or_show() -> None:
    assert forms(html("account-none")) == [
        act("enrol", "Set up", "totp"),
        act("enrol", "Set up", "email"),
        act("sign-out-everywhere", "Sign out everywhere else"),
    ]


@pytest.mark.row("CC-07")
def test_without_unused_backup_codes_the_main_button_makes_new_ones() -> None:
    page = html("account-used-up")
    assert forms(page) == [
        act("enrol", "Move to a new phone", "totp"),
        act("enrol", "Set up", "email"),
        act("enrol", "Add another phone", "totp", "new"),
        act("new-codes", "Generate new codes"),
        act("sign-out-everywhere", "Sign out everywhere else"),
    ]
    mains = [part.partition("</button>")[0].partition(">")[2] for part in page.split('<button class="main"')[1:]]
    assert mains == ["Generate new codes"]


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("name", [n for n in states.STATES if n.startswith("account")])
def test_viewing_the_account_page_changes_nothing(name: str) -> None:
    page = html(name)
    posts = {form["action"] for form in tags(page, "form") if form["method"] == "post"}
    assert posts <= {"/-/login", "/-/language"}
    links = {str(a["href"]).partition(",")[0] for a in tags(page, "a")}
    assert not [link for link in links if "/-/account/" in link or "act=" in link]


def test_the_account_page_says_that_each_act_needs_a_proof() -> None:
    assert "For each of these, we'll ask for a code or your password first." in html("account-both")


ABOUT_TO = {
    "turn-off": ("You're about to turn off: Authenticator app.", "Turn off"),
    "show-codes": ("You're about to view your backup codes.", "View backup codes"),
    "new-codes": ("You're about to make new backup codes. The old ones will stop working.", "Generate new codes"),
    "sign-out-everywhere": ("You're about to sign out everywhere else.", "Sign out everywhere else"),
    "end-session": ("You're about to sign out: Firefox on Linux.", "Sign out"),
    "end-trust": ("You're about to let this browser ask for codes again: Firefox on Linux.", "Ask for codes again"),
}


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("step", ["verify", "password"])
@pytest.mark.parametrize("kind", states.ACTS)
def test_the_proof_page_names_the_act_that_it_authorises(step: str, kind: str) -> None:
    sentence, button = ABOUT_TO[kind]
    page = html(f"within-{step}-{kind}")
    assert words(page).count(sentence) == 1
    main = page.partition('<button class="main"')[2].partition("</button>")[0]
    assert main.endswith(f">{button}")
    assert "Cancel" in words(page)
    assert by_name(page, "code" if step == "verify" else "password")


@pytest.mark.row("GW-46")
def test_on_the_combined_page_of_an_act_no_code_is_described_as_a_sign_in() -> None:
    page = words(html("within-verify-any"))
    assert "You're about to turn off: Code by email." in page
    assert "sign-in" not in page


@pytest.mark.parametrize("name", ["within-password-enrol", "within-verify-enrol"])
def test_the_proof_page_before_an_enrolment_names_the_factor_to_set_up(name: str) -> None:
    assert "You're about to set up: Authenticator app." in html(name)


@pytest.mark.parametrize("name", ["verify", "verify-any", "password", "asked-again"])
def test_a_page_without_an_act_mentions_none(name: str) -> None:
    assert "You're about to" not in html(name)


DONE = {
    "account-session-ended": ["The browser is signed out."],
    "account-set-up": ["Your new sign-in method is saved."],
    "account-signed-out": ["You're signed out everywhere else."],
    "account-turned-off": ["The method is turned off."],
    "account-both": [],
}


@pytest.mark.parametrize("name", DONE)
def test_the_account_page_confirms_the_completed_act(name: str) -> None:
    page = html(name)
    assert [sentence for said in DONE.values() for sentence in said if sentence in page] == DONE[name]


def test_the_page_explains_why_a_required_last_method_cannot_be_turned_off() -> None:
    page = html("account-used-up")
    assert "you can't turn off your last method" in page
    assert "Turn off" not in page


@pytest.mark.row("EF-18")
def test_wrong_replaced_and_used_codes_have_the_same_sentence() -> None:
    page = html("verify-wrong")
    assert "Check it for typos, and use your newest code." in page


@pytest.mark.row("CC-19")
@pytest.mark.parametrize("name", ["verify-locked", "verify-locked-unsent"])
def test_a_lock_disables_every_button_until_it_ends(name: str) -> None:
    page = html(name)
    held = [
        b
        for b in tags(page, "button")
        if b.get("type") == "submit" and b.get("name") != "language" and b.get("value") not in ("cancel", "edit", None)
    ]
    main = [b for b in tags(page, "button") if b.get("class") == "main"]
    assert {b["data-wait"] for b in held + main} == {"290"}
    assert len(main) == 1


def test_a_login_ended_by_wrong_codes_offers_no_new_code() -> None:
    page = words(html("stopped-codes"))
    assert "To protect your account, we ended this sign-in. Sign in again." in page
    assert "new code" not in page


def test_inside_a_session_the_password_is_requested_from_its_user_who_may_cancel() -> None:
    page = html("asked-again")
    name = by_name(page, "username")
    assert (name["value"], name["autocomplete"]) == ("amira.haddad", "username")
    assert "readonly" in name
    assert "autofocus" in by_name(page, "password")
    assert "readonly" not in by_name(html("password-wrong"), "username")
    assert [b["value"] for b in tags(page, "button") if b.get("name") == "action"] == ["cancel"]


@pytest.mark.parametrize("name", ["asked-again", "within-register"])
def test_the_page_says_that_the_user_is_already_signed_in_and_offers_to_cancel(name: str) -> None:
    page = words(html(name))
    assert "Signed in as amira.haddad" in page
    assert "Cancel" in page
    assert "Not you?" not in page


def test_a_completed_enrolment_cannot_be_cancelled_on_the_page_of_its_backup_codes() -> None:
    assert "Cancel" not in words(html("within-backup-codes"))
    assert "Not you?" in words(html("backup-codes"))


@pytest.mark.row("CC-04", "GW-46")
def test_the_save_link_contains_the_backup_codes_and_makes_no_request() -> None:
    page = html("account-codes")
    link = next(a for a in tags(page, "a") if "download" in a)
    kind, _, text = str(link["href"]).partition(",")
    assert kind == "data:text/plain;charset=utf-8"
    assert unquote(text).split("\r\n") == [*FILE_HEAD, "", *states.BACKUP_CODES, ""]
    assert all(code in page for code in states.BACKUP_CODES)


def test_without_unused_backup_codes_there_is_no_save_link() -> None:
    page = html("account-codes-none")
    assert "All codes are used." in page
    assert not [a for a in tags(page, "a") if "download" in a]


def test_reloading_the_answer_with_the_backup_codes_opens_the_account_page() -> None:
    template, context = states.STATES["account-codes"](states.pages().languages.get("en"))
    asked = states.request("/-/login/verify", method="POST", of=states.tenant())
    assert tags(str(states.pages().render(asked, template, context).text), "html")[0]["data-here"] == "/-/account"


@pytest.mark.row("SI-10")
def test_the_current_password_is_requested_where_the_directory_has_no_password_date() -> None:
    page = html("new-password-current")
    current, new = by_name(page, "current_password"), by_name(page, "new_password")
    assert (current["autocomplete"], new["autocomplete"]) == ("current-password", "new-password")
    assert ("autofocus" in current, "autofocus" in new) == (True, False)
    assert not any(i.get("name") == "current_password" for i in tags(html("new-password"), "input"))


@pytest.mark.row("SI-10")
def test_the_wrong_one_of_two_password_fields_is_marked() -> None:
    page = html("new-password-current-wrong")
    assert by_name(page, "current_password")["aria-invalid"] == "true"
    assert "aria-invalid" not in by_name(page, "new_password")
    assert by_name(html("new-password-refused"), "new_password")["aria-invalid"] == "true"


@pytest.mark.row("CC-04")
def test_the_page_of_the_backup_codes_names_their_user() -> None:
    assert "amira.haddad" in words(html("account-codes"))


@pytest.mark.row("EF-20")
def test_the_page_of_a_passcode_shows_what_the_service_asks_for_next() -> None:
    assert "Enter your PIN, followed by the code" in words(html("verify-rsa"))
    page = words(html("verify-rsa-next-code"))
    assert "enter the new code alone, without your PIN" in page
    assert "followed by" not in page


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("verify", "6"),
        ("verify-wrong", "6"),
        ("verify-totp", "6"),
        ("register-totp", "6"),
        ("verify-approval-admin", "12"),
    ],
)
def test_a_code_of_one_kind_and_length_submits_itself(name: str, digits: str) -> None:
    assert next(field for field in tags(html(name), "input") if field.get("name") == "code")["data-digits"] == digits


@pytest.mark.parametrize(
    "name",
    [
        "verify-extras",
        "verify-used-up",
        "verify-any",
        "verify-any-sent",
        "verify-approval",
        "within-verify-turn-off",
    ],
)
def test_a_code_does_not_submit_itself_where_another_length_fits_or_an_act_is_confirmed(name: str) -> None:
    fields = [field for field in tags(html(name), "input") if field.get("name") == "code"]
    assert fields
    assert all("data-hold" in field for field in fields)


@pytest.mark.row("EF-20")
def test_the_field_for_a_number_opens_the_keypad_and_may_be_filled_in() -> None:
    field = by_name(html("register-sms"), "address")
    assert (field["type"], field["inputmode"], field["autocomplete"], field["dir"]) == ("tel", "tel", "tel", "ltr")


@pytest.mark.row("SI-11")
def test_a_number_that_the_organisation_has_is_not_typed() -> None:
    page = html("register-sms-known")
    assert "•••67" in words(page)
    assert not [field for field in tags(page, "input") if field.get("name") == "address"]


def test_the_pages_of_a_text_speak_of_number_and_message() -> None:
    assert "Change number" in words(html("confirm-sms"))
    assert "Look for the text message marked KXW" in words(html("verify-sms-typed"))
    assert "Do you share this phone?" in words(html("verify-sms-replaced"))
    assert "email" not in words(html("verify-sms-approving")).replace("Email the help desk", "")


def test_a_number_stays_on_one_line() -> None:
    assert "+92\N{NO-BREAK SPACE}300\N{NO-BREAK SPACE}1234567" in html("verify-sms-typed")


EVERYTHING = "account-everything"


@pytest.mark.row("CC-01")
def test_each_of_several_apps_has_its_name_and_its_own_forms() -> None:
    page = html(EVERYTHING)
    found = forms(page)
    work, tablet = (Enrolment(FactorKind.TOTP, secret=name).id for name in ("Work phone", "Tablet"))
    for app in (work, tablet):
        assert act("enrol", "Move to a new phone", "totp", app) in found
        assert act("turn-off", "Turn off", "totp", app) in found
    assert 'aria-label="Turn off: Authenticator app (Tablet)"' in page


@pytest.mark.row("CC-01")
def test_the_account_page_says_when_a_method_was_added_and_last_used() -> None:
    assert "am•••@example.com Added 6 Dec 2026 · Last used 12 Jan 2027" in words(html(EVERYTHING))


@pytest.mark.row("GW-45")
def test_a_session_is_shown_with_its_browser_its_network_and_its_last_use() -> None:
    page = words(html(EVERYTHING))
    assert "Chrome on Windows This browser Head office · 192.0.2.17 Active now" in page
    assert "Safari on iPhone 2001:db8:12:34::/64 Active now" in page
    assert "Firefox on Linux 198.51.100.40 Last active 15 Jan 2027, 03:00 (UTC)" in page
    assert "Unknown browser Place unknown" in page


@pytest.mark.row("GW-45")
def test_every_session_but_this_browsers_has_a_button_that_ends_it() -> None:
    ended = [form["target"] for form in forms(html(EVERYTHING)) if form["act"] == "end-session"]
    assert ended == ["second", "third", "fourth"]


@pytest.mark.row("CC-12")
def test_every_trusted_browser_has_a_button_that_ends_its_trust() -> None:
    assert [form["target"] for form in forms(html(EVERYTHING)) if form["act"] == "end-trust"] == ["one", "two"]


@pytest.mark.row("CC-05")
def test_used_backup_codes_are_marked_and_not_in_the_file() -> None:
    page = html("account-codes-some")
    used = states.BACKUP_CODES[6:]
    assert all(f"<s>{code}</s>" in page for code in used)
    [link] = [a for a in tags(page, "a") if "download" in a]
    assert not any(code in unquote(str(link["href"])) for code in used)


@pytest.mark.row("CC-05")
def test_the_account_page_says_how_many_of_the_backup_codes_are_left() -> None:
    assert "6 of 10 codes left" in words(html(EVERYTHING))


@pytest.mark.row("CC-01")
def test_a_user_may_name_the_phone_of_an_app_that_they_set_up_on_their_page() -> None:
    assert by_name(html("within-register-totp"), "name")
    assert 'name="name"' not in html("register-totp")
