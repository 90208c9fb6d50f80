"""Tests of a mail: one recipient, and no value breaks out of its header."""

from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.utils import getaddresses

import pytest
from hypothesis import strategies as st

from gateway.delivery.smtp import Message, compose, one_address, without_addresses
from tests.fixtures.properties import Reached, nearly, property_test

NOW = 1_800_000_000.0


def message(**changes: str) -> Message:
    """Returns a mail to Anna."""
    values = {"to": "anna@cc.example", "subject": "Your code", "text": "t", "html": "<p>h</p>", "language": "en"}
    return Message(**{**values, "reference": "ABCD2345", **changes})


def composed(sender_name: str = "Expertflow", **changes: str) -> bytes:
    """Returns its bytes."""
    return compose(message(**changes), sender="otp@cc.example", sender_name=sender_name, now=NOW, unique="u1")


@pytest.mark.parametrize(
    ("typed", "address"),
    [
        ("anna@cc.example", "anna@cc.example"),
        ("  anna@cc.example ", "anna@cc.example"),
        ("Anna.Lee+2fa@CC.Example", "Anna.Lee+2fa@cc.example"),
        ("anna@mail.corp.local", "anna@mail.corp.local"),
        ("anna@bücher.example", "anna@xn--bcher-kva.example"),
        ("o'neill@cc.example", "o'neill@cc.example"),
    ],
)
@pytest.mark.row("EF-11")
def test_an_address_is_accepted_in_the_spelling_used_for_delivery(typed: str, address: str) -> None:
    assert one_address(typed) == address


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "anna",
        "@cc.example",
        "anna@",
        "anna@localhost",
        "anna@cc.example, eve@evil.example",
        "anna@cc.example; eve@evil.example",
        "anna@cc.example eve@evil.example",
        "Anna <anna@cc.example>",
        '"anna b"@cc.example',
        "anna@[127.0.0.1]",
        "anna@cc.example\r\nBcc: eve@evil.example",
        "anna@cc.example\n",
        "an\x00na@cc.example",
        "anna\u202e@cc.example",
        "an(comment)na@cc.example",
        "a@b@cc.example",
        "x" * 400 + "@cc.example",
        "änna@cc.example",
        "anna@cc..example",
        "\ud800@cc.example",
    ],
)
@pytest.mark.attack("C5")
def test_a_text_that_is_not_exactly_one_plain_address_is_refused(typed: str) -> None:
    assert one_address(typed) is None


@pytest.mark.attack("C5")
def test_a_mail_to_two_recipients_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly one recipient"):
        message(to="anna@cc.example, eve@evil.example")


@pytest.mark.parametrize("subject", ["a\r\nBcc: eve@evil.example", "a\nb", "a\x00b", "x" * 201])
@pytest.mark.attack("C5")
def test_a_subject_of_several_lines_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        message(subject=subject)


def test_the_repr_of_a_mail_shows_neither_text_nor_recipient() -> None:
    printed = repr(message(text="the code is 123456"))
    assert "123456" not in printed
    assert "anna@" not in printed


def test_a_mail_carries_its_date_and_is_marked_as_automatic() -> None:
    mail = message_from_bytes(composed(), policy=policy.default)
    assert mail["Date"] == "Fri, 15 Jan 2027 08:00:00 +0000"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Message-ID"] == "<ABCD2345.u1@cc.example>"


def test_a_mail_has_a_text_and_an_html_part_in_any_script() -> None:
    mail = message_from_bytes(
        composed(subject="رمز الدخول", text="رمز", html="<p dir=rtl>رمز</p>", language="ar"), policy=policy.default
    )
    assert str(mail["Subject"]) == "رمز الدخول"
    parts = {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}
    assert parts == {"text/plain": "رمز\r\n", "text/html": "<p dir=rtl>رمز</p>\r\n"}
    assert mail["Content-Language"] == "ar"


