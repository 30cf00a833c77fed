"""Logs: one JSON object a line on stderr; few and fixed keys, ids only.

Keys: event_id, entity, case_id, action_id, type, outcome, reason, attempt, duration_ms.
"""

from __future__ import annotations

import logging
import sys
import traceback

import structlog


def configure(level: str = "INFO", *, pretty: bool = False) -> None:
    """Set up structlog and the standard logging of libraries, once for each process."""
    number = logging.getLevelNamesMapping()[level]
    logging.basicConfig(stream=sys.stderr, level=max(number, logging.WARNING), format="%(message)s")
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if pretty else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def place_of(error: BaseException) -> str:
    """Name the file and line where an error was raised: never its text, which may hold values."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "unknown"
