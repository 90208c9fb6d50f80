"""Facts of the pages for apps, backup codes, whichever code, vouched registrations and new passwords, and one's own."""

from urllib.parse import unquote

import pytest

from tests.rendering import states
from tests.rendering.test_templates import by_name, html, tags


def actions(page: str) -> list[str | None]:
    """What the buttons named "action" ask for, but to be somebody else."""
    return [b["value"] for b in tags(page, "button") if b.get("name") == "action" and b["value"] != "cancel"]


def words(page: str) -> str:
    """The text of a page, roughly: its tags gone, blanks folded."""
    out, inside = [], False
    for piece in page.replace("<", "\0<").replace(">", ">\0").split("\0"):
        inside = piece.startswith("<")
        if not inside:
            out.append(piece)
    return " ".join(" ".join(out).split())


@pytest.mark.row("CC-13", "CC-16")
def test_one_page_names_every_code_it_takes_and_has_one_verify_button() -> None:
    page = html("verify-any")
    for sentence in (
        "The code in your authenticator app",
        "A code we'll send to a***@e***.com when you ask",
        "One of your backup codes",
        "A code from your administrator",
    ):
        assert sentence in words(page)
    assert "Check your email" not in page
    assert words(page).count("Verify") == 1


@pytest.mark.row("CC-13")
def test_there_the_mail_is_sent_on_request_and_then_again() -> None:
    assert actions(html("verify-any")) == ["send"]
    assert "Email me a code" in html("verify-any")
    assert actions(html("verify-any-sent")) == ["resend"]
    assert "The code we sent to a***@e***.com" in words(html("verify-any-sent"))


@pytest.mark.row("CC-13")
def test_where_a_sent_code_ended_another_code_still_lets_in() -> None:
    page = html("verify-any-expired")
    assert "The sent code has expired." in page
    assert next(b for b in tags(page, "button") if b.get("value") == "resend")["class"] == "other"


def test_a_wait_for_the_next_mail_leaves_the_verify_button_open() -> None:
    waiting = [b.get("value") for b in tags(html("verify-any-cooling"), "button") if "data-wait" in b]
    assert waiting == ["send"]


@pytest.mark.row("CC-06")
@pytest.mark.parametrize(
    ("name", "wanted"),
    [("verify-any", "text"), ("verify-extras", "text"), ("verify-used-up", "numeric"), ("verify-totp", "numeric")],
)
def test_a_phone_offers_letters_only_where_a_backup_code_may_be_typed(name: str, wanted: str) -> None:
    field = by_name(html(name), "code")
    assert (field["inputmode"], field["autocomplete"], field["autocapitalize"]) == (wanted, "one-time-code", "off")


@pytest.mark.row("CC-06", "CC-16")
def test_a_page_for_one_method_says_which_other_codes_work() -> None:
    assert "You can also use a backup code or a code from your administrator." in html("verify-extras")
    page = html("verify-used-up")
    assert "You can also use a code from your administrator." in page
    assert "use a backup code" not in page.lower()
    assert by_name(page, "code")["aria-describedby"] == "code-life code-others"


@pytest.mark.row("CC-06")
@pytest.mark.parametrize(("name", "sends"), [("verify-extras-queued", []), ("verify-extras-unsent", ["resend"])])
def test_while_no_mail_is_sent_a_backup_code_can_be_typed(name: str, sends: list[str]) -> None:
    page = html(name)
    assert by_name(page, "code")["inputmode"] == "text"
    assert "We haven't sent a code to a***@e***.com yet." in words(page)
    assert "You can also use a backup code." in page
    assert actions(page) == sends
    assert not any("data-wait" in b for b in tags(page, "button"))


@pytest.mark.row("CC-07")
def test_who_used_all_backup_codes_reads_it_and_where_new_ones_are_made() -> None:
    assert "All your backup codes are used. After you sign in, you can generate new ones" in html("verify-used-up")
    assert "All your backup codes are used" not in html("verify-extras")
    assert "Generate new codes" in html("account-used-up")
    assert "All codes are used." in html("account-used-up")
    assert "You have none yet." in html("account-never-had")
    assert "All codes are used." not in html("account-never-had")


@pytest.mark.row("CC-08")
@pytest.mark.parametrize("name", ["verify-any", "verify-any-sent", "verify-extras", "verify-used-up", "verify-totp"])
def test_who_lost_device_and_codes_reads_that_only_an_administrator_can_help(name: str) -> None:
    page = html(name)
    assert "Lost your phone or mailbox" in page
    assert "Only your administrator can help" in page


@pytest.mark.row("CC-08")
@pytest.mark.parametrize("name", ["backup-codes", "account-codes"])
def test_the_pages_that_show_codes_recommend_to_keep_them(name: str) -> None:
    page = html(name)
    assert "ave or print them" in page
    assert "keep them where only you can see them" in page
    assert "only your administrator can help" in page


