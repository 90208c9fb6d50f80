"""A valid folder of settings for each test."""

from pathlib import Path

import pytest

from tests.fixtures.config_folder import ConfigFolder


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    """Returns a small valid configuration for a test to change."""
    return ConfigFolder(tmp_path / "config")
