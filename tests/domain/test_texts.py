"""Cleaning of a line that a person typed: invisible marks go, visible characters stay."""

import unicodedata

import pytest

from gateway.domain.texts import typed_line

INVISIBLE = ["SOFT HYPHEN", "ZERO WIDTH SPACE", "LEFT-TO-RIGHT MARK", "RIGHT-TO-LEFT MARK", "WORD JOINER"]
INVISIBLE += ["ZERO WIDTH NO-BREAK SPACE", "LEFT-TO-RIGHT EMBEDDING", "POP DIRECTIONAL FORMATTING"]
INVISIBLE += ["RIGHT-TO-LEFT OVERRIDE", "LEFT-TO-RIGHT ISOLATE", "FIRST STRONG ISOLATE", "POP DIRECTIONAL ISOLATE"]


@pytest.mark.parametrize("name", INVISIBLE)
def test_invisible_marks_of_a_copied_text_are_dropped(name: str) -> None:
    mark = unicodedata.lookup(name)
    assert typed_line(f"{mark}ben{mark}.miller {mark}") == "ben.miller"


@pytest.mark.parametrize("name", ["ZERO WIDTH JOINER", "ZERO WIDTH NON-JOINER"])
def test_joiners_within_a_name_are_kept(name: str) -> None:
    joined = f"نام{unicodedata.lookup(name)}ها"
    assert typed_line(joined) == joined


def test_characters_that_are_seen_are_kept() -> None:
    assert typed_line(" Zoë O'Hara-Łęcka+1@example.com\t") == "Zoë O'Hara-Łęcka+1@example.com"
