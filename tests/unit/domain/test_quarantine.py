"""The quarantine's rules: what goes when there is too much, and packing byte for byte."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from service.domain.quarantine import Caps, Held, pack, unpack, victims

latin = st.text(st.characters(max_codepoint=255), max_size=20)
rows = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("xy"), st.integers(1, 50)), max_size=40
).map(lambda found: [Held(n, *each) for n, each in enumerate(found)])


@given(st.lists(st.tuples(latin, latin), max_size=5), st.binary(max_size=200))
def test_packing_keeps_every_byte(headers: list[tuple[str, str]], body: bytes) -> None:
    """Headers in order, repeated ones too, and any body come back as they were."""
    assert unpack(pack(headers, body)) == (headers, body)


@given(rows, st.integers(0, 30), st.integers(0, 600))
def test_the_rest_keeps_to_the_caps(held: list[Held], entries: int, size: int) -> None:
    """What stays fits; nothing goes twice; of each sender and reason the oldest go first."""
    gone = victims(held, Caps(entries, size))
    stays = [each for each in held if each.seq not in gone]
    assert len(set(gone)) == len(gone)
    assert len(stays) <= entries
    assert sum(each.size for each in stays) <= size
    for group in {(each.source, each.reason) for each in held}:
        fates = [each.seq in gone for each in held if (each.source, each.reason) == group]
        assert fates == sorted(fates, reverse=True)


@given(rows)
def test_within_the_caps_nothing_goes(held: list[Held]) -> None:
    """Room is made only where it lacks."""
    assert victims(held, Caps(len(held), sum(each.size for each in held))) == []


@given(rows, st.integers(1, 30))
def test_who_sends_most_makes_room(held: list[Held], entries: int) -> None:
    """By count, nobody with less than a fair share loses anything."""
    gone = victims(held, Caps(entries, 10_000))
    counts = Counter((each.source, each.reason) for each in held)
    share = entries // max(1, len(counts))
    losers = {(each.source, each.reason) for each in held if each.seq in gone}
    assert all(counts[loser] > share for loser in losers)


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.booleans(), st.integers(1, 50)), max_size=40),
    st.integers(0, 30),
    st.integers(0, 600),
)
def test_what_is_proven_goes_last(
    found: list[tuple[str, bool, int]], entries: int, size: int
) -> None:
    """However many strangers send however much, nothing proven goes while theirs is there."""
    held = [
        Held(n, source, "too_old" if is_proven else "no_secret_matched", each)
        for n, (source, is_proven, each) in enumerate(found)
    ]
    gone = victims(held, Caps(entries, size))
    lost = any(each.seq in gone and each.reason == "too_old" for each in held)
    left = any(each.seq not in gone and each.reason != "too_old" for each in held)
    assert not (lost and left)
