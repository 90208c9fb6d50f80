"""What if a real part cannot be had on this machine? The test is skipped with one line; where ``CI=true``, it fails."""

import os
from typing import NoReturn

import pytest


def missing(what: str, how_to_get_it: str) -> NoReturn:
    """End the test that needs ``what``; the line says how to get it."""
    line = f"no {what} here: {how_to_get_it}"
    if os.environ.get("CI") == "true":
        pytest.fail(line, pytrace=False)
    pytest.skip(line)
