"""What a creditor reported about an invoice, and when Amili's amounts contain it. Pure.

Amounts name no payment: Amili tells how much of an invoice is paid and how much is credited,
never by what. So reports on one invoice are answered first in, first out, each once the amount
has grown by all that was reported up to it. Another payment that comes in meanwhile looks the
same; nothing that is known of Amili tells the two apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from service.domain.submissions import ItemState, SubmissionKind

#: A report seen reflected this long before another one was made is contained in what stood here
#: then: no transaction lasts so long.
LONG_BEFORE = timedelta(minutes=1)
#: Between these a case whose reports are not yet reflected is read again: half their age.
SHORTEST_LOOK, LONGEST_LOOK = timedelta(seconds=30), timedelta(hours=1)
#: States in which Amili has not taken a report, so that its amounts never contain it.
NOT_TAKEN = frozenset({ItemState.FAILED, ItemState.UNLISTED, ItemState.REFUSED})
NOTHING = Decimal(0)
LONG_AGO, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Report:
    """One payment or credit note on one invoice, as it was handed over.

    Amounts are in major units of the invoice's currency. A payment raises `paidAmount`, a credit
    note `creditedAmount` [assumed]: `before` and `reached` are of the one that it raises.
    """

    submission_id: str
    position: int
    kind: SubmissionKind
    invoice_id: str
    #: By how much the claim is to become smaller.
    amount: Decimal
    #: What stood here when it was reported; None: nobody knew.
    before: Decimal | None
    #: What stands here now; None: Amili tells no amount of this invoice at all.
    reached: Decimal | None
    state: ItemState
    reported_at: datetime
    #: When its batch, or a refusal, said what became of it.
    ended_at: datetime | None = None
    batch_id: str | None = None

    @property
    def key(self) -> str:
        """Names its hold."""
        return f"reported:{self.submission_id}:{self.position}"

    @property
    def is_taken(self) -> bool:
        """Amili has not said no to it."""
        return self.state not in NOT_TAKEN


@dataclass(frozen=True, slots=True)
class Chain:
    """The reports of one kind on one invoice so far, oldest first.

    `level` is the amount that contains them all. `unsure` are those whose own beginning nobody
    knows: they count as missing in the beginning of every later one.
    """

    level: Decimal = NOTHING
    unsure: Decimal = NOTHING
    #: When the last of them was seen reflected; `NEVER` while one was not.
    over_at: datetime = LONG_AGO

    def then(self, report: Report, noted_at: datetime | None) -> Chain:
        """Add the next report, which was seen reflected at `noted_at`.

        Where all before it was over long before it was made, the chain begins anew: else what
        was taken back in between would be missing for ever.
        """
        is_over = self.over_at <= report.reported_at - LONG_BEFORE
        before = Chain() if is_over else self
        beginning = report.before or NOTHING
        return Chain(
            level=max(before.level, beginning + before.unsure) + report.amount,
            unsure=before.unsure + (report.amount if report.before is None else NOTHING),
            over_at=max(before.over_at, noted_at or NEVER),
        )


def reflected(
    reports: Iterable[Report], noted: Mapping[str, datetime], seen_until: datetime | None
) -> Iterator[Report]:
    """Return the reports, given oldest first, that Amili's amounts contain.

    `noted` says which were seen reflected before, by key, and when. Whatever ended at Amili up to
    `seen_until` is surely shown by what was read; None: nothing is sure.
    """
    chains: dict[tuple[str, SubmissionKind], Chain] = {}
    for report in reports:
        if not report.is_taken:
            continue
        name = (report.invoice_id, report.kind)
        chains[name] = chains.get(name, Chain()).then(report, noted.get(report.key))
        if is_reflected(report, chains[name].level, seen_until):
            yield report


def is_reflected(report: Report, level: Decimal, seen_until: datetime | None) -> bool:
    """Say whether the batch took a report, and the amounts contain it and all before it.

    Where its beginning is not known, the amounts prove little: that so much was ever paid, or
    credited, is needed all the same, and that the read surely shows what the batch took. Where
    Amili tells no amount of the invoice at all, the batch's word is all that will ever come.
    """
    if report.state is not ItemState.SUCCEEDED:
        return False
    if report.before is not None:
        return report.reached is not None and report.reached >= level
    if seen_until is None or report.ended_at is None or report.ended_at > seen_until:
        return False
    return report.reached is None or report.reached >= level


def next_look(reports: Iterable[Report], now: datetime) -> datetime | None:
    """Say when the amounts are read again, which may move late; None: nothing is waited for.

    Amili has said no to some: no amount will tell more of those.
    """
    ages = (now - (report.ended_at or report.reported_at) for report in reports if report.is_taken)
    youngest = min(ages, default=None)
    if youngest is None:
        return None
    return now + min(max(youngest / 2, SHORTEST_LOOK), LONGEST_LOOK)
