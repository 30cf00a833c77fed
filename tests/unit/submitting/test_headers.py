"""Headers of CSV, and what `--map` says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import SubmissionRefused
from service.submitting.mapping import mapping_of
from service.submitting.options import Format, Options
from tests.unit.submitting.written import (
    HEADER,
    ROW,
    examined,
    given_back,
    one,
    words,
)


class TestHeaders:
    @pytest.mark.parametrize("name", ["semicolon", "tab", "pipe"])
    def test_other_delimiter(self, tmp_path: Path, name: str) -> None:
        """Another delimiter is recognized by the header, and the option named."""
        sign = {"semicolon": ";", "tab": "\t", "pipe": "|"}[name]
        problem = one(tmp_path, f"{HEADER}\n{ROW}\n".replace(",", sign))
        assert problem.startswith("line 1, column 1:")
        assert f"--delimiter {name}" in problem
        text = f"{HEADER}\n{ROW}\n".replace(",", sign)
        assert given_back(tmp_path, text, Options(Format.CSV, delimiter=name))

    def test_commas_where_semicolons_are_expected(self, tmp_path: Path) -> None:
        """The other way round, too."""
        assert "--delimiter comma" in one(
            tmp_path, f"{HEADER}\n{ROW}\n", Options(delimiter=";", format=Format.CSV)
        )

    def test_no_header(self, tmp_path: Path) -> None:
        """A first row of data is told as such and not repeated: it is about a person."""
        problem = one(tmp_path, f"{ROW}\n{ROW}\n")
        assert "names no column" in problem
        assert "Nordmann" not in problem

    def test_misspelt(self, tmp_path: Path) -> None:
        """A misspelt header is told with its place, and the right one."""
        problem = one(tmp_path, f"{HEADER},ocrReferencenumer\n{ROW},\n")
        assert problem.startswith("line 1, column 10:")
        assert "'ocrReferenceNumber' meant" in problem

    @pytest.mark.parametrize(
        "header", ["Beløp", "claims.100.type", "debtors.type", "vat.x", "7" * 5000]
    )
    def test_unknown(self, tmp_path: Path, header: str) -> None:
        """An unknown header is told, with the ways to leave it out."""
        problem = one(tmp_path, f"{HEADER},{header}\n{ROW},\n")
        assert "is unknown" in problem

    @pytest.mark.parametrize("header", ["currency", "debtors.0.lastname"])
    def test_double(self, tmp_path: Path, header: str) -> None:
        """Two columns that hold the same are told, in whatever way they are written."""
        assert "holds the same as column" in one(tmp_path, f"{HEADER},{header}\n{ROW},\n")

    def test_missing(self, tmp_path: Path) -> None:
        """Every missing column is told once, not for each row."""
        text = "invoiceNumber,type\n1,NOTICE\n2,NOTICE\n"
        report = examined(tmp_path, text)
        fields = {problem.field for problem in report.problems}
        assert fields == {
            "uniqueSourceInvoiceId",
            "originalInvoiceAmount",
            "currency",
            "invoiceDate",
            "dueDate",
            "debtor.name",
        }
        assert {problem.line for problem in report.problems} == {1}

    def test_mapping_of_nothing(self, tmp_path: Path) -> None:
        """A mapping for a header that is not there is told once, with the headers that are."""
        options = Options(Format.CSV, mapping={"Fakturanr": "invoiceNumber"})
        problem = one(tmp_path, f"{HEADER}\n{ROW}\n", options)
        assert "the file has no column 'Fakturanr' (it has: 'uniqueSourceInvoiceId', " in problem
        text = f"{HEADER}\n{ROW}\n".replace("invoiceNumber", "_nr")
        assert "no column 'Fakturanr'" in one(tmp_path, text, options)

    @pytest.mark.parametrize(
        ("target", "advice"),
        [
            ("descripton", "'descripton' is no column of invoices; did you mean 'description'?"),
            ("OCRreference", "did you mean 'ocrReferenceNumber'?"),
            ("street", "did you mean 'debtor.address.street'?"),
            ("saldo!", "(a name that is not repeated here) is no column of invoices: see"),
            ("qqq", "'qqq' is no column of invoices: see amili-events invoices columns"),
        ],
    )
    def test_mapping_to_nothing(self, tmp_path: Path, target: str, advice: str) -> None:
        """A mapping to a path that does not exist is told at the header, with what may be meant."""
        options = Options(Format.CSV, mapping={"Hva": target})
        problem = one(tmp_path, f"{HEADER},Hva\n{ROW},\n", options)
        assert problem.startswith("line 1, column 10: ")
        assert advice in problem

    def test_mapping_aims_at_what_is_required(self, tmp_path: Path) -> None:
        """A slip in a target is told once: the column that it means is not called missing, too."""
        options = Options(Format.CSV, mapping={"Nr": "invoiceNo"})
        problem = one(tmp_path, f"{HEADER}\n{ROW}\n".replace("invoiceNumber", "Nr"), options)
        assert "'invoiceNo' is no column of invoices; did you mean 'invoiceNumber'?" in problem

    def test_mapping_of_another_file(self, tmp_path: Path) -> None:
        """Where no header is known, those of the mapping are told, and no cell."""
        options = Options(Format.CSV, mapping={"Fakturanr": "invoiceNumber", "Navn": "nmae"})
        report = examined(tmp_path, f"{ROW}\n", options)
        assert "and none that --map names: 'Fakturanr', 'Navn'" in words(report)
        assert "'nmae' is no column" in words(report)
        assert "Nordmann" not in words(report)

    def test_real_headers(self, tmp_path: Path) -> None:
        """What is missing is named as a header can be written."""
        text = "\n".join(line.rpartition(",")[0].rpartition(",")[0] for line in (HEADER, ROW))
        problem = one(tmp_path, text)
        assert "column 'debtor.name' is missing" in problem
        assert "debtor.name" in one(tmp_path, f"{ROW}\n")
        assert "debtors" not in problem + one(tmp_path, f"{ROW}\n")

    @pytest.mark.parametrize("text", ["", "\n", f"{HEADER}\n", f"{HEADER}"])
    def test_nothing_in_it(self, tmp_path: Path, text: str) -> None:
        """An empty file and a header alone hold nothing."""
        report = examined(tmp_path, text, Options(Format.CSV, skip_empty_lines=True))
        assert words(report) == "There are no invoices in it."

    def test_column_without_a_name(self, tmp_path: Path) -> None:
        """Empty columns beside the table are fine; what stands in one is told."""
        assert given_back(tmp_path, f"{HEADER},,\n{ROW},,\n")
        assert "cell 11 is in a column without a name" in one(tmp_path, f"{HEADER},,\n{ROW},,x\n")


@pytest.mark.parametrize("word", ["", "=", "a=", "=b", "ab", "a=b,a=c"])
def test_bad_mappings(word: str) -> None:
    """A mapping that is none, or names a header twice, is told."""
    with pytest.raises(SubmissionRefused, match="--map"):
        mapping_of(word.split(","))


def test_mapping_of_a_file(tmp_path: Path) -> None:
    """A file has one `HEADER=PATH` in each line, in any encoding of Excel's, beside other words."""
    lines = "Beløp=originalInvoiceAmount\r\n\r\n a=b = _ \n"
    for encoding in ("utf-8", "utf-8-sig", "windows-1252"):
        (tmp_path / "map.txt").write_bytes(lines.encode(encoding))
        assert mapping_of(["Nr=invoiceNumber", f"@{tmp_path}/map.txt"]) == {
            "Nr": "invoiceNumber",
            "Beløp": "originalInvoiceAmount",
            "a=b": "_",
        }


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"Nr=invoiceNumber\nKari Nordmann\n", "line 2, takes HEADER=PATH"),
        (b"Nr=invoiceNumber\nNr=type\n", "line 2, names 'Nr' twice"),
        (b"\x00\xff=\x01", "no text file"),
        (b"x" * 1024 * 1024 + b"x", "too large"),
        (None, "cannot be read: No such file"),
    ],
    ids=range(5),
)
def test_bad_mapping_files(tmp_path: Path, content: bytes | None, advice: str) -> None:
    """A file that is no mapping is told by its line; what stands there is not repeated."""
    if content is not None:
        (tmp_path / "map.txt").write_bytes(content)
    with pytest.raises(SubmissionRefused, match=advice) as told:
        mapping_of([f"@{tmp_path}/map.txt"])
    assert "--map" in str(told.value)
    assert "Kari" not in str(told.value)


@pytest.mark.parametrize("name", ["", "a\0b", "."])
def test_what_is_no_mapping_file(name: str) -> None:
    """A directory and a name that no file has are told."""
    with pytest.raises(SubmissionRefused, match="--map '@"):
        mapping_of([f"@{name}"])
