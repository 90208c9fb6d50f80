"""Implements `efcx-gateway audit`: shows events of the audit file."""

import json
import re
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import typer

from gateway.cli.settings import of_process
from gateway.domain.errors import Misconfigured
from gateway.observe.audit import AuditEvent
from gateway.observe.audit_log import AuditFilter, Entry, follow, newest
from gateway.observe.redaction import clean_text

SHOWN = ("at", "event", "level", "tenant", "username", "client", "reference")
"""Facts that have a place of their own in a line."""
UNSHOWN = ("user_id", "request_id")
COLOURS = {"error": typer.colors.RED, "warning": typer.colors.YELLOW}
_PERIOD = re.compile(r"(\d{1,6})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def run(config: Path, wanted: AuditFilter, *, lines: int, follows: bool, as_json: bool) -> int:
    """Print the events, oldest first; return the exit code, 1 if none matches.

    Raises `errors.Misconfigured` if there is no audit file, or it cannot be read.
    """
    file = of_process(config).audit_file
    if not file:
        raise Misconfigured("audit_file", "is not set in gateway.yaml; the events are in the log of the process only")
    try:
        found = newest(Path(file), wanted, lines)
        _print(found, as_json=as_json)
        if follows:
            for entry in follow(Path(file), wanted):
                _print([entry], as_json=as_json)
    except OSError as error:
        raise Misconfigured(f"audit_file {file}", f"cannot be read: {error.strerror}") from error
    if not found:
        typer.echo("no event matches", err=True)
    return int(not found)


def moment(text: str, now: float | None = None) -> float:
    """A time in seconds since the epoch of `30m`, `2h`, `1d` (ago), or a date and time in ISO 8601 (UTC by default).

    Raises `ValueError`.
    """
    if period := _PERIOD.fullmatch(text):
        return (time.time() if now is None else now) - int(period[1]) * _SECONDS[period[2]]
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def event_named(name: str) -> str:
    """The name of an event. Raises `ValueError` that lists similar names."""
    names = [event.value for event in AuditEvent]
    if name in names:
        return name
    similar = [one for one in names if name.lower() in one]
    raise ValueError(
        f"no event {name}; " + (f"similar: {', '.join(similar)}" if similar else f"events: {', '.join(names)}")
    )


def _print(entries: Iterable[Entry], *, as_json: bool) -> None:
    for entry in entries:
        if as_json:
            typer.echo(json.dumps(entry, ensure_ascii=False))
            continue
        at = entry["at"][:19].replace("T", " ")
        name = typer.style(entry["event"], fg=COLOURS.get(entry.get("level", "")), bold=True)
        facts = [entry.get(fact) for fact in ("tenant", "username", "client", "reference")]
        typer.echo(f"{at}  {name}  {clean_text('  '.join(str(fact) for fact in facts if fact))}")
        details = [f"{fact}={_text(value)}" for fact, value in entry.items() if fact not in SHOWN + UNSHOWN]
        if details:
            typer.echo(f"{'':19}  {clean_text(' '.join(details))}")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
