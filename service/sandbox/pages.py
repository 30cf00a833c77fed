"""The pages of a list, and what its filters let through (contract §2).

The sizes of a page and the form of a page token are [assumed].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from service.sandbox.asking import Ask, Told
from service.sandbox.errors import Refused
from service.sandbox.wire import Record, unix
from service.sandbox.world import World

LONGEST_PAGE = 1000
DAY_SECONDS = 86_400
BARE_DATE = len("2019-08-24")
_NUMBER = re.compile(r"[0-9]{1,12}")
TOKEN_PREFIX = "after-"  # noqa: S105 - a page's token, not a secret

Shown = Callable[[str], Record | None]


def page(world: World, ask: Ask, rows: Iterable[tuple[int, str]], show: Shown) -> Told:
    """Answer one page of the rows that are shown at all."""
    size = _size(world, ask)
    seen = ((serial, show(key)) for serial, key in rows)
    found = list(islice(((serial, row) for serial, row in seen if row is not None), size + 1))
    shown = [row for _, row in found[:size]]
    if len(found) > size:
        return Told(data=shown, next_token=f"{TOKEN_PREFIX}{found[size - 1][0]}")
    return Told(data=shown, next_token="" if world.behaviour.empty_last_token else None)


def after(ask: Ask) -> int | None:
    """Read the page token; an empty one is the first page."""
    token = ask.query.get("PageToken") or ask.query.get("pageToken")
    if not token:
        return None
    serial = token.removeprefix(TOKEN_PREFIX)
    if serial == token or not _NUMBER.fullmatch(serial):
        raise Refused(400, "unknown page token")
    return int(serial)


def matches(record: Record, ask: Ask, members: Mapping[str, str]) -> bool:
    """Compare a record's members with the filters (filter -> member) that were given."""
    return all(
        str(record.get(member)) == ask.query[name]
        for name, member in members.items()
        if name in ask.query
    )


def within(moment: str, low: str | None, high: str | None) -> bool:
    """Say whether a time lies between; a bare date as upper end includes its day [assumed]."""
    try:
        at = unix(moment)
        if low and at < unix(low):
            return False
        if high and len(high) == BARE_DATE:
            return at < unix(high) + DAY_SECONDS
        return not high or at <= unix(high)
    except ValueError as exc:
        raise Refused(400, "not a date") from exc


def _size(world: World, ask: Ask) -> int:
    given = ask.query.get("PageSize") or ask.query.get("pageSize")
    if given is None:
        return world.behaviour.page_size
    if not _NUMBER.fullmatch(given) or not 1 <= int(given) <= LONGEST_PAGE:
        raise Refused(400, f"the page size is 1 to {LONGEST_PAGE}")
    return int(given)