@pytest.mark.row("CC-04")
def test_backup_codes_can_be_saved_as_a_file_without_a_script() -> None:
    page = html("backup-codes")
    link = next(a for a in tags(page, "a") if "download" in a)
    kind, _, text = str(link["href"]).partition(",")
    assert kind == "data:text/plain;charset=utf-8"
    assert unquote(text).split("\r\n") == ["Northwind Contact Centre (cc.example.com)", "", *states.BACKUP_CODES, ""]


@pytest.mark.row("CC-04")
def test_backup_codes_that_were_shown_already_are_not_shown_again_but_the_way_to_them_is_named() -> None:
    page = html("backup-codes-shown")
    assert "You can view them again on the two-step sign-in page." in page
    assert not [a for a in tags(page, "a") if "download" in a]
    assert not any(code in page for code in states.BACKUP_CODES)
    assert "I've saved my codes" not in page
    assert "Continue" in words(page)


@pytest.mark.row("CC-10")
def test_a_trusted_browser_is_offered_for_the_days_of_the_policy_and_unticked() -> None:
    page = html("verify-any")
    assert "ask again on this browser for 30 days" in page
    assert "checked" not in by_name(page, "remember")


@pytest.mark.row("CC-09")
def test_where_every_login_asks_there_is_no_option_to_skip() -> None:
    assert not any(i.get("name") == "remember" for i in tags(html("verify-extras"), "input"))


@pytest.mark.row("CC-03")
def test_an_app_is_set_up_with_picture_secret_code_field_and_one_button() -> None:
    page = html("register-totp")
    assert words(page).count("Turn on") == 1
    assert any(str(a["href"]).startswith("otpauth://totp/") for a in tags(page, "a"))
    assert by_name(page, "code")["inputmode"] == "numeric"


def test_several_ways_to_register_are_chosen_from_before_anything_is_typed() -> None:
    page = html("register-choose")
    assert [b["value"] for b in tags(page, "button") if b.get("name") == "factor"] == ["email", "totp"]
    assert not any(i.get("name") in ("address", "code") for i in tags(page, "input"))


@pytest.mark.parametrize("name", ["register-several-email", "register-several-totp"])
def test_enter_in_the_field_finishes_and_does_not_change_the_way(name: str) -> None:
    form = next(part for part in html(name).split("<form")[1:] if 'id="code"' in part or 'id="address"' in part)
    buttons = tags(form.partition("</form>")[0], "button")
    assert [b["class"] for b in buttons if b["type"] == "submit"] == ["main"]


@pytest.mark.row("GW-27")
def test_a_registration_that_somebody_else_must_confirm_says_so_and_offers_no_other_address() -> None:
    page = html("verify-vouch")
    assert "the address your organisation has for you" in words(page)
    assert "You can also use a code from your administrator." in page
    assert actions(page) == ["resend"]
    alone = html("verify-vouch-admin")
    assert "Ask your administrator for a code to finish set-up." in alone
    assert actions(alone) == []


def test_somebody_signed_in_who_is_asked_for_the_password_again_is_told_why() -> None:
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
def test_the_sentence_of_the_realm_is_shown_in_its_own_direction() -> None:
    sentence = "<bdi>Invalid password: must contain at least 2 numerical digits.</bdi>"
    assert sentence in html("new-password-refused", "ur")


@pytest.mark.row("SI-10")
def test_after_the_new_password_the_code_page_says_that_it_is_saved() -> None:
    assert "Your new password is saved. Enter one more code to finish." in html("verify-after-password")
    assert "Your new password is saved." not in html("verify-totp")


@pytest.mark.row("SI-10")
def test_a_code_of_an_app_used_twice_gets_a_countdown_to_the_next_one() -> None:
    page = html("verify-totp-used")
    assert '<span data-left="23">23 seconds</span>' in page
    assert 'data-over="Enter the code your app shows now."' in page
    assert not any("data-wait" in b for b in tags(page, "button"))


@pytest.mark.row("NX-10")
@pytest.mark.parametrize("language", states.LANGUAGES)
def test_page_subject_and_mail_carry_the_same_tag(language: str) -> None:
    mail = states.mail("message", language)
    assert all("K7Q" in part for part in (html("verify-tag-remember", language), mail.subject, mail.text, mail.html))


@pytest.mark.row("CC-01")
def test_each_method_has_set_up_or_when_on_turn_off() -> None:
    off, on = html("account-none"), html("account-both")
    for label in ("Authenticator app", "Code by email"):
        assert f'aria-label="Set up: {label}"' in off
        assert f'aria-label="Turn off: {label}"' in on
    assert "Turn off" not in off
    assert 'aria-label="Set up: ' not in on


