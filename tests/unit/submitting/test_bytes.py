"""Bytes that are no text, files that are none, and files of any size in little memory."""

from __future__ import annotations

import codecs
import json
import os
import tracemalloc
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.submissions import SubmissionKind
from service.errors import SubmissionChanged, SubmissionRefused
from service.submitting.examining import Aid, Examination, Report, examine, examine_body
from service.submitting.giving import items, read
from service.submitting.options import ENCODINGS, Format, Options, norwegian_excel
from service.submitting.reading import Source
from service.submitting.records import MOST_CHARACTERS
from service.submitting.text import PIECE
from tests.unit.submitting.written import (
    CSV,
    HEADER,
    INVOICES,
    JSON,
    NDJSON,
    ROW,
    RULES,
    Endless,
    examined,
    given_back,
    invoice,
    said,
    words,
)

NAMED = f"{HEADER}\n{ROW.replace('Nordmann', 'Bjørnstjerne Ås')}\n"
FORMATS = (CSV, JSON, NDJSON)
#: Their text is larger than the window that is held of it.
MANY = 3000


class TestEncodings:
    def test_not_utf8(self, tmp_path: Path) -> None:
        """A file of Windows is told by line, column and byte, with the option; which reads it."""
        data = NAMED.encode("windows-1252")
        report = examined(tmp_path, data)
        assert said(report) == [(2, ROW.index("Nordmann") + 3, "")]
        assert f"byte {data.index(b'j') + 1} " in words(report)
        assert "--encoding windows-1252" in words(report)
        (item,) = given_back(tmp_path, data, Options(Format.CSV, encoding="windows-1252"))
        assert json.loads(item.body)["debtors"][0]["lastname"] == "Bjørnstjerne Ås"

    def test_far_into_the_file(self, tmp_path: Path) -> None:
        """The place of a bad byte is right behind many pieces, in the middle of a letter, too."""
        for shift in range(4):
            before = "x" * shift + ("å" * 997 + "\n") * 200
            data = before.encode() + b"ab\xe5c"
            report = examined(tmp_path, data, NDJSON)
            last = report.problems[-1]
            assert (last.line, last.column) == (201, 3)
            assert f"byte {len(data) - 2} " in last.message

    def test_cut_in_a_letter(self, tmp_path: Path) -> None:
        """A file that ends within a letter is told."""
        report = examined(tmp_path, f"{HEADER}\n{ROW}å".encode()[:-1])
        assert f"byte {len(HEADER) + len(ROW) + 1} is not utf-8" in words(report)

    def test_utf8_read_as_windows(self, tmp_path: Path) -> None:
        """UTF-8 that is read with --encoding windows-1252 would send mangled names: refused."""
        report = examined(tmp_path, NAMED, Options(Format.CSV, encoding="windows-1252"))
        assert said(report) == [(2, 0, "")]
        assert "leave --encoding away" in words(report)
        assert given_back(tmp_path, f"{HEADER}\n{ROW}", Options(Format.CSV, encoding="iso-8859-1"))

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8", "windows-1252"])
    def test_detected(self, tmp_path: Path, encoding: str) -> None:
        """Each encoding of Excel's is found out, and the digest is that of naming it."""
        detect = Options(Format.CSV, encoding="detect")
        data = NAMED.encode(encoding)
        (item,) = given_back(tmp_path, data, detect)
        assert json.loads(item.body)["debtors"][0]["lastname"] == "Bjørnstjerne Ås"
        named = examined(tmp_path, data, Options(Format.CSV, encoding=encoding))
        assert examined(tmp_path, data, detect).digest == named.digest

    def test_detected_far_into_the_file(self, tmp_path: Path) -> None:
        """A letter in any place decides, also one that is cut by the reading in pieces."""
        head = f"{HEADER},description\n{ROW},"
        detect = Options(Format.CSV, encoding="detect")
        for shift in range(3):
            filler = "x" * (PIECE - len(head) - shift)
            text = f"{head}{filler}å\n"
            for encoding in ("utf-8", "windows-1252"):
                (item,) = given_back(tmp_path, text.encode(encoding), detect)
                assert json.loads(item.body)["description"] == f"{filler}å"

    def test_mixed(self, tmp_path: Path) -> None:
        """UTF-8 with one byte of Windows is told there: read as windows-1252, names are mangled."""
        mixed = NAMED.encode() + ROW.replace("Nordmann", "\xd8").encode("windows-1252")
        for encoding in ("detect", "utf-8"):
            report = examined(tmp_path, mixed, Options(Format.CSV, encoding=encoding))
            assert said(report)[-1] == (3, ROW.index("Nordmann") + 1, "")
            assert "letters before it are: mend it there" in words(report)
            assert "windows-1252" not in words(report)

    @pytest.mark.parametrize("options", FORMATS, ids=lambda options: options.format)
    def test_byte_order_marks(self, tmp_path: Path, options: Options) -> None:
        """A byte order mark is told, with the option."""
        utf8 = examined(tmp_path, codecs.BOM_UTF8 + NAMED.encode(), options)
        assert "--encoding utf-8-sig" in words(utf8)
        utf16 = examined(tmp_path, NAMED.encode("utf-16"), options)
        assert "--encoding utf-16" in words(utf16)
        assert (said(utf8), said(utf16)) == ([(1, 1, "")], [(1, 1, "")])

    @pytest.mark.parametrize("encoding", ENCODINGS)
    def test_every_encoding(self, tmp_path: Path, encoding: str) -> None:
        """A file of each encoding that can be named is read."""
        options = Options(Format.CSV, encoding=encoding)
        (item,) = given_back(tmp_path, NAMED.encode(encoding), options)
        assert json.loads(item.body)["debtors"][0]["lastname"] == "Bjørnstjerne Ås"

    def test_nul(self, tmp_path: Path) -> None:
        """NUL is told at its place."""
        report = examined(tmp_path, f"{HEADER}\n{ROW}\0")
        assert said(report)[-1] == (2, len(ROW) + 1, "")
        report = examined(tmp_path, NAMED.encode("utf-16-le"))
        assert "NUL" in words(report)


