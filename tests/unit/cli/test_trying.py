"""`send`: a made-up event is one that the door and the workers can read."""

from __future__ import annotations

import pytest

from service.amili import webhooks
from service.cli.trying import made_up


@pytest.mark.parametrize("name", [*webhooks.EVENTS, "SOMETHING_NEW"])
def test_every_made_up_event_names_its_subject(name: str) -> None:
    """Each type that is known is read without a problem, with a subject that it alone has."""
    first, second = (webhooks.read(made_up(name)) for _ in range(2))
    assert first.problem is None
    assert first.organization_id is not None
    assert first.event_id != second.event_id
    if name in webhooks.EVENTS:
        assert first.subject is not None
        assert first.subject != second.subject
