"""What a read shows of a case, as far as requests are judged by it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from service.domain.entities import Read
from service.domain.records import Case
from workers.asked import seen_of

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "tells"),
    [
        ('{"subStatus":"LIST"}', True),
        ('{"subStatus":null}', True),
        ('{"status":"OPEN"}', False),
        ("[]", False),
    ],
)
def test_a_sub_status_that_is_told(raw: str, tells: bool) -> None:
    """Null is told; what is left out is not."""
    case = Case("c-1", "1", "org", "OPEN", None, None, None, None, None, raw)
    seen = seen_of(case, Read(1, NOON))
    assert (seen.status, seen.began_at, seen.tells_sub_status) == ("OPEN", NOON, tells)
