"""Tests of `gateway.rendering.colours`."""

import pytest
from hypothesis import strategies as st

from gateway.rendering.colours import DARK_SURFACE, DEFAULT_COLOUR, LIGHT_SURFACE, contrast, palette
from tests.fixtures.properties import Reached, property_test

READABLE = 4.5  # WCAG 2.2, 1.4.3

colours = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}")


@property_test(colours, least=1)
def test_every_tenant_colour_gets_a_readable_text_colour_in_both_colour_schemes(reached: Reached, colour: str) -> None:
    made = palette(colour)
    reached()
    assert contrast(made.on_brand, made.brand) >= READABLE
    assert contrast(made.on_dark_brand, made.dark_brand) >= READABLE
    assert contrast(made.accent, LIGHT_SURFACE) >= READABLE
    assert contrast(made.dark_brand, DARK_SURFACE) >= READABLE


def test_the_button_has_the_tenants_colour() -> None:
    assert palette("#FFCC00").brand == "#ffcc00"


@pytest.mark.parametrize("colour", ["", "red", "#fff", "#12345g", "#123456;}body{display:none"])
def test_an_invalid_colour_counts_as_unset(colour: str) -> None:
    assert palette(colour) == palette(DEFAULT_COLOUR)


def test_black_on_white_has_the_contrast_that_wcag_states() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
