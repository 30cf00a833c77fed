"""Settlements as rows and sums: nothing left out, nothing rounded, no formula for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.amili.texts import decode, encode
from service.desk.exporting import Collected, demand_free, replacing, writer_for
from service.desk.settling import KNOWN, Totals, cell, members
from service.errors import ConfigError


def totals(*records: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Add up records."""
    made = Totals()
    for record in records:
        made.add(record)
    return made.told()


class TestTotals:
    def test_by_currency_and_member(self) -> None:
        """Sums go by currency and member, nested ones by dotted path and by their own currency."""
        first = {
            "currency": "NOK",
            "total": Decimal("10.10"),
            "fees": {"legal": Decimal("1.05")},
            "lines": [{"amount": Decimal("0.01")}, {"amount": Decimal("0.02")}],
            "abroad": {"currency": "SEK", "amount": Decimal("-7.00")},
        }
        assert totals(first, first, {"total": Decimal("3.00")}) == {
            "NOK": {"fees.legal": "2.10", "lines.amount": "0.06", "total": "20.20"},
            "SEK": {"abroad.amount": "-14.00"},
            "unknown": {"total": "3.00"},
        }

    def test_what_is_no_amount(self) -> None:
        """Rates, ids, texts and truths are not added up; whole amounts of a known member are."""
        record = {
            "currency": "NOK",
            "exchangeRate": Decimal("1.0000"),
            "caseNumber": 8812,
            "text": "10.00",
            "isPaid": True,
            "nested": {"exchangeRate": Decimal("2.00")},
        }
        assert totals(record) == {}
        whole, exact = {"currency": "NOK", "total": 1500}, {"total": Decimal("0.50")}
        assert totals(whole, whole | exact) == {"NOK": {"total": "1500.50"}}

    @given(st.lists(st.integers(-(10**25), 10**25), min_size=1, max_size=30))
    def test_to_the_last_oere(self, oere: list[int]) -> None:
        """Amounts of any size add up to the last øre, whatever their order."""
        records = [{"currency": "NOK", "total": Decimal(in_oere(each))} for each in oere]
        assert totals(*records)["NOK"]["total"] == in_oere(sum(oere))
        assert totals(*records) == totals(*reversed(records))


def in_oere(count: int) -> str:
    """Write a number of øre as kroner."""
    kroner, rest = divmod(abs(count), 100)
    return f"{'-' if count < 0 else ''}{kroner}.{rest:02}"


class TestCells:
    @pytest.mark.parametrize(
        ("value", "written"),
        [
            (None, ""),
            (True, "true"),
            (8812, "8812"),
            (Decimal("-4500.00"), "-4500.00"),
            (Decimal("1E+3"), "1000"),
            ("-4500.00", "-4500.00"),
            ("+4712345678", "+4712345678"),
            ("plain = text", "plain = text"),
            ("=1+1", "'=1+1"),
            ("-2+3", "'-2+3"),
            ("+a", "'+a"),
            ("@sum", "'@sum"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ([1, {"a": Decimal("1.50")}], '[1,{"a":1.50}]'),
        ],
    )
    def test_written(self, value: Any, written: str) -> None:
        """Amounts stay as they are, lists are JSON, and what looks like a formula is disarmed."""
        assert cell(value) == written

    @given(st.text(max_size=30))
    def test_no_formula(self, text: str) -> None:
        """No text begins like a formula in its cell, unless all of it is a number."""
        written = cell(text)
        assert written in (text, f"'{text}")
        if written[:1] in ("=", "+", "-", "@"):
            assert float(written.replace(",", ".")) is not None


names = st.text("abcd", min_size=1, max_size=3)
values = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
records = st.recursive(values, lambda inner: st.dictionaries(names, inner, max_size=3))


@given(st.dictionaries(names, records, max_size=4))
def test_no_member_is_lost(record: dict[str, Any]) -> None:
    """Every leaf of a record has a path of its own."""

    def leaves(value: Any) -> int:
        return sum(map(leaves, value.values())) if isinstance(value, dict) and value else 1

    found = list(members(record))
    assert len({path for path, _ in found}) == len(found)
    assert len(found) == (leaves(record) if record else 0)


class TestCollected:
    RAWS = (
        '{"zeta":1,"settlementId":"s-1","currency":"NOK","total":4500.00,"note":"=1+1"}',
        '{"settlementId":"s-2","currency":"NOK","total":0.10,"more":{"x":[1.50]}}',
    )

    def test_csv(self) -> None:
        """Known columns come first, the others by name; each row has all its members."""
        with Collected() as found:
            for raw in self.RAWS:
                found.add(raw)
            out = io.StringIO(newline="")
            found.write_csv(out)
        header, first, second = csv.reader(io.StringIO(out.getvalue(), newline=""))
        assert header == ["settlementId", "currency", "more.x", "note", "total", "zeta"]
        assert first == ["s-1", "NOK", "", "'=1+1", "4500.00", "1"]
        assert second == ["s-2", "NOK", "[1.50]", "", "0.10", ""]

    def test_json(self) -> None:
        """Amounts stand as they came, and the totals beside them."""
        with Collected() as found:
            for raw in self.RAWS:
                found.add(raw)
            out = io.StringIO()
            found.write_json(out)
        assert '"total":4500.00' in out.getvalue()
        said = decode(out.getvalue().encode())
        assert [encode(each) for each in said["data"]] == list(self.RAWS)
        assert said["totals"] == {"NOK": {"more.x": "1.50", "total": "4500.10"}}

    def test_none(self) -> None:
        """Without settlements there is a header of what is known, an empty list, no totals."""
        with Collected() as found:
            table, text = io.StringIO(newline=""), io.StringIO()
            found.write_csv(table)
            found.write_json(text)
        assert table.getvalue().strip() == ",".join(KNOWN)
        assert json.loads(text.getvalue()) == {"data": [], "totals": {}}


class TestFiles:
    def test_whole_or_not_at_all(self, tmp_path: Path) -> None:
        """A file that breaks off leaves the old one as it was, and nothing beside it."""
        path = tmp_path / "out.csv"
        path.write_text("old")

        def breaks() -> None:
            with replacing(path, force=True) as file:
                file.write("new")
                raise RuntimeError("it breaks off")

        with pytest.raises(RuntimeError, match="breaks off"):
            breaks()
        assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]
        assert path.read_text() == "old"
        with replacing(path, force=True) as file:
            file.write("new")
        assert path.read_text() == "new"
        assert path.stat().st_mode & 0o077 == 0

    def test_nothing_is_overwritten_unasked(self, tmp_path: Path) -> None:
        """A file that stands there, or comes meanwhile, is refused without `force`."""
        path = tmp_path / "out.csv"

        def meanwhile() -> None:
            with replacing(path, force=False):
                path.write_text("theirs")

        with pytest.raises(ConfigError, match="--force"):
            meanwhile()
        assert path.read_text() == "theirs"
        with pytest.raises(ConfigError, match="--force"):
            demand_free(path, force=False)
        demand_free(path, force=True)

    def test_ending_says_the_form(self) -> None:
        """A file whose name ends in neither .csv nor .json is refused with both."""
        assert writer_for(Path("a.CSV")) is Collected.write_csv
        with pytest.raises(ConfigError, match=r"\.csv or \.json"):
            writer_for(Path("a.xlsx"))
