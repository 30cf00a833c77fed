"""An Idempotency-Key on what leaves no row of its own: done once, answered alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from service.store import requests
from service.store.database import Tx


class Once(NamedTuple):
    """A request that may come again: what is asked, about which id, under which key."""

    operation: str
    target: str
    key: str


def once(tx: Tx, name: Once | None, work: Callable[[], Any]) -> Any:
    """Do `work` and keep its answer (JSON); the same request again gets that. None: no key."""
    if name is None:
        return work()
    said = requests.begin(tx, *name)
    if said is not None:
        return json.loads(said)
    answer = work()
    requests.end(tx, *name, json.dumps(answer))
    return answer


def named(operation: str, target: str, key: str | None) -> Once | None:
    """Name a request by its key; None when it has none."""
    return None if key is None else Once(operation, target, key)
