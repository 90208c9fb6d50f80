"""Implements `efcx-gateway check-config`: reports every problem in the settings, or sends a test message."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import typer

from gateway.delivery.conversation import Conversation
from gateway.observe import logs
from gateway.operations import channel_test
from gateway.settings.load import load
from gateway.settings.source.diagnostics import Diagnostic, Level


def run(config: Path, *, as_json: bool) -> int:
    """Print every problem; return the exit code, 1 if at least one is an error."""
    loaded = load(config)
    failed = loaded.configuration is None
    if as_json:
        body = {"ok": not failed, "faults": as_data(loaded.diagnostics)}
        typer.echo(json.dumps(body, indent=2, ensure_ascii=False))
        return int(failed)
    for diagnostic in loaded.diagnostics:
        typer.echo(str(diagnostic))
    if loaded.configuration is None:
        typer.echo(f"not usable: {counted(loaded.diagnostics)}")
    else:
        tenants = len(loaded.configuration.tenants)
        typer.echo(f"ok: {tenants} tenant{'s' if tenants != 1 else ''}{counted(loaded.diagnostics, before='; ')}")
    return int(failed)


def as_data(diagnostics: Sequence[Diagnostic]) -> list[dict[str, str | int]]:
    """The diagnostics as JSON has them."""
    return [
        {"file": one.file, "line": one.line, "path": one.path, "level": one.level.value, "text": one.text}
        for one in diagnostics
    ]


def counted(diagnostics: Sequence[Diagnostic], before: str = "") -> str:
    """How many diagnostics of each level there are, after `before`; "" for none."""
    levels = [one.level for one in diagnostics]
    counts = [(levels.count(level), level.value) for level in Level if level in levels]
    said = ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts)
    return said and before + said


def send_test(config: Path, name: str, to: str, *, as_json: bool) -> int:
    """Send a test message through a channel and print the conversation; return the exit code, 1 if it was not sent.

    Needs no tenant, no store and no running gateway.
    """
    loaded = load(config)
    if loaded.channels is None:
        for diagnostic in loaded.errors:
            typer.echo(str(diagnostic), err=True)
        return 1
    channel = loaded.channels.get(name)
    if channel is None or not channel_test.sends(channel):
        known = [one.service_identifier for one in loaded.channels.values() if channel_test.sends(one)]
        said = f"channel {name} sends no messages" if channel else f"no channel {name}"
        typer.echo(f"efcx-gateway: {said}; channels: {', '.join(known) or 'none'}", err=True)
        return 1
    logs.configure("error")
    lines: list[str] = []
    tenant = channel_test.tenant_of(channel, loaded.configuration.tenants if loaded.configuration else ())
    conversation = Conversation(lines.append if as_json else typer.echo)
    why = asyncio.run(channel_test.run(channel, to, tenant, conversation))
    if as_json:
        result = {"ok": not why, "channel": name, "conversation": lines, "why": why}
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        typer.echo(f"not sent: {why}" if why else "sent: the server accepted the message; check that it arrived")
    return int(bool(why))
