"""Norwegian organization numbers: nine digits, the last one a mod 11 check digit."""

from __future__ import annotations

import re

from stdnum.no import orgnr

SHAPE = re.compile(r"[1-9][0-9]{8}")


def is_organization_number(text: str) -> bool:
    """Tell whether a text is nine digits, without spaces, whose check digit fits."""
    return SHAPE.fullmatch(text) is not None and orgnr.checksum(text) == 0
