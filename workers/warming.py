"""What a worker process does once, so that none of the children that it forks has to."""

from __future__ import annotations

import codecs
import gc
from importlib.resources import files

from service.settings import Settings
from service.store.database import Database

#: New objects before the collector looks at them. A look makes thousands, hardly any in a circle.
NEW_OBJECTS = 10_000


def warm_up(settings: Settings) -> None:
    """Load what a job would load, and take everything out of the garbage collector's rounds.

    To be called last before the first fork, and in a process without threads.
    """
    # An engine imports its driver; without a connection, which must never cross a fork.
    Database(settings.sql_url).close()
    # What looks up the address of a host, and what reads a script beside the code.
    codecs.lookup("idna")
    files("service.amili.client").joinpath("gate.lua").read_bytes()
    gc.collect()
    # Frozen objects are not looked at again and again in every child, and the pages that they
    # lie on stay shared with it.
    gc.freeze()
    gc.set_threshold(NEW_OBJECTS, 20, 20)
