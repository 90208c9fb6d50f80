"""Tests of `gateway.observe.audit_log`: which events of the audit file are found, and in which order."""

import gzip
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.observe.audit import Audit, AuditEvent
from gateway.observe.audit_log import AuditFilter, follow, newest
from tests.fixtures.clock import FakeClock

EVERYTHING = AuditFilter()
NOON = 1_700_000_000.0


def line(number: int, **facts: Any) -> dict[str, Any]:
    """An event of the second `number`."""
    return {"at": f"2026-11-28T10:00:{number:02}.000000Z", "level": "info", "event": "logout", "n": number} | facts


def write(file: Path, *lines: dict[str, Any]) -> None:
    """Writes the lines to `file`."""
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))


def numbers(file: Path, wanted: AuditFilter = EVERYTHING, most: int = 100) -> list[int]:
    """The numbers of the events that are found."""
    return [entry["n"] for entry in newest(file, wanted, most)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the audit file is."""
    return tmp_path / "audit.log"


def test_the_newest_events_are_found_and_the_oldest_of_them_is_first(file: Path) -> None:
    write(file, *map(line, range(9)))
    assert numbers(file, most=3) == [6, 7, 8]


def test_lines_longer_than_a_block_of_the_file_are_found(file: Path) -> None:
    write(file, *(line(n, detail="x" * 50_000) for n in range(5)))
    assert numbers(file) == [0, 1, 2, 3, 4]


def test_a_line_that_is_cut_is_skipped(file: Path) -> None:
    write(file, line(1), line(2))
    with file.open("a") as opened:
        opened.write('{"at": "2026-11-28T10:00')
    assert numbers(file) == [1, 2]


def test_renamed_and_compressed_files_of_a_log_rotation_are_read_after_the_newest(file: Path) -> None:
    write(file, line(5))
    write(renamed := file.with_name("audit.log.1"), line(3), line(4))
    compressed = file.with_name("audit.log-20261127.gz")
    compressed.write_bytes(gzip.compress((json.dumps(line(2)) + "\n").encode()))
    os.utime(renamed, (NOON, NOON))
    os.utime(compressed, (NOON - 1, NOON - 1))
    assert numbers(file) == [2, 3, 4, 5]


def test_another_file_beside_it_is_not_read(file: Path) -> None:
    write(file, line(1))
    write(file.with_name("audit.logbook"), line(2))
    assert numbers(file) == [1]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (AuditFilter(tenant="two"), [2]),
        (AuditFilter(user="ANNA"), [3]),
        (AuditFilter(user="id-4"), [4]),
        (AuditFilter(events=frozenset({"code_sent"})), [5]),
        (AuditFilter(reference="7kq2-m9xd"), [6]),
        (AuditFilter(since=1795860007.0), [7, 8]),
        (AuditFilter(until=1795860002.0), [1, 2]),
        (AuditFilter(tenant="two", user="anna"), []),
    ],
    ids=lambda value: str(value) if isinstance(value, list) else "",
)
def test_an_event_must_match_each_part_that_is_asked_for(file: Path, wanted: AuditFilter, found: list[int]) -> None:
    facts: dict[int, dict[str, Any]] = {
        2: {"tenant": "two"},
        3: {"username": "Anna"},
        4: {"user_id": "id-4"},
        5: {"event": "code_sent"},
        6: {"reference": "7KQ2-M9XD"},
    }
    write(file, *(line(n, **facts.get(n, {})) for n in range(1, 9)))
    assert numbers(file, wanted) == found


def test_a_user_name_that_is_an_address_is_found_although_the_file_masks_it(file: Path) -> None:
    audit = Audit(FakeClock(), file)
    audit.write(AuditEvent.LOGOUT, tenant="one", username="anna@example.com")
    audit.close()
    assert len(newest(file, AuditFilter(user="Anna@example.com"), 10)) == 1


def test_a_file_that_does_not_exist_is_an_error(file: Path) -> None:
    with pytest.raises(FileNotFoundError):
        newest(file, EVERYTHING, 1)


def test_further_events_are_found_as_they_are_written_also_by_a_file_of_the_same_name(file: Path) -> None:
    write(file, line(0))
    acts = (lambda: add(file, line(1), line(2)), lambda: rotate(file), lambda: add(file, line(5)))
    script: Iterator[Callable[[], None]] = iter(acts)

    def wait() -> None:
        next(script)()

    events: Iterator[Any] = follow(file, EVERYTHING, wait)
    assert [next(events)["n"] for _ in range(5)] == [1, 2, 3, 4, 5]


def add(file: Path, *lines: dict[str, Any]) -> None:
    """Appends lines to `file`."""
    with file.open("a") as opened:
        opened.writelines(json.dumps(one) + "\n" for one in lines)


def rotate(file: Path) -> None:
    """Renames the file after one more line, and begins another one."""
    add(file, line(3))
    file.rename(file.with_name("audit.log.1"))
    write(file, line(4))
