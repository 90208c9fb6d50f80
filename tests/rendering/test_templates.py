"""Tests of `gateway.rendering.templates` and the pages, without a browser."""

import re
from html import unescape
from html.parser import HTMLParser

import jinja2
import pytest

from gateway.domain.tenant import Branding, Help
from gateway.rendering.data_root import data_root
from gateway.rendering.templates import build_environments
from tests.fixtures import page_states as states

PAGES = states.pages()


def html(name: str, language: str = "en") -> str:
    """Returns the page of a state."""
    template, context = states.STATES[name](PAGES.languages.get(language))
    response = PAGES.render(states.request(language=language, of=states.tenant()), template, context)
    assert response.text is not None
    return response.text


def tags(text: str, tag: str) -> list[dict[str, str | None]]:
    """Returns the attributes of every `tag` in a page."""
    found: list[dict[str, str | None]] = []

    class Reader(HTMLParser):
        def handle_starttag(self, name: str, attrs: list[tuple[str, str | None]]) -> None:
            if name == tag:
                found.append(dict(attrs))

    Reader().feed(text)
    return found


def by_name(text: str, name: str, tag: str = "input") -> dict[str, str | None]:
    """Returns the one visible field of a name."""
    return next(t for t in tags(text, tag) if t.get("name") == name and t.get("type") != "hidden")


@pytest.mark.parametrize("name", states.STATES)
def test_every_page_renders_in_every_language_with_one_heading(name: str) -> None:
    for code in states.LANGUAGES:
        assert len(tags(html(name, code), "h1")) == 1


@pytest.mark.parametrize("name", states.STATES)
def test_no_page_has_an_inline_handler_or_style_attribute(name: str) -> None:
    page = html(name)
    assert not re.search(r"<[^>]+\son\w+=", page)
    assert not re.search(r"<[^>]+\sstyle=", page)
    assert all(script.get("nonce") for script in tags(page, "script"))


@pytest.mark.parametrize("name", states.STATES)
def test_every_form_posts_to_the_gateway_with_a_token(name: str) -> None:
    for form in tags(html(name), "form"):
        assert (form["action"] or "").startswith("/-/")
    posts = [form for form in tags(html(name), "form") if form["method"] == "post"]
    assert len([i for i in tags(html(name), "input") if i.get("name") == "csrf"]) == len(posts)


@pytest.mark.parametrize("name", [n for n in states.STATES if n.startswith(("password", "verify", "register"))])
def test_each_step_posts_its_return_path_and_its_purpose(name: str) -> None:
    page = html(name)
    assert {"name": "to", "value": "/unified-admin/", "type": "hidden"} in tags(page, "input")
    assert {"name": "purpose", "value": "sign-in", "type": "hidden"} in tags(page, "input")


@pytest.mark.row("GW-39")
@pytest.mark.parametrize("name", states.STATES)
def test_a_named_form_with_a_button_for_each_language_is_on_every_page(name: str) -> None:
    page = html(name, "ar")
    assert next(form for form in tags(page, "form") if form.get("class") == "language")["aria-label"] == "اللغة"
    assert '<html lang="ar" dir="rtl">' in page
    buttons = {b["value"]: b for b in tags(page, "button") if b.get("name") == "language"}
    assert set(buttons) == set(states.LANGUAGES)
    assert all(buttons[code]["lang"] == code for code in buttons)
    assert [code for code, button in buttons.items() if "aria-current" in button] == ["ar"]


@pytest.mark.row("GW-31")
@pytest.mark.parametrize(
    "name", ["password", "password-locked", "stopped", "stopped-locked", "problem-unavailable", "verify"]
)
def test_the_tenants_help_is_shown(name: str) -> None:
    page = html(name)
    assert "The service desk is there around the clock." in page
    assert 'href="tel:+92511114711"' in page
    assert "https://help.example.com/sign-in" in page


@pytest.mark.row("GW-31")
@pytest.mark.parametrize("name", ["password", "password-locked", "stopped", "stopped-locked"])
def test_the_link_for_a_forgotten_password_is_on_the_password_page_and_the_last_pages(name: str) -> None:
    assert html(name).count("https://help.example.com/password") == 1


def test_with_no_help_except_that_link_no_page_offers_help() -> None:
    asked = states.tenant(Branding(name="Sun", help=Help(forgot_password="/password")))
    template, context = states.STATES["password"](PAGES.languages.get("en"))
    page = PAGES.render(states.request(of=asked), template, context).text
    assert page
    assert "/password" in page
    assert "Need help?" not in page


