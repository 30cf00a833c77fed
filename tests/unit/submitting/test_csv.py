"""CSV files: every way to get them wrong is told by line, column and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.amili.texts import decode
from service.settings import CHECKS
from service.submitting.giving import read
from service.submitting.mapping import mapping_of
from service.submitting.options import Format, Options, norwegian_excel
from tests.unit.submitting.written import (
    HEADER,
    INVOICES,
    PAYMENTS,
    ROW,
    examined,
    given_back,
    one,
    said,
    words,
)

EXCEL = norwegian_excel()


class TestGoodFiles:
    @pytest.mark.parametrize("end", ["", "\n", "\r\n"])
    def test_line_ends(self, tmp_path: Path, end: str) -> None:
        """Line ends of Windows and Unix are fine, and one at the end may be missing."""
        middle = end or "\n"
        (item,) = given_back(tmp_path, f"{HEADER}{middle}{ROW}{end}")
        assert (item.line, item.unique_source_invoice_id, item.invoice_number) == (2, "S-1", "1001")

    def test_types(self, tmp_path: Path) -> None:
        """Numbers that are text stay text, amounts keep their digits, empty cells are nothing."""
        head = f"{HEADER},vat,fees,claim.remainingAmount,claims.1.remainingAmount,debtor.email"
        (item,) = given_back(tmp_path, f"{head}\n{ROW},TRUE,false,4000.50,499.50,a@example.org\n")
        assert '"originalInvoiceAmount":4500.00,' in item.body
        invoice = decode(item.body.encode())
        assert invoice["invoiceNumber"] == "1001"
        assert (invoice["vat"], invoice["fees"]) == (True, False)
        assert [str(claim["remainingAmount"]) for claim in invoice["claims"]] == [
            "4000.50",
            "499.50",
        ]
        assert invoice["debtors"][0]["emails"] == [{"value": "a@example.org"}]
        (item,) = given_back(tmp_path, f"{head}\n{ROW},,,,,\n")
        assert "vat" not in item.body
        assert "claims" not in item.body

    def test_norwegian_excel(self, tmp_path: Path) -> None:
        """What Excel writes in Norway is read with its preset alone."""
        rows = ROW.replace(",", ";").replace("4500.00", "4500,00")
        text = f"\ufeff{HEADER.replace(',', ';')};vat\r\n{rows};SANN\r\n;;;;;;;;;\r\n\r\n"
        (item,) = given_back(tmp_path, text, EXCEL)
        assert '"originalInvoiceAmount":4500.00,' in item.body
        assert '"vat":true' in item.body

    @pytest.mark.parametrize("space", [" ", "\u00a0", "\u202f"])
    def test_norwegian_cells(self, tmp_path: Path, space: str) -> None:
        """Excel's dates are sent as Amili's, and its amounts without spaces between thousands."""
        cells = ROW.replace("2026-02-05", "05.02.2026").replace("4500.00", "1~234~500,50")
        text = f"{HEADER},claim.remainingAmount\n{cells},-4~500\n".replace(",", ";")
        text = text.replace("500;50", "500,50").replace("~", space)
        encodings = ["utf-8-sig"] if space == "\u202f" else ["utf-8-sig", "windows-1252"]
        for encoding in encodings:
            report = examined(tmp_path, text.encode(encoding), EXCEL, checks={})
            assert report.fit, report.problems
            (item,) = read(tmp_path / "handed-over", INVOICES, EXCEL, report.digest)
            assert '"originalInvoiceAmount":1234500.50,' in item.body
            assert '"dueDate":"2026-02-05"' in item.body
            assert '"invoiceDate":"2026-01-05"' in item.body
            assert '"remainingAmount":-4500' in item.body

    @pytest.mark.parametrize(
        ("old", "new", "field"),
        [
            ("2026-02-05", "30.02.2026", "dueDate"),
            ("2026-02-05", "5.2.26", "dueDate"),
            ("2026-02-05", "02/05/2026", "dueDate"),
            ("4500.00", "45 00", "originalInvoiceAmount"),
            ("4500.00", "4.500", "originalInvoiceAmount"),
            ("4500.00", "4 500.00", "originalInvoiceAmount"),
            ("4500.00", "0 500", "originalInvoiceAmount"),
        ],
    )
    def test_norwegian_slips(self, tmp_path: Path, old: str, new: str, field: str) -> None:
        """What might be another day or amount is not guessed."""
        text = f"{HEADER}\n{ROW}\n".replace(",", ";").replace("4500.00", "4500,00")
        text = text.replace(old.replace(".00", ",00"), new)
        report = examined(tmp_path, text, EXCEL)
        assert [problem.field for problem in report.problems] == [field], words(report)

    def test_norwegian_cells_need_the_preset(self, tmp_path: Path) -> None:
        """Without the preset the same cells are refused as before."""
        row = ROW.replace("2026-02-05", "05.02.2026").replace("4500.00", "4 500")
        report = examined(tmp_path, f"{HEADER}\n{row}\n")
        assert said(report) == [(2, 4, "originalInvoiceAmount"), (2, 7, "dueDate")]

    def test_mapping(self, tmp_path: Path) -> None:
        """Other headers are mapped, columns that begin with `_` or are mapped to it left out."""
        mapping = mapping_of(["Fakturanr=invoiceNumber", "a=b=debtor.lastname", "Saldo=_"])
        head = HEADER.replace("invoiceNumber", "Fakturanr").replace("debtor.lastname", "a=b")
        text = f"{head},Saldo,_errors\n{ROW},12,no debtor\n"
        (item,) = given_back(tmp_path, text, Options(Format.CSV, mapping=mapping))
        assert item.invoice_number == "1001"
        assert "no debtor" not in item.body

    def test_payments(self, tmp_path: Path) -> None:
        """A payment is found again by the invoice's id; its amount is told."""
        text = "invoiceId,type,amount,currency,reference\ni-1,DIRECT_PAYMENT,12.50,NOK,007\n"
        (item,) = given_back(tmp_path, text, kind=PAYMENTS)
        assert (item.invoice_id, str(item.amount)) == ("i-1", "12.50")
        assert item.unique_source_invoice_id is None

    def test_quoted_line_end(self, tmp_path: Path) -> None:
        """A cell may hold a line end; lines are counted on."""
        head = f"description,{HEADER}"
        text = f'{head}\n"two\nlines",{ROW}\nx,{ROW.replace("S-1", "S-2")}\n'
        assert [item.line for item in given_back(tmp_path, text)] == [2, 4]

    def test_totals(self, tmp_path: Path) -> None:
        """Totals are told for each currency, exact."""
        rows = [
            ROW.replace("S-1", f"S-{n}").replace("NOK", code).replace("4500.00", amount)
            for n, (code, amount) in enumerate([("NOK", "0.10"), ("SEK", "5"), ("NOK", "0.20")])
        ]
        report = examined(tmp_path, "\n".join([HEADER, *rows]))
        assert report.count == 3
        assert {code: str(total) for code, total in report.totals.items()} == {
            "NOK": "0.30",
            "SEK": "5.00",
        }

    @pytest.mark.parametrize(
        ("currency", "amounts", "total"),
        [
            ("NOK", ("100.5", "0"), "100.50"),
            ("NOK", ("100", "200"), "300.00"),
            ("NOK", ("0.125", "1"), "1.125"),
            ("JPY", ("100", "5"), "105"),
            ("BHD", ("1.5", "1"), "2.500"),
            ("NOK", ("9" * 15, "1"), f"1{'0' * 15}.00"),
            ("ABC", ("1.5", "1"), "2.5"),
        ],
    )
    def test_decimals_of_totals(
        self, tmp_path: Path, currency: str, amounts: tuple[str, str], total: str
    ) -> None:
        """A total has at least the decimals of its currency, and loses none."""
        rows = "".join(f"i-1,DIRECT_PAYMENT,{amount},{currency}\n" for amount in amounts)
        text = f"invoiceId,type,amount,currency\n{rows}"
        report = examined(tmp_path, text, kind=PAYMENTS, checks={})
        assert {code: str(sum_) for code, sum_ in report.totals.items()} == {currency: total}


