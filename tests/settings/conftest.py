"""One good folder of settings for each test."""

from pathlib import Path

import pytest

from tests.settings.config_folder import ConfigFolder


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    """A small good configuration to spoil."""
    return ConfigFolder(tmp_path / "config")
