"""Tests of audit events."""

import errno
import io
import json
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from gateway.domain.errors import Misconfigured
from gateway.observe import logs
from gateway.observe.audit import Audit, AuditEvent, level_of, utc_time
from gateway.observe.metrics import OUTCOMES, Metrics
from tests.fixtures.clock import FakeClock


def written(clock: FakeClock, **facts: Any) -> dict[str, Any]:
    lines: list[str] = []
    Audit(clock, tell=lines.append).write(AuditEvent.CODE_REJECTED, tenant="one", **facts)
    (line,) = lines
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.mark.row("GW-18")
def test_an_audit_event_names_time_event_user_and_client(clock: FakeClock) -> None:
    assert written(
        clock, user_id="u1", username="anna", client="192.0.2.1", request_id="r1", reference="ABCD", factor="email"
    ) == {
        "at": utc_time(clock.now()), "level": "warning", "event": "code_rejected", "tenant": "one", "user_id": "u1",
        "username": "anna", "client": "192.0.2.1", "request_id": "r1", "reference": "ABCD", "factor": "email",
    }  # fmt: skip


@pytest.mark.row("GW-18")
def test_an_unknown_value_is_omitted(clock: FakeClock) -> None:
    assert set(written(clock)) == {"at", "level", "event", "tenant"}


def test_times_are_utc_in_the_form_of_the_log() -> None:
    stream = io.StringIO()
    logs.configure("info", stream)
    Audit(FakeClock()).write(AuditEvent.LOGOUT, tenant="one")
    structlog.reset_defaults()
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    assert re.fullmatch(form, json.loads(stream.getvalue())["at"])
    assert utc_time(1_700_000_000.25) == "2023-11-14T22:13:20.250000Z"


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (AuditEvent.SESSION_OPENED, "info"),
        (AuditEvent.CODE_REJECTED, "warning"),
        (AuditEvent.FORM_REJECTED, "warning"),
        (AuditEvent.ENROLMENT_TAMPERED, "error"),
        (AuditEvent.LOCK_SET, "error"),
    ],
)
def test_the_level_of_an_audit_event_is_the_same_in_log_and_file(
    tmp_path: Path, clock: FakeClock, event: AuditEvent, level: str
) -> None:
    file = tmp_path / "audit.log"
    with capture_logs() as lines:
        Audit(clock, file).write(event, tenant="one")
    assert (lines[0]["log_level"], json.loads(file.read_text())["level"]) == (level, level)


def test_an_event_whose_name_is_a_refusal_is_a_warning_at_least() -> None:
    refusals = [event for event in AuditEvent if event.value.endswith(("_rejected", "_reached", "_blocked"))]
    assert {level_of(event) for event in refusals} == {"warning", "error"}


@pytest.mark.row("GW-18")
def test_an_audit_event_never_contains_a_code_token_or_address(clock: FakeClock) -> None:
    line = written(clock, username="anna@example.com", to="ben@example.com", code="123456", access_token="eyJ")
    assert (line["username"], line["to"]) == ("a***@e***.com", "b***@e***.com")
    assert "123456" not in str(line)
    assert "eyJ" not in str(line)


@pytest.mark.row("GW-18")
def test_the_audit_file_is_appended_to_and_readable_only_by_its_owner(tmp_path: Path, clock: FakeClock) -> None:
    file = tmp_path / "audit.log"
    file.write_text("before\n")
    file.chmod(0o644)
    audit = Audit(clock, file)
    audit.write(AuditEvent.LOGOUT, tenant="one")
    audit.write(AuditEvent.LOGOUT, tenant="two\n")
    audit.close()
    audit.close()
    lines = file.read_text().splitlines()
    assert [lines[0], *(json.loads(line)["tenant"] for line in lines[1:])] == ["before", "one", "two\\n"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("rotated", [True, False])
def test_a_renamed_or_removed_audit_file_is_reopened(tmp_path: Path, clock: FakeClock, rotated: bool) -> None:
    file, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    audit = Audit(clock, file)
    audit.write(AuditEvent.LOGOUT, tenant="one")
    file.rename(old)
    if not rotated:
        old.unlink()
    audit.write(AuditEvent.LOGOUT, tenant="two")
    audit.close()
    assert json.loads(file.read_text())["tenant"] == "two"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not rotated or json.loads(old.read_text())["tenant"] == "one"


def test_an_audit_file_that_cannot_be_reopened_stays_in_use_and_is_reported_once(
    tmp_path: Path, clock: FakeClock
) -> None:
    file, old = tmp_path / "audit.log", tmp_path / "audit.log.1"
    audit = Audit(clock, file)
    file.rename(old)
    file.mkdir()
    with capture_logs() as lines:
        audit.write(AuditEvent.LOGOUT, tenant="one")
        audit.write(AuditEvent.LOGOUT, tenant="two")
    audit.close()
    assert len(old.read_text().splitlines()) == 2
    assert [line["event"] for line in lines].count("audit_file_not_reopened") == 1


def test_a_full_disk_fails_no_request_and_is_counted(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _line: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    audit = Audit(clock, tmp_path / "audit.log")
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        audit.write(AuditEvent.LOGOUT, tenant="one")
    assert audit.lost == 1
    audit.write(AuditEvent.LOGOUT, tenant="two")
    audit.close()
    assert json.loads((tmp_path / "audit.log").read_text())["tenant"] == "two"


@pytest.mark.row("GW-18")
def test_every_event_has_a_stable_unique_dotted_name() -> None:
    names = [event.value for event in AuditEvent]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", name) for name in names)
    assert AuditEvent.ENROLMENT_TAMPERED.value == "enrolment_tampered"


def test_audit_events_are_counted_in_the_metrics(clock: FakeClock) -> None:
    metrics = Metrics()
    audit = Audit(clock, count=metrics.count)
    audit.write(AuditEvent.PASSWORD_REJECTED, tenant="one", username="anna")
    audit.write(AuditEvent.SESSION_OPENED, tenant="one", username="anna")
    audit.write(AuditEvent.CODE_SENT, tenant="one")
    text = metrics.text().decode()
    assert 'efcx_gateway_logins_total{outcome="wrong-password",tenant="one"} 1.0' in text
    assert 'efcx_gateway_logins_total{outcome="signed-in",tenant="one"} 1.0' in text
    assert 'efcx_gateway_events_total{event="code_sent",tenant="one"} 1.0' in text
    assert "process_resident_memory_bytes" in text
    assert "anna" not in text
    assert {outcome for outcome, times in Counter(OUTCOMES.values()).items() if times > 1} == {"refused"}


@pytest.mark.parametrize("name", ["not-there/audit.log", "."])
def test_an_audit_file_that_cannot_be_opened_is_reported_with_its_setting(tmp_path: Path, name: str) -> None:
    with pytest.raises(Misconfigured, match=r"audit_file .*: cannot be opened"):
        Audit(FakeClock(), tmp_path / name)
