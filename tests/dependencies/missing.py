"""Skips a test whose dependency is missing on this machine; with `CI=true` the test fails."""

import os
from typing import NoReturn

import pytest


def missing(what: str, how_to_get_it: str) -> NoReturn:
    """Ends the test that needs `what`; the message says how to install it."""
    line = f"no {what} here: {how_to_get_it}"
    if os.environ.get("CI") == "true":
        pytest.fail(line, pytrace=False)
    pytest.skip(line)