class TestFiles:
    def test_none(self, tmp_path: Path) -> None:
        """What is no file is told, without an exception."""
        for path, advice in (
            (tmp_path, "a directory"),
            (tmp_path / "away.csv", "No such file"),
            (tmp_path / "a\0b.csv", "NUL in its name"),
        ):
            report = examine(path, INVOICES, CSV, RULES)
            assert advice in words(report)
            assert report.digest == b""

    def test_ending_that_tells_nothing(self, tmp_path: Path) -> None:
        """A file of another ending needs its format."""
        (tmp_path / "invoices.txt").write_text("x")
        report = examine(tmp_path / "invoices.txt", INVOICES, Options(), RULES)
        assert "give --format" in words(report)

    @pytest.mark.parametrize("begin", [b"PK\x03\x04", b"PK\x05\x06", b"\xd0\xcf\x11\xe0"])
    @pytest.mark.parametrize("options", [*FORMATS, Options(), norwegian_excel()], ids=range(5))
    def test_workbook(self, tmp_path: Path, begin: bytes, options: Options) -> None:
        """A workbook is told as such, whatever the options, as a body, too."""
        data = begin + bytes(range(256))
        path = tmp_path / "invoices.xlsx"
        path.write_bytes(data)
        for report in (
            examine(path, INVOICES, options, RULES),
            examine_body(data, INVOICES, RULES),
        ):
            assert words(report) == "this is an Excel workbook: save it as CSV UTF-8"

    def test_letters_pk(self, tmp_path: Path) -> None:
        """A column whose name begins as zip archives do makes no workbook of a file."""
        assert given_back(
            tmp_path, f"PK,{HEADER}\n,{ROW}\n", Options(Format.CSV, mapping={"PK": "_"})
        )

    @pytest.mark.parametrize("options", [CSV, JSON, NDJSON, norwegian_excel()], ids=range(4))
    def test_other_binary(self, tmp_path: Path, options: Options) -> None:
        """Of what is no text, nobody is told to read it as windows-1252."""
        for data in (b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n\x01\x02", b"\x89PNG\r\n\x1a\n\0\0\0\r"):
            report = examined(tmp_path, data, options)
            assert "no text file" in words(report)
            assert "windows-1252" not in words(report)

    def test_a_pipe(self, tmp_path: Path) -> None:
        """A pipe can be read only once: refused, not waited for."""
        os.mkfifo(tmp_path / "pipe.csv")
        report = examine(tmp_path / "pipe.csv", INVOICES, CSV, RULES)
        assert "no plain file" in words(report)

    @pytest.mark.parametrize("ending", ["csv", "CSV", "json", "ndjson", "jsonl"])
    def test_endings(self, tmp_path: Path, ending: str) -> None:
        """The file's ending tells its format."""
        path = tmp_path / f"invoices.{ending}"
        text = json.dumps([invoice()]) if ending == "json" else json.dumps(invoice())
        path.write_text(f"{HEADER}\n{ROW}\n" if ending.lower() == "csv" else text)
        assert examine(path, INVOICES, Options(), RULES).fit

    def test_changed(self, tmp_path: Path) -> None:
        """A file that changes after its examination is refused at its end."""
        path = tmp_path / "invoices.csv"
        path.write_text(f"{HEADER}\n{ROW}\n")
        digest = examine(path, INVOICES, CSV, RULES).digest
        path.write_text(f"{HEADER}\n{ROW.replace('4500', '5400')}\n")
        with pytest.raises(SubmissionChanged, match="start again"):
            list(read(path, INVOICES, CSV, digest))
        path.write_text(f"{HEADER}\n{ROW.replace('4500', 'much')}\n")
        with pytest.raises(SubmissionRefused, match="line 2, column 4"):
            list(read(path, INVOICES, CSV, digest))

    def test_digest_tells_options(self, tmp_path: Path) -> None:
        """What changes the meaning of a file changes its digest."""
        path = tmp_path / "invoices.csv"
        path.write_text(f"{HEADER}\n{ROW}\n")
        reports = [
            examine(path, INVOICES, options, RULES)
            for options in (CSV, Options(), Options(Format.CSV, skip_empty_lines=True))
        ]
        assert reports[0].digest == reports[1].digest != reports[2].digest

    def test_progress(self, tmp_path: Path) -> None:
        """How many bytes are read is told, up to all of them."""
        path = tmp_path / "invoices.csv"
        path.write_text(f"{HEADER}\n{ROW}\n")
        told: list[int] = []
        examine(path, INVOICES, CSV, RULES, Aid(told.append))
        assert told[-1] == path.stat().st_size
        assert told == sorted(told)


def streamed(pieces: Iterator[bytes], options: Options) -> tuple[Report, int]:
    """Examine a stream; say how much of it was read."""
    stream = Endless(pieces)
    examination = Examination(INVOICES, RULES)
    try:
        examination.run(Source(cast(BinaryIO, stream), INVOICES, options))
    except SubmissionRefused as exc:
        examination.refused(exc)
    return examination.report(), stream.given


class TestBodies:
    @pytest.mark.parametrize(
        "body",
        [
            b"{}",
            b"",
            b"[] []",
            b'{"payments": []}',
            b'[{"description": "\xe5"}]',
            b"[\0]",
            codecs.BOM_UTF16_LE,
            '[{"a": "ø"}]'.encode("utf-16"),
        ],
        ids=range(8),
    )
    def test_without_options(self, body: bytes) -> None:
        """What is wrong with a body is told without the options of the command line."""
        report = examine_body(body, INVOICES, RULES)
        assert report.errors
        assert not [each.message for each in report.problems if "--" in each.message]


class TestBounds:
    @pytest.mark.parametrize("options", FORMATS, ids=lambda options: options.format)
    @pytest.mark.parametrize("letter", [b"x", b" ", b'"', b"[", b'{"a":', b",", b"\xc3\xa5", b"1"])
    def test_one_line_without_end(self, options: Options, letter: bytes) -> None:
        """A gigabyte of one line is refused after a few MiB, in little memory."""
        piece = letter * (PIECE // len(letter))
        tracemalloc.start()
        try:
            report, given = streamed(repeat(piece, 16 * 1024), options)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert not report.fit
        assert given <= 8 * MOST_CHARACTERS
        assert peak < 64 * 1024 * 1024

    def test_one_record_of_many_lines(self) -> None:
        """A quoted cell of endless lines is refused as soon."""
        head = f'{HEADER}\n"'.encode()
        report, given = streamed(iter([head, *repeat(b"x\n" * 32768, 100)]), CSV)
        assert "line 2" in words(report)
        assert given <= MOST_CHARACTERS

    @pytest.mark.parametrize("options", FORMATS, ids=lambda options: options.format)
    def test_many_items(self, options: Options) -> None:
        """Invoices are examined and read in a few MiB, many as few."""

        def pieces() -> Iterator[bytes]:
            if options is not NDJSON:
                yield f"{HEADER}\n".encode() if options is CSV else b"["
            for number in range(MANY):
                name = f"S-{number}"
                if options is CSV:
                    yield ROW.replace("S-1", name).encode() + b"\n"
                else:
                    between = b"," if options is JSON and number else b""
                    yield between + json.dumps(invoice(uniqueSourceInvoiceId=name)).encode() + b"\n"
            if options is JSON:
                yield b"]"

        tracemalloc.start()
        try:
            report, _ = streamed(pieces(), options)
            source = Source(cast(BinaryIO, Endless(pieces())), INVOICES, options)
            count = sum(1 for _ in items(source, INVOICES))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert report.fit
        assert report.count == count == MANY
        assert peak < 12 * 1024 * 1024


class TestAnyBytes:
    @given(
        data=st.binary(max_size=300)
        | st.text('{}[]",:invoices\n0e-. \\u', max_size=200).map(str.encode)
        | st.text(max_size=100).map(lambda text: f"{HEADER}\n{text}".encode("utf-8", "replace")),
        kind=st.sampled_from(SubmissionKind),
        options=st.builds(
            Options,
            format=st.sampled_from(Format),
            encoding=st.sampled_from(ENCODINGS),
            delimiter=st.sampled_from([",", ";"]),
            decimal_comma=st.booleans(),
            skip_empty_lines=st.booleans(),
        ),
    )
    def test_only_our_error(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        data: bytes,
        kind: SubmissionKind,
        options: Options,
    ) -> None:
        """Bytes of any kind are refused with our own error, and what is fit is read."""
        path = tmp_path_factory.getbasetemp() / "any"
        path.write_bytes(data)
        report = examine(path, kind, options, RULES)
        if report.fit:
            assert len(list(read(path, kind, options, report.digest))) == report.count
        else:
            assert report.problems
            with pytest.raises(SubmissionRefused):
                list(read(path, kind, options, b""))
        assert examine_body(data, kind, RULES).errors >= 0
