"""Every sentence for people is in every catalogue (GW-39)."""

import re

import pytest
from babel.messages.catalog import Message

from tests.rendering import catalogues

PLACEHOLDER = re.compile(r"%\(\w+\)s")
CODES = sorted(p.parts[-3] for p in catalogues.LOCALES.glob("*/LC_MESSAGES/gateway.po"))


def _ids(message: Message) -> tuple[str, ...]:
    return tuple(message.id) if isinstance(message.id, (tuple, list)) else (message.id,)


@pytest.mark.row("GW-39")
@pytest.mark.parametrize("code", CODES)
def test_a_catalogue_has_exactly_the_sentences_of_the_pages(code: str) -> None:
    wanted = {_ids(m) for m in catalogues.extracted() if m.id}
    assert {_ids(m) for m in catalogues.read(code) if m.id} == wanted


@pytest.mark.row("GW-39")
@pytest.mark.parametrize("code", CODES)
def test_every_sentence_is_translated_with_its_placeholders(code: str) -> None:
    for message in catalogues.read(code):
        if not message.id:
            continue
        assert message.string, message.id
        if isinstance(message.id, str):
            assert sorted(PLACEHOLDER.findall(message.string)) == sorted(PLACEHOLDER.findall(message.id)), message.id
            continue
        allowed = set(PLACEHOLDER.findall(message.id[1]))
        assert len(message.string) == catalogues.read(code).num_plurals
        for form in message.string:
            assert form
            assert set(PLACEHOLDER.findall(form)) <= allowed, message.id


def test_no_translation_is_markup() -> None:
    for code in CODES:
        for message in (m for m in catalogues.read(code) if m.id):
            for text in (message.string,) if isinstance(message.string, str) else tuple(message.string):
                assert not set("<>&") & set(text), text


def test_arabic_is_there() -> None:
    assert CODES == ["ar", "en"]