def forms(page: str) -> list[dict[str, str | None]]:
    """The address and the hidden fields of every form that posts to the login; its button's words under "says"."""
    found = []
    for part in page.split("<form")[1:]:
        form = "<form" + part.partition("</form>")[0]
        if tags(form, "form")[0]["action"] == "/-/login":
            fields = {str(i["name"]): i.get("value") for i in tags(form, "input") if i.get("type") == "hidden"}
            found.append({**fields, "says": words(form)})
    return found


def act(kind: str, says: str, factor: str | None = None) -> dict[str, str | None]:
    """The form of one act, as the account page of version 7 has it."""
    fields = {"act": kind, "version": "7", "form": "made-up-form", "to": "/-/account", "says": says}
    target = {} if factor is None else {"factor": factor}
    return {"csrf": f"made-up token of {kind} {factor or ''}".strip(), **fields, **target}


@pytest.mark.row("GW-46", "CC-01")
def test_the_account_page_has_one_form_for_each_act_with_a_token_of_its_own() -> None:
    assert forms(html("account-both")) == [
        act("enrol", "Use a new phone", "totp"),
        act("turn-off", "Turn off", "totp"),
        act("enrol", "Change address", "email"),
        act("turn-off", "Turn off", "email"),
        act("show-codes", "View backup codes"),
        act("new-codes", "Generate new codes"),
        act("sign-out-everywhere", "Sign out everywhere else"),
    ]


@pytest.mark.row("GW-46", "CC-21")
def test_where_nothing_is_on_there_is_nothing_to_turn_off_or_to_view() -> None:
    assert forms(html("account-none")) == [
        act("enrol", "Set up", "totp"),
        act("enrol", "Set up", "email"),
        act("sign-out-everywhere", "Sign out everywhere else"),
    ]


@pytest.mark.row("CC-07")
def test_where_no_code_is_left_new_ones_are_the_main_act() -> None:
    page = html("account-used-up")
    assert forms(page) == [
        act("enrol", "Use a new phone", "totp"),
        act("enrol", "Set up", "email"),
        act("new-codes", "Generate new codes"),
        act("sign-out-everywhere", "Sign out everywhere else"),
    ]
    mains = [part.partition("</button>")[0].partition(">")[2] for part in page.split('<button class="main"')[1:]]
    assert mains == ["Generate new codes"]


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("name", [n for n in states.STATES if n.startswith("account")])
def test_the_account_page_changes_nothing_by_itself(name: str) -> None:
    page = html(name)
    posts = {form["action"] for form in tags(page, "form") if form["method"] == "post"}
    assert posts <= {"/-/login", "/-/language"}
    links = {str(a["href"]).partition(",")[0] for a in tags(page, "a")}
    assert not [link for link in links if "/-/account/" in link or "act=" in link]


def test_the_account_page_says_that_each_act_is_asked_for_again() -> None:
    assert "For each of these, we'll ask for a code or your password first." in html("account-both")


ABOUT_TO = {
    "turn-off": ("You're about to turn off: Authenticator app.", "Turn off"),
    "show-codes": ("You're about to view your backup codes.", "View backup codes"),
    "new-codes": ("You're about to make new backup codes. The old ones will stop working.", "Generate new codes"),
    "sign-out-everywhere": ("You're about to sign out everywhere else.", "Sign out everywhere else"),
}


@pytest.mark.row("GW-46")
@pytest.mark.parametrize("step", ["verify", "password"])
@pytest.mark.parametrize("kind", states.ACTS)
def test_the_page_that_asks_for_the_proof_says_what_it_is_for(step: str, kind: str) -> None:
    sentence, button = ABOUT_TO[kind]
    page = html(f"within-{step}-{kind}")
    assert words(page).count(sentence) == 1
    main = page.partition('<button class="main"')[2].partition("</button>")[0]
    assert main.endswith(f">{button}")
    assert "Cancel" in words(page)
    assert by_name(page, "code" if step == "verify" else "password")


@pytest.mark.row("GW-46")
def test_where_any_code_confirms_an_act_none_of_them_is_said_to_sign_in() -> None:
    page = words(html("within-verify-any"))
    assert "You're about to turn off: Code by email." in page
    assert "Use any of these to confirm it's you:" in page
    assert "Use any of these:" not in page


@pytest.mark.parametrize("name", ["within-password-enrol", "within-verify-enrol"])
def test_a_proof_before_an_enrolment_says_what_will_be_set_up(name: str) -> None:
    assert "You're about to set up: Authenticator app." in html(name)


@pytest.mark.parametrize("name", ["verify", "verify-any", "password", "asked-again"])
def test_a_page_without_an_act_speaks_of_none(name: str) -> None:
    assert "You're about to" not in html(name)


