"""Marks the English texts of the code for translation, cleans typed lines, and shows any text on one line."""

_INVISIBLE = dict.fromkeys(
    (0xAD, 0x200B, 0x200E, 0x200F, 0x2060, 0xFEFF, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
)


def marked(message: str) -> str:
    """Marks a text for extraction, as `_`; the page or mail that shows it translates it."""
    return message


def typed_line(typed: str) -> str:
    """`typed` without spaces around it and without the invisible marks that copying adds.

    Marks are direction marks (Unicode Annex 9), soft hyphens, zero-width spaces and word joiners. Joiners (U+200C and
    U+200D) stay: Persian and Indic names are spelled with them.
    """
    return typed.translate(_INVISIBLE).strip()


def visible(text: str) -> str:
    """Escapes the characters that are invisible, or that change the direction of a line."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
