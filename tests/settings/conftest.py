"""One good folder of settings for each test."""

from pathlib import Path

import pytest

from tests.settings.folder import Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A small good configuration to spoil."""
    return Folder(tmp_path / "config")
