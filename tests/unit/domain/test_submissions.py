"""Submissions: how they are cut, looked up, followed, and told apart by their batch."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from service.domain.actions import ASKED, LEVEL, SUBMISSIONS, ActionKind
from service.domain.records import BatchItem
from service.domain.submissions import (
    ACTIONS,
    LONGEST_POLL,
    LOOKUPS,
    SHORTEST_POLL,
    Item,
    Submission,
    SubmissionKind,
    next_lookup,
    next_poll,
    place,
    settled,
    target,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def submission(items: int, size: int) -> Submission:
    """Make a submission cut into chunks of at most `size`."""
    chunks = -(-items // size)
    return Submission("s-1", SubmissionKind.INVOICES, "org", "k", b"", "ready", items, chunks, NOON)


@given(st.integers(1, 3000), st.integers(1, 700))
def test_chunks_cover_everything_in_order(items: int, size: int) -> None:
    """Every item has one chunk, chunks rise with positions, and none is larger than asked."""
    cut = submission(items, size)
    chunks = [cut.chunk_of(position) for position in range(items)]
    assert chunks == sorted(chunks)
    counted = Counter(chunks)
    assert sorted(counted) == list(range(cut.chunks))
    assert max(counted.values()) <= size


@given(st.text(alphabet="abc-/0123456789", min_size=1), st.integers(0, 10**6))
def test_a_target_is_read_back(submission_id: str, chunk: int) -> None:
    """The ledger's name of a chunk leads back to it."""
    assert place(target(submission_id, chunk)) == (submission_id, chunk)


def test_every_kind_has_its_call() -> None:
    """The kinds of submissions and the ledger's words for them are the same, one for one."""
    assert set(ACTIONS) == set(SubmissionKind)
    assert set(ACTIONS.values()) == SUBMISSIONS
    assert set(ActionKind) == LEVEL | ASKED | SUBMISSIONS
    assert len(LEVEL) + len(ASKED) + len(SUBMISSIONS) == len(ActionKind)


def test_a_lost_answer_is_looked_up_for_ten_minutes() -> None:
    """The looks come at growing distances and end, so that a person is asked."""
    now, seen = NOON, []
    while (at := next_lookup(NOON, now)) is not None:
        assert at > now
        seen.append((at - NOON).total_seconds())
        now = at
    assert tuple(seen) == LOOKUPS
    assert seen[-1] == 600


@given(st.timedeltas(timedelta(0), timedelta(days=30)))
def test_polls_grow_with_age(age: timedelta) -> None:
    """A batch is read again never at once, never later than the longest pause, and ever later."""
    wait = next_poll(NOON, NOON + age) - (NOON + age)
    assert SHORTEST_POLL <= wait <= LONGEST_POLL
    later = next_poll(NOON, NOON + 2 * age) - (NOON + 2 * age)
    assert later >= wait


NAMES = st.integers(0, 6).map(str)


@st.composite
def items(draw: st.DrawFn) -> list[Item]:
    """Draw items; several may carry the same number or be for the same invoice."""
    count = draw(st.integers(0, 8))
    return [
        Item(n, f"source-{n}", draw(st.none() | NAMES), draw(st.none() | NAMES))
        for n in range(count)
    ]


@given(items(), st.randoms())
def test_each_item_gets_its_own_word(drawn: list[Item], chance: object) -> None:
    """A batch that tells every item by the creditor's own id settles each with its own word."""
    words = [
        BatchItem(item.position % 2 == 0, unique_source_invoice_id=item.unique_source_invoice_id)
        for item in drawn
    ]
    chance.shuffle(words)  # type: ignore[attr-defined]
    for item, word in settled(drawn, words):
        assert word is not None
        assert word.unique_source_invoice_id == item.unique_source_invoice_id


@given(items(), st.lists(st.builds(BatchItem, st.booleans(), invoice_id=NAMES)))
def test_a_word_is_for_one_item(drawn: list[Item], words: list[BatchItem]) -> None:
    """Two payments on one invoice need two words; no word is used twice, none for a stranger."""
    used = [id(word) for _, word in settled(drawn, words) if word is not None]
    assert len(used) == len(set(used))
    for item, word in settled(drawn, words):
        assert word is None or word.invoice_id == item.invoice_id


def test_a_number_that_two_have_says_nothing() -> None:
    """Two invoices of one number are told apart by their ids, never by the order of words."""
    both = [Item(n, f"source-{n}", "same", None) for n in (0, 1)]
    words = [BatchItem(True, invoice_number="same"), BatchItem(False, invoice_number="same")]
    assert [word for _, word in settled(both, words)] == [None, None]
    sure = BatchItem(True, invoice_number="same", unique_source_invoice_id="source-1")
    assert settled(both, [sure]) == [(both[0], None), (both[1], sure)]


def test_a_word_with_another_id_is_for_somebody_else() -> None:
    """A number does not make up for a creditor's own id that differs."""
    item = Item(0, "source-0", "7", None)
    assert settled([item], [BatchItem(True, "i", "7", "source-9")]) == [(item, None)]
