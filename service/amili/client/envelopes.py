"""From an answer's body to records: `{"summary": ..., "data": ...}` [doc]. Pure."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from service.amili.client.wire import Answer
from service.amili.resources import Fetched, Resource, Unread
from service.amili.texts import decode, encode, storable
from service.errors import ContractBroken

T = TypeVar("T", bound=Resource)
#: Members that an error's text names at most.
NAMED = 5


def read_one(operation: str, answer: Answer, kind: type[T]) -> Fetched[T]:
    """Read an answer whose `data` is one record."""
    data = _envelope(operation, answer)["data"]
    if not isinstance(data, dict):
        raise _broken(operation, answer, "data: expected an object")
    return _record(operation, answer, kind, data)


def read_list(operation: str, answer: Answer, kind: type[T]) -> tuple[list[Fetched[T]], str | None]:
    """Read an answer whose `data` is a list; also the token of the next page.

    The last page has no token, or an empty one [assumed].
    """
    envelope = _envelope(operation, answer)
    data = envelope["data"]
    if not isinstance(data, list):
        raise _broken(operation, answer, "data: expected a list")
    summary = envelope.get("summary")
    token = summary.get("nextPageToken") if isinstance(summary, dict) else None
    records = [_record(operation, answer, kind, each) for each in data]
    return records, str(token) if token not in (None, "") else None


def read_anything(answer: Answer) -> Unread:
    """Read an answer of which nobody knows the form: as JSON where it is, and as text."""
    try:
        value = decode(answer.body)
        return Unread(value, encode(value))
    except ValueError:
        return Unread(None, storable(answer.body.decode("utf-8", "replace")))


def _envelope(operation: str, answer: Answer) -> dict[str, Any]:
    try:
        envelope = decode(answer.body)
    except ValueError:
        raise _broken(operation, answer, "expected JSON") from None
    if not isinstance(envelope, dict) or "data" not in envelope:
        raise _broken(operation, answer, "expected an object with `data`")
    return envelope


def _record(operation: str, answer: Answer, kind: type[T], data: object) -> Fetched[T]:
    try:
        return Fetched(kind.model_validate(data), encode(data))
    except ValidationError as exc:
        raise _broken(operation, answer, _wrong_members(exc)) from None
    except ValueError as exc:
        raise _broken(operation, answer, str(exc)) from None


def _wrong_members(exc: ValidationError) -> str:
    """Name the members that are wrong and how, never what they contain."""
    errors = exc.errors(include_input=False, include_context=False, include_url=False)
    names = [f"{'.'.join(str(part) for part in e['loc'])} ({e['type']})" for e in errors]
    return "unreadable members: " + ascii(", ".join(names[:NAMED])).strip("'")


def _broken(operation: str, answer: Answer, words: str) -> ContractBroken:
    return ContractBroken(
        words, operation=operation, status=answer.status, request_id=answer.request_id
    )
