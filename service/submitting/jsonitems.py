"""One item of JSON: decoded with nothing lost and nothing guessed, its members found again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from service.amili.requests import DEEPEST
from service.submitting.records import Flaw, Path, Place, Record
from service.submitting.text import moved

#: What opens or closes an object or list, and the texts in which it does not.
BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
TOO_DEEP = f"nested too deeply: at most {DEEPEST} objects and lists inside of each other"
SPACES = re.compile(r"[ \t\r\n]*")
LONGEST_NUMBER = 40


class NoNumber(str):
    """A number that is not taken, and why not."""

    __slots__ = ()


class Doubled(dict[str, Any]):
    """An object that has a member twice."""

    name = ""


class Unreadable(Exception):
    """It is no JSON; `at` is where, in characters from the text's beginning."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


class Decoder:
    """Reads JSON values: amounts as Decimal, exponents and doubled members noticed."""

    def __init__(self) -> None:
        self._odd = False
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_float=self._decimal,
            parse_int=self._whole,
            parse_constant=self._constant,
        )

    def item(self, text: str, at: int, start: Place) -> tuple[Record, int]:
        """Read the item that begins at `at`, which stands at `start`; say where it ends.

        Raises Unreadable.
        """
        value, end = self.value(text, at)
        deep = too_deep(text, at, end)
        if deep is not None:
            there = moved(*start, text[at:deep])
            return Record(start[0], None, [Flaw((), TOO_DEEP)], lambda _: there), end
        flaws = list(oddities(value)) if self._odd else []
        if not isinstance(value, dict):
            return Record(start[0], None, [Flaw((), "expected an object")], lambda _: start), end
        item = {key: each for key, each in value.items() if not key.startswith("_")}
        own = text[at:end]
        return Record(start[0], item, flaws, lambda path: find(own, path, start)), end

    def value(self, text: str, at: int) -> tuple[Any, int]:
        """Read the value that begins at `at`; say where it ends. Raises Unreadable."""
        self._odd = False
        try:
            return self._decoder.raw_decode(text, at)
        except json.JSONDecodeError as exc:
            raise Unreadable(exc.msg.partition(":")[0], exc.pos) from None
        except RecursionError:
            raise Unreadable(TOO_DEEP, too_deep(text, at, len(text)) or at) from None

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        self._odd = True
        doubled, seen = Doubled(found), set[str]()
        for name, _ in pairs:
            if name in seen:
                doubled.name = name
            seen.add(name)
        return doubled

    def _decimal(self, text: str) -> Decimal | NoNumber:
        if "e" in text or "E" in text:
            return self._no("write the number in full, without an exponent")
        if len(text) > LONGEST_NUMBER or "E" in str(Decimal(text)):
            return self._no("the number is too long")
        return Decimal(text)

    def _whole(self, text: str) -> int | NoNumber:
        return int(text) if len(text) <= LONGEST_NUMBER else self._no("the number is too long")

    def _constant(self, name: str) -> NoNumber:
        return self._no(f"{name} is no amount")

    def _no(self, why: str) -> NoNumber:
        self._odd = True
        return NoNumber(why)


def too_deep(text: str, begin: int, end: int) -> int | None:
    """Say where JSON is nested too deeply; None: nowhere."""
    if text.count("{", begin, end) + text.count("[", begin, end) <= DEEPEST:
        return None
    depth = 0
    for found in BRACKETS.finditer(text, begin, end):
        sign = text[found.start()]
        depth += (sign in "[{") - (sign in "]}")
        if depth > DEEPEST:
            return found.start()
    return None


def oddities(value: Any) -> Iterator[Flaw]:
    """Name what the decoder noticed, wherever it is."""
    waiting: list[tuple[Path, Any]] = [((), value)]
    while waiting:
        path, found = waiting.pop()
        if isinstance(found, NoNumber):
            yield Flaw(path, str(found))
        elif isinstance(found, dict):
            if isinstance(found, Doubled):
                yield Flaw((*path, found.name), "the member is there twice")
            waiting += [((*path, key), each) for key, each in found.items()]
        elif isinstance(found, list):
            waiting += [((*path, at), each) for at, each in enumerate(found)]


def find(text: str, path: Path, start: Place) -> Place:
    """Say where a member of an item stands; the last part of the path that is there counts."""
    at = 0
    try:
        for part in path:
            inside = step(text, at, part)
            if inside is None:
                break
            at = inside
    except RecursionError:  # it was read from higher up
        pass
    return moved(*start, text[:at])


def step(text: str, at: int, part: str | int) -> int | None:
    """Go from the beginning of an object or list to the beginning of one of its values."""
    decoder = json.JSONDecoder(parse_int=str, parse_float=str)
    is_object = text[at] == "{"
    if not is_object and text[at] != "[":
        return None
    found, at, number = None, space(text, at + 1), 0
    while text[at] not in "}]":
        name: Any = number
        if is_object:
            name, at = decoder.raw_decode(text, at)
            at = space(text, space(text, at) + 1)
        if name == part:
            found = at  # the last one of a doubled member is the one that counts
        at = space(text, decoder.raw_decode(text, at)[1])
        at = space(text, at + 1) if text[at] == "," else at
        number += 1
    return found


def space(text: str, at: int) -> int:
    """Go on to what is no space."""
    found = SPACES.match(text, at)
    return found.end() if found else at
