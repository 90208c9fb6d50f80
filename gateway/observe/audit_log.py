"""Reads the audit file: the newest events that match, also from files that a log rotation renamed or compressed.

A line that does not parse (cut by a full disk, or still being written) is skipped. Files are read from their end, so
the newest events of a large file are found at once.
"""

import gzip
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.observe.redaction import clean_text

_BLOCK = 64 * 1024
Entry = Mapping[str, Any]
"""One event: `at` (ISO 8601, UTC), `level`, `event` and the facts that the event has."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What an event must match; empty parts match every event.

    `user` is a user name (any case) or a user id. `since` and `until` are in seconds since the epoch.
    """

    tenant: str = ""
    user: str = ""
    events: frozenset[str] = frozenset()
    reference: str = ""
    since: float | None = None
    until: float | None = None

    def matches(self, entry: Entry) -> bool:
        """Whether the event has all of it."""
        user, at = clean_text(self.user).casefold(), _seconds(entry)  # an address is masked in the file too
        return (
            self.tenant in ("", entry.get("tenant"))
            and (not user or user in (str(entry.get("username", "")).casefold(), str(entry.get("user_id", ""))))
            and (not self.events or entry.get("event") in self.events)
            and self.reference.upper() in ("", str(entry.get("reference", "")).upper())
            and (self.since is None or at >= self.since)
            and (self.until is None or at <= self.until)
        )


def newest(file: Path, wanted: AuditFilter, most: int) -> list[Entry]:
    """The newest events that match, at most `most`, oldest first. Raises `OSError` if `file` cannot be read."""
    found: list[Entry] = []
    for path in _files(file):
        if wanted.since is not None and path.stat().st_mtime < wanted.since:
            break
        for line in _lines_from_end(path):
            entry = parsed(line)
            if entry is None or not wanted.matches(entry):
                continue
            found.append(entry)
            if len(found) == most:
                return found[::-1]
    return found[::-1]


def follow(file: Path, wanted: AuditFilter, wait: Callable[[], object] = lambda: time.sleep(0.5)) -> Iterator[Entry]:
    """Every event that matches from now on, without end; follows the name of the file through a log rotation."""
    opened, rest = file.open("rb"), b""
    try:
        opened.seek(0, os.SEEK_END)
        while True:
            *lines, rest = (rest + opened.read()).split(b"\n")
            for line in lines:
                entry = parsed(line)
                if entry is not None and wanted.matches(entry):
                    yield entry
            if _was_replaced(opened.fileno(), file):
                last, opened, rest = (opened, rest), file.open("rb"), b""
                *lines, _cut = (last[1] + last[0].read()).split(b"\n")
                last[0].close()
                yield from (entry for line in lines if (entry := parsed(line)) and wanted.matches(entry))
            else:
                wait()
    finally:
        opened.close()


def parsed(line: bytes) -> Entry | None:
    """The event of a line; None if the line is not whole."""
    with suppress(ValueError):
        entry = json.loads(line)
        if isinstance(entry, dict) and isinstance(entry.get("at"), str) and isinstance(entry.get("event"), str):
            return entry
    return None


def _seconds(entry: Entry) -> float:
    try:
        return datetime.fromisoformat(entry["at"]).timestamp()
    except ValueError:
        return 0.0


def _files(file: Path) -> list[Path]:
    """`file`, then the files that a rotation made of it (`audit.log.1`, `audit.log-20261127.gz`), newest first."""
    file.stat()
    rotated = [path for path in file.parent.glob(f"{file.name}[.-]*") if path.is_file()]
    return [file, *sorted(rotated, key=lambda path: path.stat().st_mtime, reverse=True)]


def _lines_from_end(path: Path) -> Iterator[bytes]:
    if path.suffix == ".gz":
        with gzip.open(path) as compressed:
            yield from reversed(compressed.read().splitlines())
        return
    with path.open("rb") as opened:
        place, rest = opened.seek(0, os.SEEK_END), b""
        while place:
            size = min(_BLOCK, place)
            place = opened.seek(place - size)
            first, *lines = (opened.read(size) + rest).split(b"\n")
            yield from reversed(lines)
            rest = first
        yield rest


def _was_replaced(opened: int, file: Path) -> bool:
    try:
        return not os.path.samestat(os.fstat(opened), file.stat())
    except FileNotFoundError:
        return False  # renamed, and not made anew yet
