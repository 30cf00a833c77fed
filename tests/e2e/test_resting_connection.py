"""A sender may keep its connection open between two deliveries, as HTTP clients do."""

from __future__ import annotations

import contextlib
import http.client
import time

import pytest

from tests.doors import event, signed
from tests.e2e.conftest import RaiseHouse, on
from tests.e2e.house import SECRET

#: Longer than servers wait by default for a connection that rests.
REST_SECONDS = 6.0


@on("sqlite")
@pytest.mark.timeout(120)
def test_a_rest_between_two_deliveries(database_url: str, raise_house: RaiseHouse) -> None:
    """The next delivery over a connection that rested is answered over it, not cut off."""
    house = raise_house(database_url)
    house.start(worker=False)
    wire = http.client.HTTPConnection("127.0.0.1", house.port, timeout=30)
    with contextlib.closing(wire):
        for rest in (0.0, REST_SECONDS):
            time.sleep(rest)  # that time passes is the matter here
            body = event()
            headers = {"Content-Type": "application/json", **signed(body, SECRET)}
            wire.request("POST", "/webhooks/amili", body, headers)
            used = wire.sock
            answer = wire.getresponse()
            answer.read()
            assert answer.status == 202
            assert wire.sock is used
            # From here on nothing may open another connection.
            wire.auto_open = 0
