"""Marks the English texts of the code for translation."""


def marked(message: str) -> str:
    """Marks a text for extraction, as `_`; the page or mail that shows it translates it."""
    return message
