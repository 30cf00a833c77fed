"""Members that look like misspelt ones: Amili would be sent them, and might not heed them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from service.domain.submissions import SubmissionKind
from service.submitting.columns import leaves, pattern_of
from service.submitting.problems import told
from service.submitting.records import Flaw, Path


def misspelt(item: Mapping[str, Any]) -> Iterator[Flaw]:
    """Name members that are unknown and much like a known one."""
    waiting: list[tuple[Path, Any]] = [((), item)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, list):
            waiting += [((*path, at), each) for at, each in enumerate(found)]
            continue
        known = known_below().get(pattern_of(path))
        if not isinstance(found, Mapping) or known is None:
            continue  # inside of what is itself unknown, anything is as good
        for name in found.keys() - known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if near:
                yield Flaw((*path, name), f"{told(name)} is unknown: is {near[0]!r} meant?")
        waiting += [((*path, name), found[name]) for name in found.keys() & known]


@cache
def known_below() -> Mapping[str, frozenset[str]]:
    """List the members of each object of any kind, by the object's pattern."""
    found: dict[str, set[str]] = {}
    for pattern in (each for kind in SubmissionKind for each in leaves(kind)):
        words = pattern.split(".")
        for at, word in enumerate(words):
            if not word.startswith("#"):
                found.setdefault(".".join(words[:at]), set()).add(word)
    return {pattern: frozenset(names) for pattern, names in found.items()}
