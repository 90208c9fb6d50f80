"""Facts about the page that lists EFCX's keys."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.settings.folder import CREATE, SHIPPED

PAGE = SHIPPED.parent / "docs" / "efcx-keys.md"


def names(section: dict[str, Any], inside: str = "") -> Iterator[str]:
    for key, value in section.items():
        if isinstance(value, dict) and value and key in ("tenantSettings", "keyCloak", "credentials", "twoFAConfigs"):
            yield from names(value, key)
        else:
            yield key


@pytest.mark.row("EF-24")
def test_every_key_of_the_guides_payload_is_on_the_page_as_used_or_kept() -> None:
    page = PAGE.read_text(encoding="utf-8")
    listed = {part for quoted in re.findall(r"`([^`]+)`", page) for part in quoted.split(".")}
    assert set(names(json.loads(CREATE.read_bytes()))) - listed == set()
