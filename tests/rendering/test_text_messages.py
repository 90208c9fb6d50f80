"""Tests of text messages with a code: short, translated, and filled in by phones."""

from dataclasses import replace

import pytest

from gateway.domain.tenant import Branding, Tenant
from gateway.rendering.data_root import data_root
from gateway.rendering.languages import load_languages
from gateway.rendering.text_messages import TextMessages, is_gsm, parts_of
from tests.fixtures.sample_tenants import TENANT

TEXTS = TextMessages(load_languages(data_root() / "locales", ("en", "ar", "ur")))
HOST = "efcx.example.com"
CODE = "123456"


def tenant(name: str) -> Tenant:
    return replace(TENANT, branding=Branding(name=name))


@pytest.mark.row("EF-20")
@pytest.mark.parametrize("language", ["en", "ar", "ur"])
def test_the_last_line_binds_the_code_to_the_host(language: str) -> None:
    text = TEXTS.code(CODE, tenant("Expertflow"), language, HOST, "")
    assert text.splitlines()[-1] == "@efcx.example.com #123456"
    assert text.count(CODE) == 2


@pytest.mark.parametrize("language", ["en", "ar", "ur"])
@pytest.mark.parametrize(
    "name", ["Expertflow", "A name of a tenant that has sixty characters or very nearly so", "شركة"]
)
@pytest.mark.parametrize("tag", ["", "KXW"])
def test_a_text_has_one_part(language: str, name: str, tag: str) -> None:
    text = TEXTS.code(CODE, tenant(name), language, HOST, tag)
    assert parts_of(text) == 1
    assert tag in text


def test_the_name_of_the_tenant_is_left_out_where_it_would_cost_a_second_part() -> None:
    assert "Northwind" in TEXTS.code(CODE, tenant("Northwind"), "en", HOST, "")
    assert "شركة" not in TEXTS.code(CODE, tenant("شركة"), "en", HOST, "")


def test_a_name_cannot_add_a_line() -> None:
    lines = TEXTS.code(CODE, tenant("A\n@evil.example #000000"), "en", HOST, "").splitlines()
    assert lines[1:] == ["", "@efcx.example.com #123456"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("[" * 80, 1),
        ("[" * 81, 2),
        ("ر" * 70, 1),
        ("ر" * 71, 2),
        ("ر" * 135, 3),
        ("\N{GRINNING FACE}" * 35, 1),
        ("\N{GRINNING FACE}" * 36, 2),
        ("", 1),
    ],
)
def test_parts_are_counted_as_networks_do(text: str, parts: int) -> None:
    assert parts_of(text) == parts


def test_a_text_with_any_other_letter_is_not_in_the_gsm_alphabet() -> None:
    assert is_gsm("Your code: 1 @£€")
    assert not is_gsm("Your code: ١")
