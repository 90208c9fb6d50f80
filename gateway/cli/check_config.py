"""The command `efcx-gateway check-config`: are the settings right?"""

import json
from pathlib import Path

import typer

from gateway.settings.faults import Level
from gateway.settings.load import load


def run(config: Path, *, as_json: bool) -> int:
    """Print every fault; 1 when there is an error among them."""
    loaded = load(config)
    failed = loaded.configuration is None
    if as_json:
        faults = [
            {"file": f.file, "line": f.line, "path": f.path, "level": f.level.value, "text": f.text}
            for f in loaded.faults
        ]
        typer.echo(json.dumps({"ok": not failed, "faults": faults}, indent=2, ensure_ascii=False))
        return int(failed)
    for fault in loaded.faults:
        typer.echo(str(fault))
    tenants = len(loaded.configuration.tenants) if loaded.configuration else None
    typer.echo(_summary(tenants, [f.level for f in loaded.faults]))
    return int(failed)


def _summary(tenants: int | None, levels: list[Level]) -> str:
    counts = [(levels.count(level), level.value) for level in Level if level in levels]
    said = ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for count, word in counts)
    if tenants is None:
        return f"not usable: {said}"
    return f"ok: {tenants} tenant{'s' if tenants != 1 else ''}{f'; {said}' if said else ''}"
