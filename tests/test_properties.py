"""Tests of counting in property tests (`tests/properties.py`)."""

import pytest
from hypothesis import strategies as st

from tests.properties import Reached, nearly, property_test


def test_a_property_test_whose_assertion_too_few_examples_reach_fails() -> None:
    @property_test(st.integers(), least=0.9)
    def weak(reached: Reached, number: int) -> None:
        if number == 0:
            reached()

    with pytest.raises(AssertionError, match="too few examples"):
        weak()


def test_a_property_test_with_a_counterexample_fails() -> None:
    @property_test(st.integers(), least=0)
    def wrong(reached: Reached, number: int) -> None:
        assert number < 50

    with pytest.raises(AssertionError, match="assert"):
        wrong()


@property_test(nearly(st.just("valid"), st.just("!")), least=0.4)
def test_about_half_of_the_nearly_valid_texts_are_valid(reached: Reached, text: str) -> None:
    if text == "valid":
        reached()
        return
    assert len(text) in (4, 6)
