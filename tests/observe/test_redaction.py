"""Tests of redaction: no secret is in a log line."""

import json
from enum import Enum
from typing import Any

import pytest

from gateway.domain.secret import Secret
from gateway.observe.redaction import DOTS, clean, clean_text

MAX_EXCEPTION = 16000
MAX_ITEMS = 50
MAX_LINE = 40000
MAX_TEXT = 2000


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    "name",
    [
        "password", "new_password", "code", "otp", "otpCode", "client_secret", "access_token", "refreshToken",
        "Authorization", "cookie", "Set-Cookie", "csrf", "otpauth",
    ],
)  # fmt: skip
def test_a_value_with_the_name_of_a_secret_is_redacted(name: str) -> None:
    assert clean({name: "a1b2c3"}) == {name: DOTS}


@pytest.mark.parametrize("name", ["status_code", "error_code", "token_type", "decoded", "purpose", "encoding"])
def test_a_value_whose_name_only_resembles_a_secrets_is_kept(name: str) -> None:
    assert clean({name: "abc"}) == {name: "abc"}


def test_numbers_with_the_name_of_a_secret_are_redacted_too() -> None:
    assert clean({"code": 123456}) == {"code": DOTS}


def test_nested_secrets_are_redacted() -> None:
    assert clean({"a": [{"b": {"password": "x"}}]}) == {"a": [{"b": {"password": DOTS}}]}


@pytest.mark.row("GW-18")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("anna@example.com", "a***@e***.com"),
        ("to anna.b+c@mail.example.co.uk now", "to a***@m***.uk now"),
        ("call +49 170 1234512", "call ***12"),
        ("anna", "anna"),
        ("id f81d4fae-7dec", "id f81d4fae-7dec"),
    ],
)
def test_addresses_are_masked(text: str, shown: str) -> None:
    assert clean({"who": text}) == {"who": shown}


@pytest.mark.parametrize(
    "text",
    [
        "Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "token eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl!",
        "Authorization: Basic c2VjcmV0OmV5Sg==",
        "grant_type=password&password=c2VjcmV0&x=1",
        '{"client_secret": "eyJ c2VjcmV0"}',
        "redis://user:c2VjcmV0@host:6379",
    ],
)
def test_tokens_and_passwords_inside_texts_are_redacted(text: str) -> None:
    shown = clean_text(text)
    assert "c2VjcmV0" not in shown
    assert "eyJ" not in shown


@pytest.mark.parametrize(
    "answer",
    [
        "535 5.7.139 Authentication unsuccessful, basic authentication is disabled",
        "530 5.7.0 Basic Authentication required",
        "504 bearer authentication not supported",
    ],
)
def test_the_answer_of_a_mail_server_is_logged_whole(answer: str) -> None:
    assert clean_text(answer) == answer


def test_a_value_cannot_forge_a_log_line() -> None:
    assert clean({"name": "a\nb\r\x1b[31m\u2028\u202e"}) == {"name": "a\\nb\\r\\x1b[31m\\u2028\\u202e"}


def test_values_of_other_types_become_text() -> None:
    assert clean({"a": Colour.RED, "b": Secret("x"), "c": None, "d": True, "e": (1, 2)}) == {
        "a": "red", "b": "Secret(•••)", "c": None, "d": True, "e": [1, 2],
    }  # fmt: skip


@pytest.mark.parametrize(
    "address", ["redis://gateway:hush:4!@redis:6379/0", "rediss://:hush!@r.example.com", "smtp://hush$@m"]
)
def test_the_password_in_a_url_is_redacted(address: str) -> None:
    assert "hush" not in clean_text(f"cannot reach {address} now")


@pytest.mark.parametrize(
    "text", ["eyJ0ZXN0ZXN0ZXN0Zm9vYmFy", 'password="hush hush', "password='hush", r'{"password": "a\"hush"}']
)
def test_a_secret_without_its_end_is_redacted(text: str) -> None:
    shown = clean_text(text)
    assert "hush" not in shown
    assert "eyJ" not in shown


def test_a_long_local_part_of_an_address_is_masked() -> None:
    assert clean_text(f"{'anna' * 30}@example.com") == "a***@e***.com"


# ---- lengths


def test_a_value_has_at_most_2000_characters_and_a_traceback_16000() -> None:
    assert (MAX_TEXT, MAX_EXCEPTION) == (2000, 16000)
    shown = clean({"a": "x " * 5_000, "exception": "x " * 50_000})
    assert shown["a"] == "x " * 1000 + "… (8000 more characters)"
    assert shown["exception"] == "x " * 8000 + "… (84000 more characters)"


def test_a_value_of_exactly_the_maximum_length_is_kept() -> None:
    assert clean({"a": "x" * 2000}) == {"a": "x" * 2000}


@pytest.mark.parametrize(
    "secret",
    [
        "anna.secretary@example.com",
        "redis://gateway:secret@redis:6379/0",
        "+49 170 1234567890",
        "eyJhbGciOiJSUzI1NiJ9.secret.secret",
        "Bearer secretsecretsecret",
        "password=secret",
        'client_secret="a secret"',
    ],
)
def test_the_rest_of_a_truncated_secret_is_masked(secret: str) -> None:
    """Truncation at any place shows nothing that the whole text would not show."""
    for at in range(1, len(secret)):
        before = "x " * 2000
        text = f"{before[: MAX_TEXT - at]}{secret}"
        shown = clean_text(text[: MAX_TEXT - at - 1] + " " + secret if before[MAX_TEXT - at - 1] != " " else text)
        for part in ("anna.s", "secr", "gateway:", "1701", "170 1"):
            assert part not in shown.replace("client_secret", ""), (at, shown[-60:])


def test_a_list_and_a_mapping_have_at_most_50_items() -> None:
    assert MAX_ITEMS == 50
    shown = clean({"a": list(range(80)), "b": {f"k{n}": n for n in range(80)}})
    assert shown["a"] == [*range(50), "… 30 more"]
    assert len(shown["b"]) == 51
    assert shown["b"]["…"] == "30 more"


def test_too_deeply_nested_values_are_redacted() -> None:
    deep: Any = "x"
    for _ in range(20):
        deep = [deep]
    assert str(clean({"a": deep})).count("[") == 6


def test_names_are_truncated_and_masked_too() -> None:
    (name,) = clean({f"anna@example.com {'x ' * 200}": 1})
    assert name.startswith("a***@e***.com x x")
    assert len(name) < 150


@pytest.mark.parametrize("letter", ["x", "\x00", "é", "\U0001f512", "\u2028"])
def test_a_line_is_bounded_for_any_characters(letter: str) -> None:
    values: dict[str, Any] = {f"v{n}": letter * 3000 for n in range(40)}
    nested: Any = letter * 3000
    for _ in range(5):
        nested = [nested] * 60
    shown = json.dumps(clean({**values, "exception": letter * 50_000, "nested": nested}))
    assert len(shown) < MAX_LINE * 1.1


def test_a_number_of_thousands_of_digits_is_logged_by_its_size() -> None:
    assert clean({"a": 10**5000, "b": 2**53}) == {"a": "a number of 16610 bits", "b": 2**53}


def test_bytes_are_truncated_before_they_become_text() -> None:
    assert len(clean({"a": b"\x00" * 10_000_000})["a"]) < 3000
