"""Tests that every accepted setting is used."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import gateway
from gateway.domain.channel import Channel, Relay
from gateway.domain.configuration import GatewaySettings, OperatorLimits
from gateway.domain.tenant import Route

PACKAGE = Path(gateway.__file__).parent
OUTSIDE = "\n".join(
    file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py") if file.parent.name not in ("settings", "domain")
)
CHECKED_ONLY = {"insecure_http"}
"""Settings that only decide which other settings are allowed."""


@pytest.mark.parametrize("of", [GatewaySettings, OperatorLimits, Route, Channel, Relay])
def test_every_setting_is_used_outside_of_the_settings_package(of: type[Any]) -> None:
    unused = {field.name for field in fields(of) if not re.search(rf"\.{field.name}\b", OUTSIDE)}
    assert unused - CHECKED_ONLY == set()
