"""What a creditor reported about an invoice, and when Amili's amounts contain it. Pure.

Amounts name no payment: Amili tells how much of an invoice is paid and how much is credited,
never by what. So reports on one invoice are answered first in, first out, each once the amount
has grown by all that was reported up to it. Another payment that comes in meanwhile looks the
same; nothing that is known of Amili tells the two apart.

Where Amili does not tell the amount that a report raises, and tells what remains of the invoice,
the fall of that counts. What accrues meanwhile (interest) makes the fall smaller: it waits longer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
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
NOT_TAKEN = frozenset({ItemState.FAILED, ItemState.REFUSED})
NOTHING = Decimal(0)
LONG_AGO, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What Amili tells of an invoice, in major units of its currency; None: it does not."""

    paid: Decimal | None = None
    credited: Decimal | None = None
    remaining: Decimal | None = None
    original: Decimal | None = None

    @property
    def is_told(self) -> bool:
        """Amili tells any amount that moves."""
        return any(each is not None for each in (self.paid, self.credited, self.remaining))


@dataclass(frozen=True, slots=True)
class Measure:
    """How far an amount had grown before a report, and how far it has now."""

    before: Decimal | None
    reached: Decimal | None
    #: Payments and credit notes raise it alike.
    is_shared: bool = False


def measure(kind: SubmissionKind, before: Amounts, now: Amounts) -> Measure:
    """Choose what tells whether a report is contained: the amount that it raises, or the fall.

    A payment raises `paidAmount`, a credit note `creditedAmount` [assumed]. The amount that is
    told beside the fall, if any, is no part of it.
    """
    is_payment = kind is SubmissionKind.PAYMENTS
    own, own_before = (now.paid, before.paid) if is_payment else (now.credited, before.credited)
    if own is not None or not now.is_told:
        return Measure(own_before, own)
    if now.remaining is None or (before.remaining is None and own_before is not None):
        return Measure(own_before, NOTHING)
    other, other_before = (now.credited, before.credited) if is_payment else (now.paid, before.paid)

    def fallen(remaining: Decimal, others: Decimal | None) -> Decimal:
        counted = NOTHING if other is None or others is None else others
        return (now.original or NOTHING) - remaining - counted

    begin = None if before.remaining is None else fallen(before.remaining, other_before)
    return Measure(begin, fallen(now.remaining, other), is_shared=other is None)


@dataclass(frozen=True, slots=True)
class Report:
    """One payment or credit note on one invoice, as it was handed over.

    Amounts are in major units of the invoice's currency; `before` and `reached` are of what
    `measure` chose.
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
    #: Payments and credit notes raise the amount alike.
    is_shared: bool = False

    @property
    def key(self) -> str:
        """Names its hold."""
        return f"reported:{self.submission_id}:{self.position}"

    @property
    def is_taken(self) -> bool:
        """Amili has not said no to it."""
        return self.state not in NOT_TAKEN

    @property
    def chain(self) -> tuple[str, SubmissionKind | None]:
        """Names those that its amount must contain with it."""
        return self.invoice_id, None if self.is_shared else self.kind


@dataclass(frozen=True, slots=True)
class Chain:
    """The reports that raise one amount of one invoice so far, oldest first.

    `level` is the amount that contains them all; None: there are none. `unsure` are those whose
    own beginning nobody knows: they count as missing in the beginning of every later one.
    """

    level: Decimal | None = None
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
        beginning = (NOTHING if report.before is None else report.before) + before.unsure
        level = beginning if before.level is None else max(before.level, beginning)
        return Chain(
            level=level + report.amount,
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
    chains: dict[tuple[str, SubmissionKind | None], Chain] = {}
    for report in reports:
        if not report.is_taken:
            continue
        chain = chains.get(report.chain, Chain()).then(report, noted.get(report.key))
        chains[report.chain] = chain
        if chain.level is not None and is_reflected(report, chain.level, seen_until):
            yield report


def is_reflected(report: Report, level: Decimal, seen_until: datetime | None) -> bool:
    """Say whether the batch took a report, and the amounts contain it and all before it.

    Where its beginning is not known, the amounts prove little: that so much was ever paid, or
    credited, is needed all the same, and that the read surely shows what the batch took. Where
    Amili tells no amount of the invoice at all, the batch's word is all that will ever come.
    Where the batch does not say what became of it, only amounts that have grown do.
    """
    if report.state not in (ItemState.SUCCEEDED, ItemState.UNLISTED):
        return False
    if report.before is not None:
        return report.reached is not None and report.reached >= level
    if report.state is ItemState.UNLISTED or seen_until is None:
        return False
    if report.ended_at is None or report.ended_at > seen_until:
        return False
    return report.reached is None or report.reached >= level


def corrected(reports: Sequence[Report], contained: Set[str], known: Set[str]) -> set[str]:
    """Name the reports that Amili did not take, and that were made again and are contained.

    Made again: on the same invoice, of the same kind, of as much or more, after the first was
    known to have failed. Each one stands for one; those that it stood for before are `known`, by
    key, as those that are contained are.
    """
    free = [each for each in reports if each.key in contained]
    found: set[str] = set()
    failed = [each for each in reports if not each.is_taken]
    for report in sorted(failed, key=lambda each: each.key not in known):
        fitting = [each for each in free if stands_for(each, report)]
        if fitting:
            free.remove(min(fitting, key=lambda each: each.amount))
            found.add(report.key)
    return found


def stands_for(later: Report, report: Report) -> bool:
    """Say whether a report is as good as one that was not taken before it was made."""
    same = (later.invoice_id, later.kind) == (report.invoice_id, report.kind)
    is_later = report.ended_at is not None and later.reported_at >= report.ended_at
    return same and is_later and later.amount >= report.amount


def next_look(reports: Iterable[Report], now: datetime) -> datetime | None:
    """Say when the amounts are read again, which may move late; None: nothing is waited for.

    Amili has said no to some: no amount will tell more of those.
    """
    ages = (now - (report.ended_at or report.reported_at) for report in reports if report.is_taken)
    youngest = min(ages, default=None)
    if youngest is None:
        return None
    return now + min(max(youngest / 2, SHORTEST_LOOK), LONGEST_LOOK)