def test_the_tenants_texts_are_marked_with_their_language() -> None:
    arabic = states.tenant(Branding(name="Sun", language="ar", help=states.HELP))
    template, context = states.STATES["password"](PAGES.languages.get("en"))
    page = str(PAGES.render(states.request(of=arabic), template, context).text)
    assert {"dir": "auto", "lang": "ar"} in tags(page, "p")
    assert {"dir": "auto"} in tags(html("password"), "p")


def test_a_tenant_without_help_has_no_empty_help_block() -> None:
    bare = states.tenant(Branding(name="Bare"))
    template, context = states.STATES["password"](PAGES.languages.get("en"))
    assert "Need help?" not in str(PAGES.render(states.request(of=bare), template, context).text)


@pytest.mark.row("GW-30")
@pytest.mark.parametrize(
    "name", ["password-locked", "verify-limit", "verify-send-failed", "stopped", "problem-not-found"]
)
def test_a_fault_a_lock_and_a_stop_show_the_reference(name: str) -> None:
    assert states.REFERENCE_CODE in html(name)


@pytest.mark.parametrize("name", ["password-wrong", "verify-wrong", "register-email-bad", "new-password-refused"])
def test_an_entry_that_the_user_can_correct_shows_no_reference(name: str) -> None:
    assert states.REFERENCE_CODE not in html(name)


def test_passwords_and_codes_can_be_filled_in_and_pasted() -> None:
    page = html("password")
    assert by_name(page, "username")["autocomplete"] == "username"
    assert by_name(page, "password")["autocomplete"] == "current-password"
    code = by_name(html("verify"), "code")
    assert (code["autocomplete"], code["inputmode"]) == ("one-time-code", "numeric")


@pytest.mark.row("GW-32")
@pytest.mark.parametrize("name", ["verify", "register-totp", "verify-totp"])
def test_no_pattern_or_length_blocks_the_spelling_of_a_code(name: str) -> None:
    field = by_name(html(name), "code")
    assert not {"pattern", "maxlength", "minlength"} & field.keys()
    assert field.get("type", "text") == "text"


@pytest.mark.row("EF-21")
def test_the_code_page_explains_how_to_get_help() -> None:
    page = html("verify")
    for words in ("am•••@example.com", "spam or junk", "Only the newest code works", "contact your administrator"):
        assert words in page
    assert "address is unique" not in page


@pytest.mark.row("EF-21")
def test_a_replaced_code_names_the_shared_mailbox_and_a_wrong_code_does_not() -> None:
    words = "Do you share this mailbox? A colleague's newer code replaces yours."
    assert words in unescape(html("verify-replaced"))
    assert "whether your address is unique" in html("verify-replaced")
    assert "mailbox?" not in html("verify-wrong")


def test_a_wrong_entry_is_named_in_the_title_and_described_by_its_problem() -> None:
    page = html("verify-wrong")
    assert "<title>Error: That code didn&#39;t work" in page
    assert 'id="problem" role="alert" tabindex="-1">' in page
    field = by_name(page, "code")
    assert field["aria-invalid"] == "true"
    assert field["aria-describedby"] == "problem lead code-life"
    assert page.count("autofocus") == 1


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("verify-limit", "That was too many tries"),
        ("password-locked", "Sign-in is paused"),
        ("verify-queued", "Your code will be sent soon"),
    ],
)
def test_a_wait_is_named_in_the_title(name: str, title: str) -> None:
    assert f"<title>{title} · Northwind" in html(name)


@pytest.mark.parametrize("name", [n for n in states.STATES if n.startswith(("register", "confirm", "verify"))])
def test_the_page_offers_a_link_for_a_different_user(name: str) -> None:
    page = html(name)
    assert "<bdi>amira.haddad</bdi>" in page
    assert any(b.get("value") == "cancel" for b in tags(page, "button"))


def test_the_typed_address_is_shown_to_confirm_or_edit() -> None:
    page = html("confirm")
    assert '<bdi dir="ltr">amira.haddad@example.com</bdi>' in page
    assert [b.get("value") for b in tags(page, "button") if b.get("name") == "action"] == ["cancel", "edit"]


