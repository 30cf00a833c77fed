"""Lines of a text, each of bounded length, so that no file can fill the memory."""

from __future__ import annotations

from collections.abc import Iterator

from service.errors import SubmissionRefused
from service.submitting.problems import refuse
from service.submitting.records import MOST_CHARACTERS
from service.submitting.text import Text


class Lines:
    """The lines with their ends. Raises SubmissionRefused when one is too long."""

    def __init__(self, text: Text) -> None:
        self._text = text
        #: The line that was given last, from 1.
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        rest = ""
        while piece := self._text.read():
            *whole, rest = (rest + piece).split("\n")
            for line in whole:
                yield self._bounded(line) + "\n"
            self._bounded_rest(rest)
        if rest:
            yield self._bounded(rest)

    def _bounded(self, line: str) -> str:
        self.number += 1
        if len(line) > MOST_CHARACTERS:
            raise too_long(self.number)
        return line

    def _bounded_rest(self, rest: str) -> None:
        if len(rest) > MOST_CHARACTERS:
            raise too_long(self.number + 1)


def too_long(line: int) -> SubmissionRefused:
    """Say that an item is longer than any invoice is."""
    message = (
        f"one item is longer than {MOST_CHARACTERS} characters: is a line end or a quotation mark "
        "missing?"
    )
    return refuse(line, 1, message)
