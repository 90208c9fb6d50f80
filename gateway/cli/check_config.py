"""Implements `efcx-gateway check-config`: reports every problem in the settings, or sends a test message."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

import typer

from gateway.delivery import smtp
from gateway.delivery.conversation import Conversation
from gateway.domain.channel import Channel, ChannelKind
from gateway.domain.secret import secrets_in
from gateway.observe import logs
from gateway.settings.load import load
from gateway.settings.source.diagnostics import Level

TESTS: Mapping[ChannelKind, Callable[[Channel, str, Conversation], Coroutine[None, None, str]]] = {
    ChannelKind.SMTP: smtp.send_test,
}
"""Sends a test message to an address and returns why it was not sent, "" if it was."""


def run(config: Path, *, as_json: bool) -> int:
    """Print every problem; return the exit code, 1 if at least one is an error."""
    loaded = load(config)
    failed = loaded.configuration is None
    if as_json:
        diagnostics = [
            {"file": f.file, "line": f.line, "path": f.path, "level": f.level.value, "text": f.text}
            for f in loaded.diagnostics
        ]
        typer.echo(json.dumps({"ok": not failed, "faults": diagnostics}, indent=2, ensure_ascii=False))
        return int(failed)
    for diagnostic in loaded.diagnostics:
        typer.echo(str(diagnostic))
    levels = [f.level for f in loaded.diagnostics]
    counts = [(levels.count(level), level.value) for level in Level if level in levels]
    said = ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts)
    if loaded.configuration is None:
        typer.echo(f"not usable: {said}")
    else:
        tenants = len(loaded.configuration.tenants)
        typer.echo(f"ok: {tenants} tenant{'s' if tenants != 1 else ''}{f'; {said}' if said else ''}")
    return int(failed)


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
    test = TESTS.get(channel.kind) if channel else None
    if channel is None or test is None:
        known = [one.service_identifier for one in loaded.channels.values() if one.kind in TESTS]
        said = f"channel {name} has no test message" if channel else f"no channel {name}"
        typer.echo(f"efcx-gateway: {said}; channels: {', '.join(known) or 'none'}", err=True)
        return 1
    logs.configure("error")
    lines: list[str] = []
    conversation = Conversation(lines.append if as_json else typer.echo, *secrets_in(channel))
    why = conversation.clean(asyncio.run(test(channel, to, conversation)))
    if as_json:
        result = {"ok": not why, "channel": name, "conversation": lines, "why": why}
        typer.echo(json.dumps(result, indent=2, ensure_ascii=False))
    else:
        typer.echo(f"not sent: {why}" if why else "sent: the server accepted the message; check that it arrived")
    return int(bool(why))
