"""The settings that a command needs. If they have errors, the command ends with these errors and exit code 2."""

from pathlib import Path

import typer

from gateway.domain.configuration import Configuration, GatewaySettings
from gateway.settings.load import Loaded, load


def usable(config: Path) -> Configuration:
    """The configuration of the files."""
    return whole(load(config))


def of_process(config: Path) -> GatewaySettings:
    """The settings of `gateway.yaml`, also while a file of a tenant has errors."""
    return without_tenants(load(config))


def whole(loaded: Loaded) -> Configuration:
    """The configuration."""
    if loaded.configuration is None:
        raise _errors(loaded)
    return loaded.configuration


def without_tenants(loaded: Loaded) -> GatewaySettings:
    """The settings of the process."""
    if loaded.gateway is None:
        raise _errors(loaded)
    return loaded.gateway


def _errors(loaded: Loaded) -> typer.Exit:
    for diagnostic in loaded.errors:
        typer.echo(str(diagnostic), err=True)
    return typer.Exit(2)
