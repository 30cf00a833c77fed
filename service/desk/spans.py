"""Times as people write them: a moment, or a span that ends or begins now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

UNITS = {"m": 60, "h": 3600, "d": 86400}
FORMS = "takes a time like 2026-12-24T12:00:00+01:00, or 45m, 12h, 14d"


def moment_ago(text: str, now: datetime) -> datetime:
    """Read a moment, or a span that ends now. Raises ValueError with the forms understood."""
    return _read(text, now, -1)


def moment_ahead(text: str, now: datetime) -> datetime:
    """Read a moment, or a span that begins now. Raises ValueError with the forms understood."""
    return _read(text, now, 1)


def _read(text: str, now: datetime, sign: int) -> datetime:
    try:
        number = text[:-1]
        if number.isascii() and number.isdecimal() and text[-1] in UNITS and len(text) < 8:
            return now + sign * timedelta(seconds=int(number) * UNITS[text[-1]])
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(FORMS)