def test_without_scripts_the_resend_button_works_and_shows_when() -> None:
    page = html("verify")
    resend = next(b for b in tags(page, "button") if b.get("value") == "resend")
    assert "disabled" not in resend
    assert resend["data-wait"] == "45"
    assert '<small data-left="45">45 seconds</small>' in page


def test_with_an_expired_code_the_main_button_requests_a_new_one() -> None:
    page = html("verify-expired")
    assert next(b for b in tags(page, "button") if b.get("value") == "resend")["class"] == "main"


def test_an_invalid_code_shows_no_remaining_time() -> None:
    page = html("verify-limit")
    assert "code-life" not in page
    assert next(b for b in tags(page, "button") if b.get("value") == "resend")["class"] == "main"


def test_there_is_no_code_field_before_a_code_is_sent() -> None:
    for name in ("verify-send-failed", "verify-on-its-way", "verify-wait"):
        assert not any(i.get("name") == "code" for i in tags(html(name), "input"))


@pytest.mark.parametrize(
    "name", ["verify-over", "verify-expired", "verify-limit", "verify-send-failed", "verify-wait", "verify-on-its-way"]
)
def test_a_page_without_a_code_under_way_does_not_say_where_to_look_for_one(name: str) -> None:
    assert "spam" not in html(name)
    assert "spam" in html("verify")


@pytest.mark.row("EF-14")
@pytest.mark.parametrize("name", ["verify-over", "verify-expired", "verify-limit"])
def test_there_is_no_code_field_where_no_code_can_be_correct(name: str) -> None:
    page = html(name)
    assert not any(i.get("name") == "code" for i in tags(page, "input"))
    assert "Send a new code to" in page
    assert 'id="problem"' not in page  # the heading says it
    assert [b.get("value") for b in tags(page, "button") if b.get("class") == "main"] == ["resend"]
    assert page.count("autofocus") == 1


@pytest.mark.row("GW-13")
def test_the_answer_to_a_form_names_the_address_that_a_reload_requests() -> None:
    template, context = states.STATES["verify-wrong"](PAGES.languages.get("en"))
    asked = states.request("/-/login/verify", method="POST", of=states.tenant())
    page = str(PAGES.render(asked, template, context).text)
    assert tags(page, "html")[0]["data-here"] == "/-/login/verify?to=%2Funified-admin%2F"
    assert "history.replaceState" in page
    assert "history.replaceState" not in html("verify-wrong")


def test_the_answer_to_a_form_of_an_app_sets_no_reload_address() -> None:
    template, context = states.STATES["problem-unavailable"](PAGES.languages.get("en"))
    asked = states.request("/unified-admin/save", method="POST", of=states.tenant())
    assert "history.replaceState" not in str(PAGES.render(asked, template, context).text)


@pytest.mark.row("NX-10")
def test_the_page_shows_the_tag_of_the_mail() -> None:
    assert "K7Q" in html("verify-tag-remember")


def test_trusting_the_browser_is_offered_unticked() -> None:
    box = by_name(html("verify-tag-remember"), "remember")
    assert box["type"] == "checkbox"
    assert "checked" not in box


def test_an_app_can_be_set_up_by_qr_code_or_by_typing_the_secret() -> None:
    page = html("register-totp")
    assert "<svg" in page.partition('class="qr-frame"')[2][:400]
    assert page.partition('class="secret"')[2].count("<span>") >= 8


def test_text_that_a_user_typed_is_escaped() -> None:
    view = states.view("register", address='"><script>alert(1)</script>')
    response = PAGES.render(states.request(of=states.tenant()), "steps/register.html", {"view": view, "problem": None})
    assert "<script>alert" not in str(response.text)


def test_a_missing_template_variable_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        build_environments(data_root(), PAGES.languages)["en"].from_string("{{ nobody }}").render()


def test_text_templates_are_not_escaped_and_pages_are() -> None:
    environment = build_environments(data_root(), PAGES.languages)["en"]
    assert environment.get_template("factors/email/message.txt").environment.autoescape is environment.autoescape
    assert callable(environment.autoescape)
    assert environment.autoescape("steps/verify.html") is True
    assert environment.autoescape("factors/email/message.txt") is False


def test_a_template_is_compiled_once_for_all_languages() -> None:
    environments = build_environments(data_root(), PAGES.languages)
    codes = {one.get_template("logout.html").root_render_func.__code__ for one in environments.values()}
    assert len(environments) > 1
    assert len(codes) == 1