class TestRows:
    @pytest.mark.parametrize(
        ("amount", "options", "advice"),
        [
            ("4500;00", Options(Format.CSV), "not an amount"),
            ('"4500,00"', Options(Format.CSV), "--decimal-comma"),
            ("4500.00", Options(Format.CSV, decimal_comma=True), "a decimal point"),
            ('"4,500.00"', Options(Format.CSV), "separators of thousands"),
            ('"4.500,00"', Options(Format.CSV, decimal_comma=True), "separators of thousands"),
            ("4 500", Options(Format.CSV), "separators of thousands"),
            ("4\u00a0500.00", Options(Format.CSV), "separators of thousands"),
            ("4.5E3", Options(Format.CSV), "without an exponent"),
            ("NaN", Options(Format.CSV), "not an amount"),
            ("kr 4500", Options(Format.CSV), "not an amount"),
            ("4500,-", Options(Format.CSV), ""),
            ("٤٥٠٠", Options(Format.CSV), "not an amount"),
            ("1" * 30, Options(Format.CSV), "not an amount"),
        ],
    )
    def test_amounts(self, tmp_path: Path, amount: str, options: Options, advice: str) -> None:
        """An amount that is none is told at its cell, with what to do."""
        report = examined(tmp_path, f"{HEADER}\n{ROW.replace('4500.00', amount)}\n", options)
        if amount == "4500,-":
            assert "cells, more than" in words(report)
            return
        assert said(report) == [(2, 4, "originalInvoiceAmount")]
        assert advice in words(report)

    @pytest.mark.parametrize("day", ["05.02.2026", "5/2/2026", "2026-02-30", "20260205", "46058"])
    def test_dates(self, tmp_path: Path, day: str) -> None:
        """A date of another form, or that does not exist, is told with the form."""
        report = examined(tmp_path, f"{HEADER}\n{ROW.replace('2026-02-05', day)}\n")
        assert said(report) == [(2, 7, "dueDate")]
        assert "in the form 2026-12-31" in words(report)

    def test_boolean(self, tmp_path: Path) -> None:
        """A yes of another kind is told."""
        report = examined(tmp_path, f"{HEADER},vat\n{ROW},1\n")
        assert said(report) == [(2, 10, "vat")]

    def test_gap(self, tmp_path: Path) -> None:
        """The second claim without the first is told."""
        head = f"{HEADER},claim.remainingAmount,claims.1.remainingAmount"
        report = examined(tmp_path, f"{head}\n{ROW},,4500\n")
        assert "close the gap" in words(report)
        assert said(report) == [(2, 0, "claims.0")]

    def test_empty_lines(self, tmp_path: Path) -> None:
        """Each empty line is told, and the option; with it they are left out."""
        text = f"{HEADER}\n\n{ROW}\n,,,,,,,,\n\n"
        report = examined(tmp_path, text)
        assert said(report) == [(2, 0, ""), (4, 0, ""), (5, 0, "")]
        assert "--skip-empty-lines" in words(report)
        assert given_back(tmp_path, text, Options(Format.CSV, skip_empty_lines=True))

    @pytest.mark.parametrize(("row", "which"), [(f"{ROW},x", "more"), ("S-1,1001", "fewer")])
    def test_number_of_cells(self, tmp_path: Path, row: str, which: str) -> None:
        """Too many or too few cells are told; the other rows are still looked at."""
        report = examined(tmp_path, f"{HEADER}\n{row}\n{ROW.replace('NOK', 'NKR')}\n")
        assert said(report) == [(2, 0, ""), (3, 5, "currency")]
        assert f"cells, {which} than the 9 columns" in words(report)

    def test_duplicates(self, tmp_path: Path) -> None:
        """The same uniqueSourceInvoiceId twice is told with both lines."""
        report = examined(tmp_path, f"{HEADER}\n{ROW}\n{ROW.replace('1001', '1002')}\n")
        assert said(report) == [(3, 1, "uniqueSourceInvoiceId")]
        assert "'S-1' is in line 2 already" in words(report)

    def test_same_number_twice(self, tmp_path: Path) -> None:
        """Two invoices of one number may be meant so: a warning, off when it is not wanted."""
        rows = f"{HEADER}\n{ROW}\n{ROW.replace('S-1', 'S-2')}\n"
        report = examined(tmp_path, rows)
        assert (report.fit, report.warnings) == (True, 1)
        assert "line 3, column 2, invoiceNumber: is in line 2 already (rule twice)" in words(report)
        assert examined(tmp_path, rows, checks={**CHECKS, "twice": "off"}).warnings == 0

    def test_same_payment_twice(self, tmp_path: Path) -> None:
        """The same payment twice may be meant so: a warning."""
        row = "i-1,DIRECT_PAYMENT,12.50,NOK\n"
        report = examined(tmp_path, f"invoiceId,type,amount,currency\n{row}{row}", kind=PAYMENTS)
        assert (report.errors, report.warnings) == (0, 1)
        assert "line 2" in words(report)

    def test_unclosed_quote(self, tmp_path: Path) -> None:
        """A quotation mark that is never closed is told where it is opened."""
        text = f'{HEADER}\n"{ROW}\n{ROW}\n{ROW}\n'
        problem = one(tmp_path, text)
        assert problem.startswith("line 2:")
        assert "never closed" in problem

    def test_quote_inside(self, tmp_path: Path) -> None:
        """A stray quotation mark spoils its own row only."""
        text = f'{HEADER}\n"S"2,{ROW}\n{ROW}\n'
        report = examined(tmp_path, text)
        assert said(report) == [(2, 0, "")]
        assert report.count == 1

    def test_long_cell(self, tmp_path: Path) -> None:
        """A cell of hundreds of thousands of letters is told."""
        text = f"{HEADER},description\n{ROW},{'x' * 200_000}\n"
        assert "line 2, column 1: a cell is too long" in one(tmp_path, text)

    def test_carriage_returns_alone(self, tmp_path: Path) -> None:
        """Line ends of an old Macintosh are told."""
        assert "carriage return" in one(tmp_path, f"{HEADER}\r{ROW}\r")

    def test_all_at_once(self, tmp_path: Path) -> None:
        """Everything that is wrong is told in one go, in the order of the file."""
        bad = "S-2,,NOTICE,x,NKR,01.02.2026,2026-02-05,,"
        report = examined(tmp_path, f"{HEADER}\n{bad}\n{ROW.replace('4500.00', '0')}\n")
        assert [place for place in said(report) if place[0] == 2 and place[1]] == [
            (2, 4, "originalInvoiceAmount"),
            (2, 5, "currency"),
            (2, 6, "invoiceDate"),
        ]
        assert {field for _, _, field in said(report)} >= {"invoiceNumber", "debtors"}
        assert said(report)[-1] == (3, 4, "originalInvoiceAmount")

    def test_many(self, tmp_path: Path) -> None:
        """Of very many problems the first hundred are told and all are counted."""
        bad = ROW.replace("NOK", "NKR")
        rows = "\n".join(bad.replace("S-1,", f"S-{n},{n}-") for n in range(300))
        report = examined(tmp_path, f"{HEADER}\n{rows}\n")
        assert (len(report.problems), report.errors) == (100, 300)
        assert report.problems[0].line == 2
