"""What schemathesis loads: it counts the answers, and asks for records that exist, too.

Loaded by name in a process of its own, told where to write by `AMILI_FUZZ_COUNTS`.
"""

from __future__ import annotations

import atexit
import json
import os
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis

COUNTS: Counter[str] = Counter()
#: By the name of the parameter: records of `stage.furnish`.
KNOWN = {
    "eventId": ("event-0", "event-1", "with/a slash", "unknown"),
    "caseId": ("case-0", "case-1", "case-2"),
    "holdId": ("hold-1",),
    "actionId": ("action-0", "action-1", "action-2"),
    "batchId": ("batch-1",),
    "invoiceId": ("inv-1",),
    "settlementId": ("set-1",),
    **json.loads(os.environ.get("AMILI_FUZZ_KNOWN", "{}")),
}


@schemathesis.hook
def map_path_parameters(context: Any, path_parameters: Any) -> Any:
    """Put an id that is known in the place of two of three."""
    found = dict(path_parameters or {})
    for name, value in found.items():
        chance = zlib.crc32(repr(value).encode())
        known = KNOWN.get(name, ())
        if known and chance % 3:
            found[name] = known[chance // 3 % len(known)]
    return found


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Send what this Python prints where a request is well-formed: Unicode has versions."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        case.query = {name: printable(value) for name, value in (case.query or {}).items()}


def printable(value: Any) -> Any:
    """Write a text without what this Python does not print."""
    if isinstance(value, str) and not value.isprintable():
        return "".join(sign if sign.isprintable() else "x" for sign in value)
    return value


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count an answer."""
    COUNTS[str(response.status_code)] += 1


@atexit.register
def told() -> None:
    """Write down what was counted."""
    if path := os.environ.get("AMILI_FUZZ_COUNTS"):
        Path(path).write_text(json.dumps(COUNTS), encoding="utf-8")
