"""Implements `efcx-gateway check-config`: reports every problem in the settings."""

import json
from pathlib import Path

import typer

from gateway.settings.load import load
from gateway.settings.source.diagnostics import Level


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
