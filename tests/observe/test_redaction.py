"""Facts about what never stands in a log line."""

from enum import Enum

import pytest

from gateway.domain.secret import Secret
from gateway.observe.redaction import DOTS, clean, clean_text


class Colour(Enum):
    RED = "red"


@pytest.mark.parametrize(
    "name",
    [
        "password", "new_password", "code", "otp", "otpCode", "client_secret", "access_token", "refreshToken",
        "Authorization", "cookie", "Set-Cookie", "csrf", "otpauth",
    ],
)  # fmt: skip
def test_a_value_named_like_a_secret_is_dots(name: str) -> None:
    assert clean({name: "a1b2c3"}) == {name: DOTS}


@pytest.mark.parametrize("name", ["status_code", "error_code", "token_type", "decoded", "purpose", "encoding"])
def test_a_value_that_only_sounds_like_one_is_kept(name: str) -> None:
    assert clean({name: "abc"}) == {name: "abc"}


def test_numbers_named_like_a_secret_are_dots_too() -> None:
    assert clean({"code": 123456}) == {"code": DOTS}


def test_secrets_deep_inside_are_dots() -> None:
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
def test_tokens_and_passwords_inside_texts_are_cut_out(text: str) -> None:
    shown = clean_text(text)
    assert "c2VjcmV0" not in shown
    assert "eyJ" not in shown


def test_a_value_cannot_forge_a_line() -> None:
    assert clean({"name": "a\nb\r\x1b[31m\u2028\u202e"}) == {"name": "a\\nb\\r\\x1b[31m\\u2028\\u202e"}


def test_other_values_become_text() -> None:
    assert clean({"a": Colour.RED, "b": Secret("x"), "c": None, "d": True, "e": (1, 2)}) == {
        "a": "red", "b": "Secret(•••)", "c": None, "d": True, "e": [1, 2],
    }  # fmt: skip


@pytest.mark.parametrize(
    "address", ["redis://gateway:hush:4!@redis:6379/0", "rediss://:hush!@r.example.com", "smtp://hush$@m"]
)
def test_the_password_of_an_address_is_cut_out(address: str) -> None:
    assert "hush" not in clean_text(f"cannot reach {address} now")
