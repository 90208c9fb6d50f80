"""Tests that every catalogue has every sentence of the pages."""

import re

import pytest
from babel.messages.catalog import Message

from tests.rendering import catalogues

PLACEHOLDER = re.compile(r"%\(\w+\)s")
CODES = sorted(p.parts[-3] for p in catalogues.LOCALES.glob("*/LC_MESSAGES/gateway.po"))


def _ids(message: Message) -> tuple[str, ...]:
    return (message.id,) if isinstance(message.id, str) else tuple(message.id)


def _forms(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ())


@pytest.mark.row("GW-39")
@pytest.mark.parametrize("code", CODES)
def test_a_catalogue_contains_exactly_the_sentences_of_the_pages(code: str) -> None:
    wanted = {_ids(m) for m in catalogues.extracted() if m.id}
    assert {_ids(m) for m in catalogues.read(code) if m.id} == wanted


@pytest.mark.row("GW-39")
@pytest.mark.parametrize("code", CODES)
def test_every_sentence_is_translated_with_its_placeholders(code: str) -> None:
    catalogue = catalogues.read(code)
    for message in (m for m in catalogue if m.id):
        forms, ids = _forms(message), _ids(message)
        assert len(forms) == (1 if len(ids) == 1 else catalogue.num_plurals), ids
        for form in forms:
            assert form, ids
            found, wanted = sorted(PLACEHOLDER.findall(form)), sorted(PLACEHOLDER.findall(ids[-1]))
            # A plural form may express the number by the word alone, as the Arabic dual does.
            assert found == wanted or (len(ids) > 1 and not found), ids


def test_no_translation_contains_markup() -> None:
    for code in CODES:
        for message in (m for m in catalogues.read(code) if m.id):
            for text in _forms(message):
                assert not set("<>&") & set(text), text


def test_catalogues_for_english_arabic_and_urdu_exist() -> None:
    assert {"ar", "en", "ur"} <= set(CODES)