def test_a_mail_in_any_script_is_ascii_when_it_is_sent() -> None:
    composed(subject="رمز", text="رمز", sender_name="مركز").decode("ascii")


TEXTS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=120).map(
    lambda text: " ".join(text.split())
)


def read(raw: bytes) -> tuple[str, str, str]:
    """Returns subject, sender's name and sender's address, by the decoder of RFC 2047 words.

    The parser of `policy.default` puts a blank between two encoded words of a name (Python 3.11).
    """
    mail = message_from_bytes(raw, policy=policy.compat32)
    ((name, address),) = getaddresses([mail["From"]])
    return str(make_header(decode_header(mail["Subject"]))), str(make_header(decode_header(name))), address


@property_test(st.tuples(TEXTS, TEXTS), least=0.9)
def test_any_subject_and_sender_name_arrive_as_they_were(reached: Reached, texts: tuple[str, str]) -> None:
    subject, name = texts
    raw = composed(name, subject=subject)
    assert read(raw) == (subject, name, "otp@cc.example")
    reached()
    head = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")
    assert max(len(line) for line in head) <= 98
    assert all(len(word) <= 75 for line in head for word in line.split() if word.startswith(b"=?"))


@pytest.mark.parametrize(
    "subject",
    [
        "ایکسپرٹ فلو کانٹیکٹ سینٹر میں سائن ان کرنے کے لیے آپ کا کوڈ، براہِ کرم کسی کو نہ بتائیں",
        "رمز تسجيل الدخول الخاص بك إلى مركز الاتصال الخاص بشركة إكسبرت فلو للاتصالات الموحدة",
        "Ihr Anmeldecode für das Kontaktzentrum der Verkehrsbetriebe, gültig für fünf Minuten",
        "=?utf-8?q?not_encoded?=",
    ],
)
def test_a_long_subject_in_any_script_keeps_its_blanks(subject: str) -> None:
    assert read(composed(subject=subject))[0] == subject


def test_a_long_sender_name_with_commas_stays_one_mailbox() -> None:
    name = "Contact Centre of the Municipal Transport, Water, Energy and Waste Services, Northern District"
    assert read(composed(name))[1:] == (name, "otp@cc.example")


@property_test(name=st.text(max_size=80), least=0.4)
def test_a_mail_has_one_recipient_and_one_of_each_header_for_any_sender_name(reached: Reached, name: str) -> None:
    try:
        raw = composed(sender_name=name)
    except ValueError:
        return  # refused: no address was returned
    reached()
    mail = message_from_bytes(raw, policy=policy.default)
    assert getaddresses(mail.get_all("To", [])) == [("", "anna@cc.example")]
    assert mail.get_all("Bcc") is None
    assert mail.get_all("Cc") is None
    assert len(mail.get_all("From", [])) == 1


_LABELS = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9]{0,6}[A-Za-z])?", fullmatch=True)
_ADDRESSES = st.tuples(
    st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}(\.[A-Za-z0-9]{1,6})?", fullmatch=True),
    st.just("@"),
    st.lists(_LABELS, min_size=1, max_size=3).map(".".join),
    st.sampled_from([".com", ".example", ".Internal", ".münchen"]),
).map("".join)
_MARKS = [" ", ",", ";", "<", ">", '"', "@", "..", "\n", "\r\n", "(x)", "ü", "\u202e"]
_ODD = st.one_of(st.sampled_from(_MARKS), st.text(max_size=2))


@property_test(nearly(_ADDRESSES, _ODD), least=0.4)
def test_any_typed_text_is_refused_or_becomes_an_address_that_is_accepted_again(reached: Reached, typed: str) -> None:
    address = one_address(typed)
    if address is None:
        return
    reached()
    assert one_address(address) == address
    assert address.isascii()
    assert address.count("@") == 1


def test_the_answer_of_a_relay_is_kept_without_its_mail_addresses() -> None:
    assert without_addresses("5.1.1 <anna@cc.example>: user\r\n unknown") == "5.1.1 <…@…>: user unknown"
