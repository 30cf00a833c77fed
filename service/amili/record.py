"""What all records of Amili's have in common, and the pair of a record and its text. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic.alias_generators import to_camel

from service.amili.texts import read_time, storable

T = TypeVar("T", bound="Resource")


def _no_float(value: object) -> object:
    if isinstance(value, float | bool):
        raise ValueError("money comes as a decimal number, never as a float")
    return value


Text = Annotated[str, AfterValidator(storable)]
Money = Annotated[Decimal, BeforeValidator(_no_float)]
When = Annotated[
    datetime | None, BeforeValidator(lambda v: v if isinstance(v, datetime) else read_time(v))
]


class Record(BaseModel):
    """What goes between Amili and us, unknown members included. Its repr tells ids and status."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="allow",
        frozen=True,
        hide_input_in_errors=True,
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Tell no personal data, wherever this is printed."""
        for name in type(self).model_fields:
            if name == "status" or name.endswith("_id"):
                yield name, getattr(self, name)

    __str__ = BaseModel.__repr__


class Resource(Record):
    """A record that is read from Amili: a number where a text belongs is read as text."""

    model_config = ConfigDict(coerce_numbers_to_str=True)


@dataclass(frozen=True, slots=True)
class Fetched(Generic[T]):
    """A record and its JSON text: ASCII, each number with the value and scale that it had."""

    value: T
    raw: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Unread:
    """An answer whose form nobody has read: its JSON value, None when it is none, and its text."""

    value: Any = field(repr=False)
    raw: str = field(repr=False)
