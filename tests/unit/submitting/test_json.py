"""JSON and NDJSON: exact numbers, exact places, and a clear word for each way to get it wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.domain.submissions import SubmissionKind
from service.submitting.examining import examine_body
from service.submitting.giving import read_body
from service.submitting.options import Format, Options
from service.submitting.records import MOST_CHARACTERS
from tests.unit.submitting.written import (
    INVOICES,
    JSON,
    NDJSON,
    PAYMENTS,
    RULES,
    correction,
    examined,
    given_back,
    invoice,
    payment,
    said,
    words,
)


def body(*items: Any) -> str:
    """Write a body as Amili's API takes it."""
    return json.dumps({"invoices": list(items)})


class TestGoodFiles:
    @pytest.mark.parametrize("form", ["{0}", "[{0}]", '{{"invoices": [{0}]}}', " \r\n[ {0} ]\n"])
    def test_forms(self, tmp_path: Path, form: str) -> None:
        """A list, alone or as the one member, is read; NDJSON holds the item alone."""
        text = form.format(json.dumps(invoice()))
        (item,) = given_back(tmp_path, text, NDJSON if form == "{0}" else JSON)
        assert item.unique_source_invoice_id == "S-1"

    def test_exact(self, tmp_path: Path) -> None:
        """Amounts keep their scale and unknown members stay; what begins with `_` is left out."""
        text = body(invoice()).replace("4500", "4500.00")
        text = text.replace('"vat"', "").replace("}]}]}", '}],"new":{"a":[1.10]},"_errors":"x"}]}')
        (item,) = given_back(tmp_path, text, JSON)
        assert '"originalInvoiceAmount":4500.00,' in item.body
        assert '"new":{"a":[1.10]}' in item.body
        assert "_errors" not in item.body

    def test_ndjson_lines(self, tmp_path: Path) -> None:
        """Items of NDJSON know their lines; empty lines are left out when that is wanted."""
        text = f"{json.dumps(invoice())}\r\n\n{json.dumps(invoice(uniqueSourceInvoiceId='S-2'))}"
        options = Options(Format.NDJSON, skip_empty_lines=True)
        assert [item.line for item in given_back(tmp_path, text, options)] == [1, 3]
        assert "--skip-empty-lines" in words(examined(tmp_path, text, NDJSON))

    def test_many_windows(self, tmp_path: Path) -> None:
        """Items far into a file are read whole, and their lines are right."""
        many = [
            invoice(uniqueSourceInvoiceId=f"S-{n}", description="å" * 5000 + f"{n}")
            for n in range(700)
        ]
        text = '{"invoices": [\n' + ",\n".join(json.dumps(each) for each in many) + "\n]}"
        assert len(text) > 4 * MOST_CHARACTERS
        items = given_back(tmp_path, text, JSON)
        assert [item.line for item in items] == list(range(2, 702))
        for number, item in enumerate(items):
            assert json.loads(item.body)["description"] == "å" * 5000 + str(number)


class TestPlaces:
    def test_of_members(self, tmp_path: Path) -> None:
        """A member that is wrong is told by the line and column of its value."""
        text = (
            '{"invoices": [\n'
            + json.dumps(invoice())
            + ",\n"
            + json.dumps(
                invoice(uniqueSourceInvoiceId="S-2", invoiceNumber="2", debtors=[{}, 5]), indent=1
            )
            + "]}"
        )
        report = examined(tmp_path, text, JSON)
        lines = text.split("\n")
        for problem in report.problems:
            at = lines[problem.line - 1][problem.column - 1 :]
            assert at.startswith({"debtors.0": "{}", "debtors.1": "5"}[problem.field])
        assert {problem.position for problem in report.problems} == {1}
        assert report.errors == 2

    def test_of_a_missing_member(self, tmp_path: Path) -> None:
        """A member that is missing is told at what should hold it."""
        report = examined(tmp_path, body(invoice(currency=None)), JSON)
        assert said(report) == [(1, 15, "currency")]
        assert "is required" in words(report)

    @pytest.mark.parametrize(
        ("new", "after"),
        [("4500,,", 6), ("04500", 2), ("'", 1)],
    )
    def test_of_what_is_no_json(self, tmp_path: Path, new: str, after: int) -> None:
        """A slip is told at its character, once, and nothing of the text is repeated."""
        text = json.dumps(invoice()).replace("4500", new)
        column = text.index(new) + after
        for options, whole, shift in ((NDJSON, text, 0), (JSON, f"[\n{text}]", 1)):
            report = examined(tmp_path, whole, options)
            assert report.errors == 1
            (place,) = said(report)
            assert place == (1 + shift, column, "")
            assert "Nordmann" not in words(report)

    def test_ndjson_goes_on(self, tmp_path: Path) -> None:
        """A line that is no JSON does not hide what is wrong with the next one."""
        text = f"{{\n{json.dumps(invoice(currency='NKR'))}\n[1]\n{json.dumps(invoice())} 5\n"
        report = examined(tmp_path, text, NDJSON)
        assert [problem.line for problem in report.problems] == [1, 2, 3, 4]


