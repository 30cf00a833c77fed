"""JSON as Amili's API takes it, item by item, and NDJSON: never the whole file at once."""

from __future__ import annotations

from collections.abc import Iterator

from service.domain.submissions import SubmissionKind
from service.errors import SubmissionRefused
from service.submitting.jsonitems import Decoder, Unreadable, space
from service.submitting.lines import Lines, too_long
from service.submitting.problems import refuse, told
from service.submitting.records import MOST_CHARACTERS, Flaw, Place, Record
from service.submitting.text import Text, moved

LONGEST_NAME = 200


class Window:
    """The part of a text that is looked at: it holds the longest item and not much more."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self.buffer, self.at = "", 0
        self._place: Place = (1, 1)
        self._counted = 0

    def fill(self) -> None:
        """Make sure that the longest item, were it to begin here, is in the buffer."""
        if len(self.buffer) - self.at > MOST_CHARACTERS or self._text.ended:
            return
        self.place()
        pieces = [self.buffer[self.at :]]
        length = len(pieces[0])
        while length <= 2 * MOST_CHARACTERS and (piece := self._text.read()):
            pieces.append(piece)
            length += len(piece)
        self.buffer, self.at, self._counted = "".join(pieces), 0, 0

    def peek(self) -> str:
        """Skip space; return the next character, empty at the end.

        Raises SubmissionRefused when there is more space than an item is long.
        """
        self.fill()
        before, self.at = self.at, space(self.buffer, self.at)
        if self.at < len(self.buffer):
            self.fill()
            return self.buffer[self.at]
        if self.at - before > MOST_CHARACTERS:
            raise too_long(self.place()[0])
        return ""

    def place(self) -> Place:
        """Say where we are."""
        self._place = moved(*self._place, self.buffer[self._counted : self.at])
        self._counted = self.at
        return self._place

    def wrong(self, exc: Unreadable) -> SubmissionRefused:
        """Make the error for what is no JSON, or is not within the window."""
        near_end = exc.at >= len(self.buffer) - 16 or str(exc).startswith("Unterminated")
        if near_end and not self._text.ended:
            return too_long(self.place()[0])
        return refuse(*moved(*self.place(), self.buffer[self.at : exc.at]), f"no JSON: {exc}")


class Document:
    """A file or body that holds a list of items, alone or as the one member of an object."""

    def __init__(self, text: Text, kind: SubmissionKind) -> None:
        self._window = Window(text)
        self._decoder = Decoder()
        self._kind = kind

    def __iter__(self) -> Iterator[Record]:
        closing = ["]"]
        if self._window.peek() == "{":
            self._enter()
            closing.append("}")
        self._expect("[")
        if self._window.peek() != "]":
            yield self._item()
            while self._window.peek() == ",":
                self._window.at += 1
                yield self._item()
        for sign in closing:
            self._expect(sign)
        if self._window.peek():
            raise self._refuse("there is more after the end")

    def _enter(self) -> None:
        """Step over `{"invoices":`."""
        self._expect("{")
        if self._window.peek() != '"':
            raise self._refuse(self._form())
        name, end = self._value()
        if name != self._kind:
            raise self._refuse(f"{told(str(name))} is not {self._form()}")
        self._window.at = end
        self._expect(":")

    def _item(self) -> Record:
        if self._window.peek() in ("]", ""):
            raise self._refuse("an item is missing here")
        window = self._window
        try:
            record, end = self._decoder.item(window.buffer, window.at, window.place())
        except Unreadable as exc:
            raise window.wrong(exc) from None
        if end - window.at > MOST_CHARACTERS:
            raise too_long(record.line)
        window.at = end
        return record

    def _value(self) -> tuple[object, int]:
        try:
            return self._decoder.value(self._window.buffer, self._window.at)
        except Unreadable as exc:
            raise self._window.wrong(exc) from None

    def _expect(self, sign: str) -> None:
        if self._window.peek() != sign:
            raise self._refuse(f"expected {sign} of {self._form()}")
        self._window.at += 1

    def _form(self) -> str:
        return f'{{"{self._kind}": [...]}}'

    def _refuse(self, message: str) -> SubmissionRefused:
        option = "; for one item a line: --format ndjson"
        return refuse(*self._window.place(), message, option)


def read_lines(text: Text, skip_empty_lines: bool) -> Iterator[Record]:
    """Give the items of NDJSON; a line that is no JSON is told, and the next one read."""
    decoder = Decoder()
    lines = Lines(text)
    for line in lines:
        if space(line, 0) < len(line):
            yield line_item(decoder, line, lines.number)
        elif not skip_empty_lines:
            message = "an empty line: remove it, or use --skip-empty-lines"
            yield none(message, (lines.number, 0))


def line_item(decoder: Decoder, line: str, number: int) -> Record:
    """Read the one item of a line."""
    at = space(line, 0)
    try:
        record, end = decoder.item(line, at, (number, at + 1))
    except Unreadable as exc:
        return none(f"no JSON: {exc}", (number, exc.at + 1))
    end = space(line, end)
    if end < len(line):
        return none("there is more after the item", (number, end + 1))
    return record


def none(message: str, place: Place) -> Record:
    """Make the record of a line that holds no item."""
    return Record(place[0], None, [Flaw((), message)], lambda _: place)
