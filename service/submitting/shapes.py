"""Whether an item has the form that Amili takes: the models decide, their errors put in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from service.amili.requests import NewCorrection, NewInvoice, NewPayment, to_json
from service.domain.submissions import SubmissionKind
from service.submitting.columns import MODELS
from service.submitting.records import Flaw, Record

NewRecord = NewInvoice | NewPayment | NewCorrection

#: By pydantic's word for what is wrong; others are told with that word.
WORDS: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be text (in quotation marks)",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "too_short": "must not be empty",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


@dataclass(frozen=True, slots=True)
class Whole:
    """An item of the right form, and its JSON as it will be sent."""

    model: NewRecord
    text: str = field(repr=False)


def whole(record: Record, kind: SubmissionKind) -> tuple[Whole | None, list[Flaw]]:
    """Return the item that a record holds, or all that is wrong with its form."""
    flaws = list(record.flaws)
    if record.value is None:
        return None, flaws
    known = {flaw.path for flaw in flaws}
    try:
        model = MODELS[kind].model_validate(record.value)
        found = Whole(model, to_json(model))
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_context=False, include_input=False)
        more = [Flaw(error["loc"], in_words(error["type"], error["msg"])) for error in errors]
        return None, flaws + [flaw for flaw in more if flaw.path not in known]
    except ValueError as exc:
        return None, [*flaws, Flaw((), str(exc))]
    return (None if flaws else found), flaws


def in_words(type_: str, message: str) -> str:
    """Say what is wrong without the value: it may be about a person."""
    if type_ == "value_error":
        return message.removeprefix("Value error, ")
    return WORDS.get(type_, f"is not as expected ({type_})")
