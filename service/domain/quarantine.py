"""What is kept of refused deliveries, and who makes room when there is too much. Pure."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

Headers = Sequence[tuple[str, str]]

#: The reasons of a `SignatureError`: why a delivery was not proven to be Amili's.
UNPROVEN = frozenset(
    {"no_header", "ambiguous", "undecodable", "no_secret_matched", "too_old", "in_future"}
)

#: Reasons that only a proven delivery can have among these: its age is looked at last.
STALE = frozenset({"too_old", "in_future"})
FORGEABLE = UNPROVEN - STALE


@dataclass(frozen=True, slots=True)
class Caps:
    """What all entries together may take."""

    entries: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """One refused delivery as it is kept: sealed, and named so that it has one place only."""

    quarantine_id: str
    #: The same delivery from the same source, refused for the same reason, has the same name.
    name: bytes
    reason: str
    #: Whoever sent it, in a form that only tells sources apart.
    source: str
    body_bytes: int
    at: datetime
    sealed: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Held:
    """What is to be known of an entry to choose which ones go."""

    seq: int
    source: str
    reason: str
    size: int


def pack(headers: Headers, body: bytes) -> bytes:
    """Put a delivery into one piece, byte for byte."""
    # ASCII, in which JSON writes no line end: the first one ends the headers.
    return json.dumps([list(pair) for pair in headers]).encode("ascii") + b"\n" + body


def unpack(content: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Take apart what `pack` put together."""
    head, _, body = content.partition(b"\n")
    return [(name, value) for name, value in json.loads(head)], body


def victims(held: Iterable[Held], caps: Caps) -> list[int]:
    """Choose the entries that go, given the oldest first, so that the rest keeps to the caps.

    The oldest of whoever has the most goes: a flood of one source, or of one reason, drives
    out itself and not what others sent. What a signature proved to be Amili's goes only when
    nothing else is left: no number of strangers drives it out.
    """
    groups: dict[tuple[str, str], deque[Held]] = defaultdict(deque)
    for each in held:
        groups[each.source, each.reason].append(each)
    weights = {key: sum(each.size for each in group) for key, group in groups.items()}
    count, size = sum(map(len, groups.values())), sum(weights.values())
    # A dict, for its order: of equals the one with the oldest entry gives way.
    anybodys = {key: None for key in groups if key[1] in FORGEABLE}
    gone = []
    while count > caps.entries or size > caps.bytes:
        among = anybodys or groups
        if count > caps.entries:
            key = max(among, key=lambda key: len(groups[key]))
        else:
            key = max(among, key=lambda key: weights[key])
        one = groups[key].popleft()
        gone.append(one.seq)
        count, size = count - 1, size - one.size
        weights[key] -= one.size
        if not groups[key]:
            anybodys.pop(key, None)
            del groups[key], weights[key]
    return gone
