"""Tests of the completion that shells ask the command line for."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.fixtures.config_folder import ConfigFolder

pytestmark = pytest.mark.row("GW-17")


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings with the tenants `one` and `other`."""
    folder = ConfigFolder(tmp_path)
    folder.another("other")
    return folder.write()


def completed(*words: str, config: Path | None = None) -> list[str]:
    """What bash gets for the last of the words."""
    environment = {"COMP_WORDS": " ".join(("efcx-gateway", *words)), "COMP_CWORD": str(len(words))}
    environment |= {"_EFCX_GATEWAY_COMPLETE": "complete_bash"}
    if config:
        environment["EFCX_GATEWAY_CONFIG"] = str(config)
    return CliRunner().invoke(app, [], prog_name="efcx-gateway", env=environment).stdout.split()


def test_commands_are_completed() -> None:
    assert completed("user", "re") == ["reset", "restore"]


def test_tenant_ids_are_completed_from_the_files_of_the_tenants(config: Path) -> None:
    assert completed("tenant", "show", "o", config=config) == ["one", "other"]
    assert completed("user", "unlock", "anna", "--tenant", "ot", config=config) == ["other"]


def test_tenant_ids_are_completed_from_the_settings_that_the_line_names(config: Path) -> None:
    assert completed("user", "unlock", "anna", "--config", str(config), "--tenant", "on") == ["one"]


def test_tenant_ids_are_completed_from_the_folder_that_the_settings_name(config: Path) -> None:
    (config.parent / "tenants").rename(config.parent / "clients")
    config.write_text('tenants: "clients"\n')
    assert completed("tenant", "show", "on", config=config) == ["one"]


def test_without_readable_settings_no_tenant_is_completed(tmp_path: Path) -> None:
    assert completed("tenant", "show", "o", config=tmp_path / "nowhere.yaml") == []


def test_names_of_events_are_completed() -> None:
    assert completed("audit", "--event", "lock") == ["lock_set"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_asks_the_command(shell: str) -> None:
    environment = {"_EFCX_GATEWAY_COMPLETE": f"source_{shell}"}
    assert (
        "_EFCX_GATEWAY_COMPLETE=complete_"
        in CliRunner().invoke(app, [], prog_name="efcx-gateway", env=environment).stdout
    )
