"""Tests of `efcx-gateway audit`: what the operator asks for, and what they see."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.cli.audit import moment
from gateway.cli.main import app
from gateway.domain.ports import SystemClock
from gateway.observe.audit import Audit, AuditEvent
from tests.fixtures.config_folder import ConfigFolder

pytestmark = pytest.mark.row("GW-17")


@pytest.fixture
def folder(tmp_path: Path) -> ConfigFolder:
    """Settings with an audit file that has two events."""
    made = ConfigFolder(tmp_path)
    made.gateway["audit_file"] = "audit.log"
    audit = Audit(SystemClock(), tmp_path / "audit.log")
    audit.write(AuditEvent.CODE_REJECTED, tenant="one", username="anna", reference="7KQ2-M9XD", factor="email")
    audit.write(AuditEvent.SESSION_OPENED, tenant="one", username="ben", reference="AAAA-BBBB")
    audit.close()
    return made


def run(folder: ConfigFolder, *words: str) -> Result:
    """Runs the command."""
    return CliRunner().invoke(app, ["audit", *words, "--config", str(folder.write())])


def test_the_code_that_a_page_shows_finds_its_event_with_its_details(folder: ConfigFolder) -> None:
    done = run(folder, "--reference", "7kq2-m9xd")
    assert (done.exit_code, "session_opened" in done.stdout) == (0, False)
    first, second = done.stdout.splitlines()
    assert first.split()[2:] == ["code_rejected", "one", "anna", "7KQ2-M9XD"]
    assert second.split() == ["factor=email"]


def test_with_json_each_line_is_an_event_as_the_file_has_it(folder: ConfigFolder) -> None:
    written = (folder.path / "audit.log").read_text().splitlines()
    said = run(folder, "--json").stdout.splitlines()
    assert [json.loads(line) for line in said] == [json.loads(line) for line in written]


def test_events_are_shown_while_the_file_of_a_tenant_has_errors(folder: ConfigFolder) -> None:
    folder.two_factor["otpLength"] = 99
    assert run(folder, "--json").exit_code == 0


def test_no_event_that_matches_is_exit_code_1_and_said(folder: ConfigFolder) -> None:
    done = run(folder, "--user", "carla")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "no event matches\n")


def test_a_wrong_name_of_an_event_lists_similar_ones(folder: ConfigFolder) -> None:
    done = run(folder, "--event", "session")
    assert done.exit_code == 2
    assert "session_opened" in done.stderr


def test_without_an_audit_file_the_command_says_where_the_events_are(folder: ConfigFolder) -> None:
    del folder.gateway["audit_file"]
    assert "log of the process" in str(run(folder).exception)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 8_200.0), ("2h", 2_800.0), ("1970-01-01T00:01", 60.0), ("1970-01-01T01:00:00+01:00", 0.0)],
)
def test_a_time_is_a_period_before_now_or_a_moment_in_utc(text: str, seconds: float) -> None:
    assert moment(text, now=10_000.0) == seconds


def test_a_time_that_is_neither_is_a_wrong_command_line(folder: ConfigFolder) -> None:
    assert run(folder, "--since", "yesterday").exit_code == 2
