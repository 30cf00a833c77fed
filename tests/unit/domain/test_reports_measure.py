"""What tells whether a report is contained: the amount that it raises, or what remains."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.reports import Amounts, Measure, measure
from service.domain.submissions import SubmissionKind

PAID, CREDITED = SubmissionKind.PAYMENTS, SubmissionKind.CORRECTIONS
MONEY = st.none() | st.decimals("0", "9999", places=2)
AMOUNTS = st.builds(Amounts, MONEY, MONEY, MONEY, MONEY)


def amounts(
    paid: int | None = None,
    credited: int | None = None,
    remaining: int | None = None,
    original: int | None = None,
) -> Amounts:
    """Make amounts of whole crowns."""
    told = (paid, credited, remaining, original)
    return Amounts(*(None if each is None else Decimal(each) for each in told))


def of(before: int | None, reached: int | None, *, is_shared: bool = False) -> Measure:
    """Make a measure of whole crowns."""
    begin, now = (None if each is None else Decimal(each) for each in (before, reached))
    return Measure(begin, now, is_shared)


@pytest.mark.parametrize(
    ("kind", "before", "now", "expected"),
    [
        (PAID, amounts(10, 1, 990), amounts(30, 1, 970), of(10, 30)),
        (CREDITED, amounts(10, 1, 990), amounts(10, 6, 985), of(1, 6)),
        (PAID, amounts(None, 1, 990), amounts(30, 1, 970), of(None, 30)),
        (PAID, amounts(), amounts(original=1000), of(None, None)),
        (PAID, amounts(10), amounts(), of(10, None)),
        (PAID, amounts(remaining=1000), amounts(remaining=900), of(-1000, -900, is_shared=True)),
        (CREDITED, amounts(remaining=9), amounts(None, None, 5, 9), of(0, 4, is_shared=True)),
        (PAID, amounts(None, 0, 1000), amounts(None, 50, 850, 1000), of(0, 100)),
        (PAID, amounts(None, None, 1000), amounts(None, 50, 850, 1000), of(0, 100)),
        (PAID, amounts(), amounts(None, None, 900, 1000), of(None, 100, is_shared=True)),
        (PAID, amounts(10, None, None), amounts(None, None, 900, 1000), of(10, 0)),
        (PAID, amounts(10, 0), amounts(None, 5), of(10, 0)),
    ],
)
def test_which(kind: SubmissionKind, before: Amounts, now: Amounts, expected: Measure) -> None:
    """Its own amount where that is told, else the fall without what was told beside it."""
    assert measure(kind, before, now) == expected


@given(st.sampled_from([PAID, CREDITED]), AMOUNTS, st.decimals("0.01", "999", places=2))
def test_it_grows_by_what_is_booked(kind: SubmissionKind, before: Amounts, booked: Decimal) -> None:
    """Whatever is told: once just this report is booked, the measure grew by it or says nothing."""
    is_payment = kind is PAID

    def more(amount: Decimal | None, sign: int) -> Decimal | None:
        return None if amount is None else amount + sign * booked

    now = Amounts(
        more(before.paid, 1) if is_payment else before.paid,
        before.credited if is_payment else more(before.credited, 1),
        more(before.remaining, -1),
        before.original,
    )
    grown = measure(kind, before, now)
    if grown.before is not None and grown.reached is not None:
        assert grown.reached - grown.before in (booked, -grown.before)


@given(st.sampled_from([PAID, CREDITED]), AMOUNTS, st.decimals("0.01", "999", places=2))
def test_what_is_told_of_the_other_kind_is_no_part(
    kind: SubmissionKind, before: Amounts, booked: Decimal
) -> None:
    """Where both amounts are told, or one beside what remains, the other kind raises nothing."""
    other = before.credited if kind is PAID else before.paid
    if other is None:
        return
    raised = other + booked
    now = Amounts(
        before.paid if kind is PAID else raised,
        raised if kind is PAID else before.credited,
        None if before.remaining is None else before.remaining - booked,
        before.original,
    )
    grown = measure(kind, before, now)
    if grown.before is not None and grown.reached is not None:
        assert grown.reached <= max(grown.before, Decimal(0))
