"""What is written is read back the same, in every format and with every option."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.amili.texts import decode, encode
from service.domain.submissions import SubmissionKind
from service.errors import SubmissionRefused
from service.submitting.columns import MODELS, columns, leaves, path_of, pattern_of, short, type_of
from service.submitting.giving import items
from service.submitting.meanings import MEANINGS
from service.submitting.options import (
    DELIMITERS,
    Format,
    Options,
    norwegian_excel,
    options_of,
)
from service.submitting.reading import Source
from service.submitting.writing import Line, write
from tests.unit.submitting.written import INVOICES, invoice, items_of

OPTIONS = [
    Options(Format.JSON),
    Options(Format.NDJSON, encoding="utf-16"),
    Options(Format.CSV),
    Options(Format.CSV, delimiter="tab", encoding="utf-16"),
    replace(norwegian_excel(), encoding="utf-8-sig"),
]


def back(kind: SubmissionKind, options: Options, lines: list[Line]) -> list[str]:
    """Write items and read them again."""
    file = io.StringIO(newline="")
    write(file, kind, options, lines)
    stream = io.BytesIO(file.getvalue().encode(options.encoding))
    return [item.body for item in items(Source(stream, kind, options), kind)]


@pytest.mark.parametrize("kind", SubmissionKind)
@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda options: f"{options.format}-{options.encoding}"
)
@given(data=st.data())
def test_the_same(kind: SubmissionKind, options: Options, data: st.DataObject) -> None:
    """Items come back to the last digit, with notes of errors left out."""
    drawn = data.draw(st.lists(items_of[kind], min_size=1, max_size=3))
    notes = data.draw(st.sampled_from(["", 'no "debtor", line\nend']))
    bodies = [encode(item) for item in drawn]
    read = back(kind, options, [Line(body, notes) for body in bodies])
    assert [decode(body.encode()) for body in read] == drawn
    members = MODELS[kind].model_fields.values()
    order = [str(member.alias) for member in members]
    for body, item in zip(read, drawn, strict=True):
        assert list(json.loads(body)) == sorted(item, key=order.index)


def test_scale_is_kept() -> None:
    """An amount comes back with its scale."""
    body = encode(invoice()).replace("4500", "4500.00")
    for options in OPTIONS:
        (read,) = back(INVOICES, options, [Line(body)])
        assert '"originalInvoiceAmount":4500.00,' in read


@pytest.mark.parametrize("delimiter", ["comma", "semicolon", "tab", "pipe"])
@pytest.mark.parametrize(
    "begin", ["=", "+", "-", "@", "\t=", "\r=", " =", "x;=", "x,-", 'x"=', "x\n@"]
)
def test_notes_are_no_formulas(begin: str, delimiter: str) -> None:
    """Whatever Amili's words are, no spreadsheet of any country begins a formula with them."""
    file = io.StringIO(newline="")
    line = Line(encode(invoice()), f"{begin}cmd|' /C calc'!A0")
    write(file, INVOICES, Options(Format.CSV, delimiter=delimiter), [line])
    row = file.getvalue().partition("\n")[2]
    for other in DELIMITERS.values():
        for cells in csv.reader(io.StringIO(row, newline=""), delimiter=other):
            assert not [cell for cell in cells if cell.lstrip()[:1] in ("=", "+", "-", "@")]


def test_plain_notes_stay() -> None:
    """Words that are no formula are written as they are."""
    said = "DUPLICATE invoiceNumber a@b - it's there (1+1=2)"
    file = io.StringIO(newline="")
    write(file, INVOICES, Options(Format.CSV), [Line(encode(invoice()), said)])
    assert file.getvalue().rstrip().endswith(f",{said}")


def test_members_without_a_column() -> None:
    """CSV does not silently lose what it cannot hold."""
    line = Line(encode(invoice(other=1)))
    with pytest.raises(SubmissionRefused, match="--format ndjson"):
        back(INVOICES, Options(Format.CSV), [line])
    assert '"other":1' in back(INVOICES, Options(Format.NDJSON), [line])[0]


@pytest.mark.parametrize("kind", SubmissionKind)
def test_columns(kind: SubmissionKind) -> None:
    """Every member of the models has a column, a type and a meaning; its header leads back."""
    listed = columns(kind)
    patterns = []
    for column in listed:
        path = path_of(kind, column.header)
        assert path is not None
        assert short(path) == column.header
        assert type_of(kind, path) is column.type
        assert column.meaning
        patterns.append(pattern_of(path))
    assert sorted(patterns) == sorted(leaves(kind))
    assert {column.header for column in listed if column.required} <= {
        str(field.alias) for field in MODELS[kind].model_fields.values() if field.is_required()
    }


def test_meanings() -> None:
    """No meaning is left over from a member that is gone."""
    known = {pattern for kind in SubmissionKind for pattern in leaves(kind)}
    known |= {f"{kind}:{pattern}" for kind in SubmissionKind for pattern in leaves(kind)}
    assert MEANINGS.keys() <= known


@pytest.mark.parametrize(
    ("header", "path"),
    [
        ("debtor.firstname", ("debtors", 0, "firstname")),
        ("debtors.1.firstname", ("debtors", 1, "firstname")),
        ("debtor.phone", ("debtors", 0, "phoneNumbers", 0, "value")),
        ("debtor.phone.countryCode", ("debtors", 0, "phoneNumbers", 0, "countryCode")),
        ("debtors.2.emails.1.value", ("debtors", 2, "emails", 1, "value")),
        ("claims.1.remainingAmount", ("claims", 1, "remainingAmount")),
        ("claims.01.remainingAmount", None),
        ("claims.#.remainingAmount", None),
        ("claims.100.remainingAmount", None),
        ("claims.²", None),
        pytest.param("9" * 5000, None, id="5000 digits"),
        ("debtor", None),
        ("", None),
        (".", None),
    ],
)
def test_headers(header: str, path: tuple[str | int, ...] | None) -> None:
    """Headers are paths, with short words for the first of a list."""
    assert path_of(INVOICES, header) == path


def test_explicit_options_win() -> None:
    """The preset of Excel sets defaults; what is given beside it wins, and also a no."""
    assert options_of({}, excel=True, encoding=None) == norwegian_excel()
    given = {"encoding": "windows-1252", "delimiter": "tab", "decimal_comma": False}
    made = options_of({"a": "_"}, excel=True, skip_empty_lines=False, **given)
    assert (made.encoding, made.delimiter, made.decimal_comma) == ("windows-1252", "\t", False)
    assert (made.skip_empty_lines, made.norwegian, made.mapping) == (False, True, {"a": "_"})
    assert options_of({}, excel=False, format=None, delimiter=None) == Options()


@pytest.mark.parametrize(
    "options", [{"delimiter": ";;"}, {"delimiter": '"'}, {"encoding": "rot13"}]
)
def test_bad_options(options: dict[str, str]) -> None:
    """A delimiter or encoding that is none is told, with those that are."""
    with pytest.raises(SubmissionRefused, match="is one of: "):
        Options(**options)  # type: ignore[arg-type]