class TestNumbers:
    @pytest.mark.parametrize(
        ("number", "advice"),
        [
            ("4.5E3", "without an exponent"),
            ("1e400", "without an exponent"),
            ("1E99999999999999999999", "without an exponent"),
            ("NaN", "NaN is no amount"),
            ("-Infinity", "-Infinity is no amount"),
            ("9" * 5000, "too long"),
            ("0." + "1" * 5000, "too long"),
            ('"4500.00"', "without quotation marks"),
            ("true", "must be a JSON number"),
            ("null", "must be a JSON number"),
        ],
    )
    def test_bad(self, tmp_path: Path, number: str, advice: str) -> None:
        """A number that is none is told once, at its place."""
        text = body(invoice()).replace("4500", number)
        report = examined(tmp_path, text, JSON)
        assert said(report) == [(1, text.index(number) + 1, "originalInvoiceAmount")]
        assert advice in words(report)

    def test_deep_inside(self, tmp_path: Path) -> None:
        """An exponent in a list of a member that we do not know is found, too."""
        text = body(invoice(other=[{"x": [1, 77]}])).replace("77", "7E1")
        report = examined(tmp_path, text, JSON)
        assert said(report) == [(1, text.index("7E1") + 1, "other.0.x.1")]


class TestNesting:
    @pytest.mark.parametrize("signs", ["[]", "{}"])
    def test_the_deepest(self, tmp_path: Path, signs: str) -> None:
        """64 objects and lists inside of each other are taken, the item itself among them."""
        report = examined(tmp_path, body(invoice(deep=77)).replace("77", deep(63, signs)), JSON)
        assert report.fit, report.problems

    @pytest.mark.parametrize("options", [JSON, NDJSON], ids=["json", "ndjson"])
    @pytest.mark.parametrize("signs", ["[]", "{}"])
    @pytest.mark.parametrize("more", [64, 150, 400, 900, 50_000])
    def test_too_deep(self, tmp_path: Path, more: int, signs: str, options: Options) -> None:
        """One more is told by the line and column where it begins."""
        text = body(invoice(deep=77))[len('{"invoices": [') : -2].replace("77", deep(more, signs))
        before = '{"invoices":\n[' if options is JSON else "\n"
        whole = before + text + ("]}" if options is JSON else "")
        skipping = replace(options, skip_empty_lines=True)
        report = examined(tmp_path, whole, skipping)
        step = len(signs) - 1 if signs == "[]" else len('{"x":')
        begin = text.index('"deep": ') + len('"deep": ') + 63 * step
        column = begin + 1 + (options is JSON)
        assert said(report) == [(2, column, "")]
        assert "nested too deeply" in words(report)

    def test_brackets_in_texts(self, tmp_path: Path) -> None:
        """Brackets inside of texts nest nothing, quotation marks in them end nothing."""
        item = invoice(description='\\"[{' * 100, deep=[1])
        assert examined(tmp_path, body(item), JSON).fit


def deep(levels: int, signs: str) -> str:
    """Write so many lists or objects, one inside of the other."""
    begin = "[" if signs == "[]" else '{"x":'
    return begin * (levels - 1) + signs + signs[1] * (levels - 1)


