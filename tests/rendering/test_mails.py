"""Tests of `gateway.rendering.mails` and the mail templates."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import jinja2
import pytest

from gateway.domain.tenant import Branding
from gateway.rendering.colours import contrast, palette
from tests.fixtures import page_states as states


def _words(html: str) -> str:
    """Returns the text of an HTML mail."""
    parts: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            parts.append(data)

        def handle_endtag(self, tag: str) -> None:
            parts.append(" " if tag == "p" else "")

    Reader().feed(html.partition("<body")[2].partition(">")[2])
    return " ".join("".join(parts).split())


@pytest.mark.attack("C7")
def test_the_code_is_never_in_the_subject() -> None:
    mail = states.mail("message")
    assert "402817" not in mail.subject
    assert "402817" in mail.text
    assert "402817" in mail.html


@pytest.mark.attack("C8")
def test_the_mail_names_the_host_the_browser_the_expiry_and_the_reference() -> None:
    mail = states.mail("message")
    for part in (mail.text, _words(mail.html)):
        for word in ("cc.example.com", "Chrome on Windows", "5 minutes", states.REFERENCE_CODE, "Wasn't you?"):
            assert word in part


@pytest.mark.row("GW-30")
@pytest.mark.parametrize("name", states.MAILS)
@pytest.mark.parametrize("code", states.LANGUAGES)
def test_every_mail_carries_the_reference(name: str, code: str) -> None:
    mail = states.mail(name, code)
    assert states.REFERENCE_CODE in mail.text
    assert states.REFERENCE_CODE in _words(mail.html)


def test_a_code_mail_without_a_known_browser_has_no_incomplete_sentence() -> None:
    mail = states.mail("message", browser="")
    for part in (mail.text, _words(mail.html)):
        assert "Requested on " in part
        assert "from" not in part.partition("Requested")[2].partition(".")[0]


def test_an_enrolment_mail_without_a_known_browser_has_no_incomplete_sentence() -> None:
    mail = states.mail("enrolled", browser="")
    for part in (mail.text, _words(mail.html)):
        assert "Added on " in part
        assert "Added at" not in part


@pytest.mark.attack("C8")
@pytest.mark.parametrize("name", states.MAILS)
@pytest.mark.parametrize("code", states.LANGUAGES)
def test_a_mail_without_a_known_browser_has_no_gap(name: str, code: str) -> None:
    mail = states.mail(name, code, browser="")
    for part in (mail.text, _words(mail.html)):
        assert not re.search(r"\S  +\S", part)
        assert "()" not in part
    if code == "en":
        assert re.search(r"^(Requested|Added|Changed|Last|Used) on ", mail.text, re.MULTILINE)


@pytest.mark.row("GW-39")
def test_a_browser_is_described_in_the_language_of_the_mail() -> None:
    assert "Chrome على Windows" in states.mail("message", "ar").text
    assert "Windows پر Chrome" in states.mail("enrolled", "ur").text


@pytest.mark.row("NX-10")
def test_a_tag_is_in_subject_and_body_and_a_mail_without_a_tag_does_not_mention_one() -> None:
    with_tag, without = states.mail("message"), states.mail("message", tag="")
    assert with_tag.subject.endswith("[K7Q]")
    assert "K7Q" in with_tag.text
    assert "marked" not in without.text + without.subject


def test_the_text_part_and_the_html_part_have_the_same_content() -> None:
    for name in states.MAILS:
        mail = states.mail(name)
        sheet = mail.html.partition('class="sheet"')[2]
        assert _words("<body" + sheet).removeprefix("Northwind Contact Centre ") == " ".join(mail.text.split())


@pytest.mark.parametrize("code", states.LANGUAGES)
def test_a_list_of_mails_and_a_lock_screen_show_the_code_first(code: str) -> None:
    mail = states.mail("message", code)
    assert mail.text.startswith("402817\n")
    assert "402817" in _words(mail.html)[:40]
    if code == "en":
        assert _words(mail.html).startswith("402817 is your code, valid for 5 minutes.")


@pytest.mark.parametrize("name", states.MAILS)
def test_a_mail_names_the_user_because_users_share_mailboxes(name: str) -> None:
    mail = states.mail(name)
    for part in (mail.text, _words(mail.html)):
        assert "amira.haddad" in part


@pytest.mark.parametrize("colour", ["#ffe14d", "#3b1f7a", ""])
def test_the_name_bar_has_the_colour_of_the_tenant_and_a_readable_text(colour: str) -> None:
    html = states.mail("message", tenant=states.tenant(Branding(name="Northwind", colour=colour))).html
    found = re.search(r'class="name" style="[^"]*background: (#\w{6});color: (#\w{6})', html)
    assert found
    assert found[1] == palette(colour).brand
    assert contrast(found[1], found[2]) >= 4.5


def test_the_time_in_a_mail_is_that_of_the_tenant_without_seconds() -> None:
    at = datetime(2026, 11, 27, 10, 36, 43, tzinfo=UTC).timestamp()
    karachi = replace(states.tenant(), time_zone="Asia/Karachi")
    for name in states.MAILS:
        assert "27 Nov 2026, 15:36 (PKT)" in states.mail(name, at=at, tenant=karachi).text


@pytest.mark.attack("C6")
def test_text_from_other_sources_is_escaped_in_html() -> None:
    evil = '<img src=x onerror="alert(1)">'
    mail = states.mail("message", browser=evil, username=evil, tenant=states.tenant(Branding(name=evil)))
    assert "<img" not in mail.html
    assert evil in mail.text


@pytest.mark.attack("C5")
def test_the_subject_is_one_line_for_any_tenant_name() -> None:
    mail = states.mail("message", tenant=states.tenant(Branding(name="A\r\nBcc: eve@example.com")))
    assert "\n" not in mail.subject
    assert "\r" not in mail.subject


def test_styles_are_inlined_and_no_external_resource_is_loaded() -> None:
    html = states.mail("message").html
    assert re.search(r'class="code"[^>]*style="[^"]*font-size: ?36px', html)
    assert not re.search(r'(src|href)="', html)


@pytest.mark.row("GW-39")
def test_a_mail_is_in_the_requested_language() -> None:
    mail = states.mail("message", "ar")
    assert '<html lang="ar" dir="rtl"' in mail.html
    assert "5 دقائق" in mail.text
    assert mail.language == "ar"


def test_a_mail_in_an_unknown_language_is_in_english() -> None:
    assert states.mail("message", "tlh").subject.startswith("Your sign-in code")


@pytest.mark.row("EF-11")
def test_the_mail_of_a_new_enrolment_shows_the_masked_address_and_the_next_step() -> None:
    mail = states.mail("enrolled")
    assert "a***@e***.com" in mail.text
    assert "tell your administrator" in mail.text


CHANGES = tuple(name for name in states.MAILS if name not in ("message", "administrator"))
"""The mails about an account."""


@pytest.mark.row("GW-45")
def test_the_mail_of_a_factor_turned_off_names_the_factor_and_the_next_step() -> None:
    mail = states.mail("turned-off")
    assert mail.subject == "A sign-in method was turned off for your account at Northwind Contact Centre"
    assert mail.text.startswith(
        "A sign-in method was turned off for the account of amira.haddad at Northwind Contact Centre.\n\n"
        "Authenticator app\n\nChanged at cc.example.com from Chrome on Windows, "
    )
    assert "tell your administrator at once" in mail.text


@pytest.mark.row("GW-45")
def test_the_mail_of_new_backup_codes_contains_no_code() -> None:
    mail = states.mail("new-codes")
    assert mail.subject == "New backup codes were made for your account at Northwind Contact Centre"
    assert "The old ones no longer work.\n\nChanged at cc.example.com from Chrome on Windows, " in mail.text
    assert "tell your administrator at once" in mail.text


@pytest.mark.row("GW-45", "GW-39")
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("code", states.LANGUAGES)
def test_the_mail_of_an_account_change_is_in_the_users_language_and_requests_nothing(name: str, code: str) -> None:
    mail = states.mail(name, code)
    assert f'<html lang="{code}"' in mail.html
    assert "cc.example.com" in mail.text
    assert "href" not in mail.html  # a link in a mail teaches users to follow links in mails
    if code != "en":
        assert "your account" not in mail.subject + mail.text + mail.html


@pytest.mark.parametrize("name", CHANGES)
def test_the_text_of_an_account_change_mail_has_no_double_empty_lines(name: str) -> None:
    for more in ({}, {"browser": ""}):
        assert "\n\n\n" not in states.mail(name, **more).text


def test_a_missing_template_variable_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        states.mail("message", username=jinja2.StrictUndefined(name="username"))
