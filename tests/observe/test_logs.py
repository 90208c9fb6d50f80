"""Tests of log lines."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.observe import logs


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Restores the logging of other tests."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_log_line_is_json_with_event_level_logger_and_time(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    structlog.get_logger("web").info("page shown", page="verify")
    (line,) = lines(stream)
    assert line["at"].endswith("Z")
    assert {k: line[k] for k in ("event", "level", "logger", "page")} == {
        "event": "page shown", "level": "info", "logger": "web", "page": "verify",
    }  # fmt: skip


def test_a_log_line_carries_reference_and_tenant_of_the_current_request(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    with structlog.contextvars.bound_contextvars(request_id="r1", tenant="one"):
        structlog.get_logger("x").info("a")
    structlog.get_logger("x").info("b")
    first, second = lines(stream)
    assert (first["request_id"], first["tenant"]) == ("r1", "one")
    assert "request_id" not in second


@pytest.mark.parametrize(("level", "seen"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_lines_below_the_minimum_level_are_not_written(stream: io.StringIO, level: str, seen: int) -> None:
    logs.configure(level, stream)
    log = structlog.get_logger("x")
    log.debug("a"), log.info("b"), log.warning("c"), log.error("d")
    assert len(lines(stream)) == seen


def test_the_level_can_change_while_loggers_are_in_use(stream: io.StringIO) -> None:
    logs.configure("error", stream)
    log = structlog.get_logger("x")
    log.info("a")
    logs.configure("info", stream)
    log.info("b")
    assert [line["event"] for line in lines(stream)] == ["b"]


@pytest.mark.row("GW-18")
def test_audit_events_are_logged_at_every_level(stream: io.StringIO) -> None:
    logs.configure("error", stream)
    structlog.get_logger("audit").info("login_stopped")
    assert lines(stream)[0]["event"] == "login_stopped"


def test_no_secret_is_logged(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    structlog.get_logger("x").info("sent to anna@example.com", password="hunter2")
    assert "hunter2" not in stream.getvalue()
    assert "anna@" not in stream.getvalue()


def test_a_traceback_shows_no_values_of_variables(stream: io.StringIO) -> None:
    for pretty in (False, True):
        logs.configure("info", stream, pretty=pretty)
        try:
            hidden = "hunter" + "2"
            raise ValueError("no " + "such address anna@example.com")
        except ValueError:
            structlog.get_logger("x").error("failed", exc_info=True)
        assert hidden not in stream.getvalue()
        assert "a***@e***.com" in stream.getvalue()
        assert "test_a_traceback" in stream.getvalue()


def test_messages_of_the_standard_librarys_logging_have_the_same_format(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    logging.getLogger("aiohttp.server").error("bad request from %s", "anna@example.com")
    logging.getLogger("other").info("chatter")
    (line,) = lines(stream)
    assert (line["logger"], line["level"], line["event"]) == (
        "aiohttp.server",
        "error",
        "bad request from a***@e***.com",
    )


def test_a_closed_log_stream_fails_no_request(stream: io.StringIO) -> None:
    logs.configure("info", stream)
    stream.close()
    structlog.get_logger("x").info("a")


def test_on_a_terminal_lines_are_formatted_for_reading(stream: io.StringIO) -> None:
    logs.configure("info", stream, pretty=True)
    structlog.get_logger("x").info("hello", a=1)
    assert not stream.getvalue().startswith("{")
    assert "hello" in stream.getvalue()


@pytest.mark.parametrize("pretty", [False, True])
def test_no_log_line_is_longer_than_64_kib_for_any_value(stream: io.StringIO, pretty: bool) -> None:
    logs.configure("info", stream, pretty=pretty)
    try:
        raise ValueError("x \U0001f512" * 1_000_000)
    except ValueError:
        structlog.get_logger("x").error("y " * 10**6, path="/" * 10**6, many=["z " * 9000] * 9000, exc_info=True)
    logging.getLogger("other").error("from %s", "x " * 1_000_000)
    written = stream.getvalue()
    assert "ValueError" in written
    assert len(written) < 2 * 65536
