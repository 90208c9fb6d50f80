"""Completes tenant ids and event names for a shell, without the cost of reading the settings."""

import os
import re
from pathlib import Path

import typer

SUFFIXES = (".yaml", ".yml", ".json")
_FOLDER = re.compile(r"^tenants:\s*[\"']?([^\s\"'#]+)", re.MULTILINE)


def tenants(context: typer.Context, incomplete: str) -> list[str]:
    """The names of the tenant files, which are the ids of their tenants; none without readable settings."""
    config = Path(context.params.get("config") or os.environ.get("EFCX_GATEWAY_CONFIG") or "config/gateway.yaml")
    try:
        named = _FOLDER.search(config.read_text(encoding="utf-8"))
        files = sorted((config.parent / (named[1] if named else "tenants")).iterdir())
    except (OSError, UnicodeDecodeError):
        return []
    return [file.stem for file in files if file.suffix in SUFFIXES and file.stem.startswith(incomplete)]


def events(incomplete: str) -> list[str]:
    """The names of audit events."""
    from gateway.observe.audit import AuditEvent

    return [event.value for event in AuditEvent if event.value.startswith(incomplete)]
