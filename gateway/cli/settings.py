"""The settings that a command needs."""

from pathlib import Path

import typer

from gateway.domain.configuration import Configuration
from gateway.settings.load import load


def usable(config: Path) -> Configuration:
    """The configuration of the files. With an error in them the command ends: exit code 1, and the errors."""
    loaded = load(config)
    if loaded.configuration is None:
        for diagnostic in loaded.errors:
            typer.echo(str(diagnostic), err=True)
        raise typer.Exit(1)
    return loaded.configuration
