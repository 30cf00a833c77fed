"""The names of everything that the inbox keeps in Redis."""

from __future__ import annotations

STREAM = "amili:inbox"
GROUP = "workers"
#: Set while a bell for the drain is on its way; its end rings again.
BELL = "amili:bell:events"
BELL_MS = 2_000
#: How long Redis remembers a body; SQL remembers for ever.
SEEN_MS = 7 * 24 * 3600 * 1000
PROBE = "amili:probe"
SEEN_PATTERN = "amili:seen:*"
#: Which database the keys speak of; see `epoch`.
EPOCH = "amili:epoch"
CLEARING = "clearing:"
#: Digests of bodies that were committed lately: a restored database lacks one.
WITNESSES = "amili:witnesses"
MOST_WITNESSES = 64
#: Many groups may follow a restore before anybody looks: so one of each hour stays as long as
#: the door's keys do.
SPACED_WITNESSES = "amili:witnesses:spaced"
MOST_SPACED = 7 * 24
#: Set while the hour's witness is there already.
SPACE = "amili:witnesses:space"
SPACE_MS = 3600 * 1000


def seen(digest: bytes) -> str:
    """Name the key of one body: its value is `seen`, `stored` or `settled`."""
    return f"amili:seen:{digest.hex()}"