class TestStructure:
    @pytest.mark.parametrize(
        ("text", "advice"),
        [
            ("", 'expected [ of {"invoices": [...]}'),
            ("5", "expected ["),
            ("{}", '{"invoices": [...]}'),
            ('{"payments": []}', "'payments' is not"),
            (json.dumps(invoice()), "'uniqueSourceInvoiceId' is not"),
            ('{"invoices": {}}', "expected ["),
            ('{"invoices": [', "an item is missing"),
            ('{"invoices": []', "expected }"),
            ("[]", "There are no invoices in it."),
            ('{"invoices": []}', "There are no invoices in it."),
            ("[5]", "expected an object"),
            ("[[]]", "expected an object"),
            (f"[{json.dumps(invoice())},]", "an item is missing"),
            (f"[{json.dumps(invoice())}", "expected ]"),
            (f"[{json.dumps(invoice())}] 5", "more after the end"),
            (f"{json.dumps(invoice())}\n{json.dumps(invoice())}", "--format ndjson"),
            ('{"invoices": [], "more": 1}', "expected }"),
            ("[" * 100_000, "nested too deeply"),
            ('[{"a":' + "[" * 100_000, "nested too deeply"),
            ('[{"a":"' + "x" * (MOST_CHARACTERS + 5) + '"}]', "one item is longer"),
            ('[{"a":"' + "x" * (3 * MOST_CHARACTERS) + '"}]', "one item is longer"),
            ('{"' + "x" * (4 * MOST_CHARACTERS), "one item is longer"),
            (" " * (4 * MOST_CHARACTERS), "one item is longer"),
        ],
        ids=range(23),
    )
    def test_wrong(self, tmp_path: Path, text: str, advice: str) -> None:
        """What is no list of items is told, whatever it is."""
        report = examined(tmp_path, text, JSON)
        assert not report.fit
        assert advice in words(report)

    def test_doubled_member(self, tmp_path: Path) -> None:
        """A member that is there twice is told at its second value, never silently dropped."""
        text = body(invoice()).replace('"currency"', '"dueDate": "2026-03-01", "currency"')
        report = examined(tmp_path, text, JSON)
        assert said(report) == [(1, text.rindex('"2026-02-05"') + 1, "dueDate")]
        assert "twice" in words(report)

    def test_members_by_other_names(self, tmp_path: Path) -> None:
        """A member that looks misspelt is a warning: it is sent as it is."""
        report = examined(tmp_path, body(invoice(ocrReferenceNr="1", other=1)), JSON)
        assert (report.errors, report.warnings) == (0, 1)
        assert "is 'ocrReferenceNumber' meant?" in words(report)


class TestBodies:
    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    def test_good(self, mark: bytes) -> None:
        """A body is examined and read as a file is, with a byte order mark or without."""
        data = mark + body(invoice(), invoice(uniqueSourceInvoiceId="S-2")).encode()
        report = examine_body(data, INVOICES, RULES)
        assert (report.fit, report.count) == (True, 2)
        names = [item.unique_source_invoice_id for item in read_body(data, INVOICES)]
        assert names == ["S-1", "S-2"]

    def test_twice_in_a_line(self) -> None:
        """The same invoice twice in a body of one line is told."""
        report = examine_body(body(invoice(), invoice()).encode(), INVOICES, RULES)
        assert "is in this line already" in words(report)
        assert [problem.position for problem in report.problems] == [1]

    def test_digests(self) -> None:
        """Another kind is another digest, the same bytes of one kind are one."""
        data = b'[{"invoiceId":"i","type":"T","amount":1,"currency":"NOK","date":"2026-01-01"}]'
        digests = [examine_body(data, kind, RULES).digest for kind in (*SubmissionKind, PAYMENTS)]
        assert len({digest for digest in digests if digest}) == 3
        assert digests[1] == digests[3]

    @pytest.mark.parametrize("item", [payment(amount=0), payment(amount=-1)])
    def test_payment_of_nothing(self, item: Any) -> None:
        """A payment is more than nothing."""
        report = examine_body(json.dumps([item]).encode(), PAYMENTS, RULES)
        assert [problem.field for problem in report.problems] == ["amount"]

    def test_correction(self) -> None:
        """A correction may make the claim larger, but not leave it alone."""
        for amount, errors in ((-5, 0), (5, 0), (0, 1)):
            data = json.dumps({"corrections": [correction(amount=amount)]}).encode()
            assert examine_body(data, SubmissionKind.CORRECTIONS, RULES).errors == errors
