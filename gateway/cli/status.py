"""Implements `efcx-gateway status`: the state of the serving gateway on one screen."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from gateway.cli.settings import of_process
from gateway.cli.tables import utc
from gateway.operations.user_requests import answer_of


def run(config: Path, *, as_json: bool) -> int:
    """Print the state; return the exit code, 1 if the gateway is not ready or rejected its settings.

    Raises `errors.Misconfigured` if no gateway answers.
    """
    said = asyncio.run(answer_of(of_process(config), "GET", "/status"))
    if as_json:
        typer.echo(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        for label, text in lines(said):
            typer.echo(f"{label + ':' if label else '':<12}{text}")
    return int(not said["ready"] or bool(said["settings"]["rejected"]))


def lines(said: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each line of the screen: its label and its text."""
    settings = said["settings"]
    up = _period(said["now"] - said["started_at"])
    yield "gateway", f"{said['version']}, up {up}, since {utc(said['started_at'])}"
    state = "ready" if said["ready"] else "draining" if said["draining"] else "not ready"
    yield "state", typer.style(state, fg=typer.colors.GREEN if said["ready"] else typer.colors.RED, bold=True)
    for name, why in said["reasons"].items():
        yield "", typer.style(f"{name}: {why}", fg=typer.colors.RED)
    for name, found in said["warnings"].items():
        for warning in found:
            yield "", typer.style(f"{name}: {warning}", fg=typer.colors.YELLOW)
    yield "settings", f"loaded {utc(settings['loaded_at'])}, {settings['fingerprint']}"
    for fault in settings["rejected"]:
        yield "", typer.style(f"not in force: {fault}", fg=typer.colors.RED)
    if settings["waiting"]:
        yield "", typer.style(f"need a restart: {', '.join(settings['waiting'])}", fg=typer.colors.YELLOW)
    kept = "in this process (memory)" if said["store"] == "memory" else "Redis or Valkey"
    yield "store", kept
    yield "key ring", f"{said['key_ring']}, {said['keys']} key{'' if said['keys'] == 1 else 's'}"
    for number, tenant in enumerate(said["tenants"]):
        factors = ", ".join(tenant["second_factor"]) or "second factor off"
        uses = factors if tenant["active"] else "not active"
        yield "" if number else "tenants", f"{tenant['id']}  {tenant['url']}  {uses}"


def _period(seconds: float) -> str:
    minutes = int(seconds) // 60
    days, hours = minutes // 1440, minutes // 60 % 24
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
