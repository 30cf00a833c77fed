"""Opens the desk for one command: the database and the bells of the settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import typer

from service import settings as our_settings
from service.cli.showing import show
from service.desk.asking import Asking
from service.desk.dead import DeadLetters
from service.desk.reading import Reading
from service.desk.shapes import Shape
from service.desk.writing import Writing
from service.queue import Bells
from service.redis import connect
from service.store.database import Database


class Desk(NamedTuple):
    """What an operator's commands work with."""

    reading: Reading
    writing: Writing
    asking: Asking
    dead: DeadLetters


@contextmanager
def desk() -> Iterator[Desk]:
    """Open the desk, and close its connections at the end."""
    settings = our_settings.load()
    database = Database(settings.sql_url, pool=1)
    client = connect(settings.redis_url)
    bells = Bells(client)
    try:
        yield Desk(
            Reading(database),
            Writing(database, bells, settings.organization_ids),
            Asking(database, bells),
            DeadLetters(database, bells, settings.organization_ids),
        )
    finally:
        client.close()
        database.close()


def listing(read: Callable[[Reading], Shape], as_json: bool, *columns: str) -> None:
    """Read a page and print it; say how to go on when there is more."""
    with desk() as opened:
        found = read(opened.reading)
    show(found, as_json, columns)
    if not as_json and found["next"] is not None:
        typer.echo(f"{len(found['data'])} shown; more: --after {found['next']}", err=True)
