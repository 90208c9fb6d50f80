"""Makes the colours of a page from a tenant's one colour, so that every text is readable.

Text on the button has a contrast of at least 4.5:1 to it. Links and focus rings have at least 4.5:1 to the card. This
is true in the light and in the dark scheme, for every colour of a tenant (WCAG 2.2, 1.4.3 and 1.4.11). Pure.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

DEFAULT_COLOUR = "#2f5bd7"
LIGHT_SURFACE = "#ffffff"
DARK_SURFACE = "#1b2029"
READABLE = 4.5

_BLACK, _WHITE = "#0b0d12", "#ffffff"
_HEX = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours as `#rrggbb`: `brand` with the text `on_brand`, `accent` for links on the card.

    In the dark scheme `dark_brand` is the colour of links too.
    """

    brand: str
    on_brand: str
    accent: str
    dark_brand: str
    on_dark_brand: str


@lru_cache(maxsize=1024)
def palette(colour: str) -> Palette:
    """The palette of a tenant's `colour`; anything but `#rrggbb` counts as unset."""
    brand = colour.lower() if _HEX.fullmatch(colour) else DEFAULT_COLOUR
    accent = _readable_on(brand, LIGHT_SURFACE, _BLACK)
    dark = _readable_on(brand, DARK_SURFACE, _WHITE)
    return Palette(
        brand=brand,
        on_brand=_text_on(brand),
        accent=accent,
        dark_brand=dark,
        on_dark_brand=_text_on(dark),
    )


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two `#rrggbb` colours, 1 to 21 (WCAG 2.2, "contrast ratio")."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _text_on(background: str) -> str:
    # Pure black is the way out for the few middle greys on which neither white nor our near-black reaches 4.5:1.
    return next((c for c in (_WHITE, _BLACK) if contrast(c, background) >= READABLE), "#000000")


def _readable_on(colour: str, surface: str, towards: str) -> str:
    """`colour`, mixed in small steps with `towards` until it is readable on `surface`."""
    for step in range(0, 101, 4):
        mixed = _mix(colour, towards, step / 100)
        if contrast(mixed, surface) >= READABLE:
            return mixed
    return towards


def _mix(colour: str, other: str, share: float) -> str:
    return "#" + "".join(
        f"{round(a + (b - a) * share):02x}" for a, b in zip(_channels(colour), _channels(other), strict=True)
    )


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _luminance(colour: str) -> float:
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
