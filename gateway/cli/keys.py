"""Implements `efcx-gateway keys …`: creates, extends and lists the key ring of an installation."""

import json
from datetime import UTC, datetime
from pathlib import Path

import typer

from gateway.domain.errors import Misconfigured
from gateway.domain.ports import SystemClock, SystemRandom
from gateway.settings import key_ring
from gateway.settings.load import load


def new(file: Path | None, config: Path) -> int:
    """Create a key ring, or add a new first key to an existing one."""
    file = file or _named(config)
    if file.exists():
        ring = key_ring.add(file, SystemClock(), SystemRandom())
        typer.echo(f"{file}: added key {ring.keys[0].id} ({len(ring.keys)} keys); restart all replicas with this file")
    else:
        ring = key_ring.create(file, SystemClock(), SystemRandom())
        typer.echo(f"{file}: created with key {ring.keys[0].id}; back it up: without it, enrolments cannot be read")
        if other := key_ring.beside(config, file):
            typer.echo(
                f"warning: {other[0]} is a key ring too (key {other[1].keys[0].id}). If users enrolled with it, use it "
                "instead of the new one, which opens none of their enrolments",
                err=True,
            )
    return 0


def list_keys(file: Path | None, config: Path, *, as_json: bool) -> int:
    """Print id and creation time of each key, and the fingerprint of the key ring."""
    ring = key_ring.read(file or _named(config))
    shown = [(key.id, datetime.fromtimestamp(key.created_at, UTC).isoformat(timespec="seconds")) for key in ring.keys]
    if as_json:
        listed = [{"id": ident, "created_at": made} for ident, made in shown]
        typer.echo(json.dumps({"fingerprint": ring.fingerprint, "keys": listed}, indent=2))
        return 0
    typer.echo(f"ring {ring.fingerprint}")
    for number, (ident, made) in enumerate(shown):
        typer.echo(f"{ident}  {made}{'  seals' if number == 0 else ''}")
    return 0


def _named(config: Path) -> Path:
    """The key ring file in the settings, else `ring.key` beside them.

    If the settings have errors, also `ring.key` beside them.
    """
    configuration = load(config).configuration
    if configuration is not None and configuration.gateway.keys_variable:
        variable = configuration.gateway.keys_variable
        raise Misconfigured(f"{config}: keys.env", f"the key ring is in {variable}; name the file that it comes from")
    if configuration is not None and configuration.gateway.keys_file:
        return Path(configuration.gateway.keys_file)
    return config.parent / key_ring.OWN_NAME