DONE = {
    "account-signed-out": ["You're signed out everywhere else."],
    "account-turned-off": ["The method is turned off."],
    "account-both": [],
}


@pytest.mark.parametrize("name", DONE)
def test_what_was_done_just_now_is_said(name: str) -> None:
    page = html(name)
    assert [sentence for said in DONE.values() for sentence in said if sentence in page] == DONE[name]


def test_the_last_method_of_who_needs_one_says_why_it_stays() -> None:
    page = html("account-used-up")
    assert "you can't turn off your last method" in page
    assert "Turn off" not in page


@pytest.mark.row("EF-18")
def test_wrong_replaced_and_used_codes_get_one_sentence() -> None:
    page = html("verify-wrong")
    assert "Check it for typos, and use your newest code." in page


@pytest.mark.row("CC-19")
@pytest.mark.parametrize("name", ["verify-locked", "verify-locked-unsent"])
def test_a_lock_holds_every_button_until_it_ends(name: str) -> None:
    page = html(name)
    held = [
        b
        for b in tags(page, "button")
        if b.get("type") == "submit" and b.get("name") != "language" and b.get("value") not in ("cancel", "edit", None)
    ]
    main = [b for b in tags(page, "button") if b.get("class") == "main"]
    assert {b["data-wait"] for b in held + main} == {"290"}
    assert len(main) == 1


def test_a_login_that_wrong_codes_have_ended_speaks_of_no_new_code() -> None:
    page = words(html("stopped-codes"))
    assert "To protect your account, we ended this sign-in. Sign in again." in page
    assert "new code" not in page


def test_inside_a_session_the_password_is_asked_of_its_own_user_and_can_be_left() -> None:
    page = html("asked-again")
    name = by_name(page, "username")
    assert (name["value"], name["autocomplete"]) == ("amira.haddad", "username")
    assert "readonly" in name
    assert "autofocus" in by_name(page, "password")
    assert "readonly" not in by_name(html("password-wrong"), "username")
    assert [b["value"] for b in tags(page, "button") if b.get("name") == "action"] == ["cancel"]


@pytest.mark.parametrize("name", ["asked-again", "within-register"])
def test_whoever_is_signed_in_already_is_told_so_and_cancels(name: str) -> None:
    page = words(html(name))
    assert "Signed in as amira.haddad" in page
    assert "Cancel" in page
    assert "Not you?" not in page


def test_what_is_set_up_already_cannot_be_cancelled_when_its_codes_are_shown() -> None:
    assert "Cancel" not in words(html("within-backup-codes"))
    assert "Not you?" in words(html("backup-codes"))


@pytest.mark.row("CC-04", "GW-46")
def test_the_codes_are_saved_from_the_page_itself_and_asked_of_no_address() -> None:
    page = html("account-codes")
    link = next(a for a in tags(page, "a") if "download" in a)
    kind, _, text = str(link["href"]).partition(",")
    assert kind == "data:text/plain;charset=utf-8"
    assert unquote(text).split("\r\n") == ["Northwind Contact Centre (cc.example.com)", "", *states.BACKUP_CODES, ""]
    assert all(code in page for code in states.BACKUP_CODES)


def test_where_no_code_is_left_there_is_nothing_to_save() -> None:
    page = html("account-codes-none")
    assert "All codes are used." in page
    assert not [a for a in tags(page, "a") if "download" in a]


def test_the_answer_with_the_codes_is_the_account_page_for_a_browser_that_loads_again() -> None:
    template, context = states.STATES["account-codes"](states.pages().languages.get("en"))
    asked = states.request("/-/login/verify", method="POST", of=states.tenant())
    assert tags(str(states.pages().render(asked, template, context).text), "html")[0]["data-here"] == "/-/account"


@pytest.mark.row("SI-10")
def test_the_current_password_is_asked_for_where_the_directory_tells_no_date_of_it() -> None:
    page = html("new-password-current")
    current, new = by_name(page, "current_password"), by_name(page, "new_password")
    assert (current["autocomplete"], new["autocomplete"]) == ("current-password", "new-password")
    assert ("autofocus" in current, "autofocus" in new) == (True, False)
    assert not any(i.get("name") == "current_password" for i in tags(html("new-password"), "input"))


@pytest.mark.row("SI-10")
def test_of_two_passwords_the_one_that_was_wrong_is_marked() -> None:
    page = html("new-password-current-wrong")
    assert by_name(page, "current_password")["aria-invalid"] == "true"
    assert "aria-invalid" not in by_name(page, "new_password")
    assert by_name(html("new-password-refused"), "new_password")["aria-invalid"] == "true"


@pytest.mark.row("CC-04")
def test_the_page_of_the_backup_codes_says_whose_they_are() -> None:
    assert "amira.haddad" in words(html("account-codes"))
