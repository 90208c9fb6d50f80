"""Sets up the log: JSON lines on standard error, or readable lines if it is a terminal.

Each line has the request id and tenant of the current request. Every line passes `redaction`, so it contains no
secret. Audit lines are always written, other lines from the configured level. Libraries that use the standard
`logging` write to the same log.
"""

import logging
import sys
from collections.abc import MutableMapping
from functools import lru_cache, partial
from typing import Any, TextIO

import structlog

from gateway.observe.redaction import clean

AUDIT = "audit"
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_RANKS = {**LEVELS, "exception": 40, "critical": 50}
_OTHERS_AT_LEAST = logging.WARNING  # libraries: their lines below a warning may contain addresses and headers

_Line = MutableMapping[str, Any]


def configure(level: str = "info", stream: TextIO | None = None, *, pretty: bool | None = None) -> None:
    """Set up the log of this process. Call it at the start, and again to change the level.

    `level` is one of `LEVELS`; `pretty` defaults to whether `stream` (default: standard error) is a terminal.
    """
    stream = stream or sys.stderr
    pretty = stream.isatty() if pretty is None else pretty
    renderer: Any = structlog.processors.JSONRenderer(default=str, ensure_ascii=True)
    if pretty:
        # The default traceback formatter shows local variables, which may be secrets.
        renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[
            _from_level(LEVELS[level]),
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _redacted,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            renderer,
        ],
        wrapper_class=structlog.BoundLogger,
        logger_factory=lru_cache(partial(_Lines, stream)),
        cache_logger_on_first_use=False,
    )
    _take_over_standard_logging(max(LEVELS[level], _OTHERS_AT_LEAST))


class _Lines:
    """One named logger. It writes and flushes each line at once."""

    def __init__(self, stream: TextIO, name: str = "gateway") -> None:
        self.name = name
        self._stream = stream

    def msg(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed or full stream must not fail a request
            return

    debug = info = warning = error = exception = critical = log = msg


def _from_level(least: int) -> structlog.typing.Processor:
    def check(logger: Any, method: str, line: _Line) -> _Line:
        if logger.name != AUDIT and _RANKS.get(method, 20) < least:
            raise structlog.DropEvent
        line["logger"] = logger.name
        return line

    return check


def _redacted(_logger: Any, _method: str, line: _Line) -> _Line:
    return clean(line)


class _Bridge(logging.Handler):
    """Passes records of the standard library's logging to structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        method = record.levelname.lower() if record.levelname.lower() in LEVELS else "error"
        try:
            getattr(log, method)(record.getMessage(), exc_info=record.exc_info)
        except Exception:  # a line that cannot be written must not fail its caller
            self.handleError(record)


def _take_over_standard_logging(level: int) -> None:
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _Bridge)]:
        root.removeHandler(handler)
    root.addHandler(_Bridge())
    root.setLevel(level)
    logging.captureWarnings(True)
