"""National identity numbers (fødselsnummer) and D-numbers: day, month, year, and five digits more.

D-numbers have 40 added to the day. Numbers of made-up people have 40, 65 or 80 added to the
month (Tenor, Dolly), and are as good as any. Numbers given out from 2032 on have another first
check digit: they do not fit here yet.
"""

from __future__ import annotations

import re
from datetime import date

from stdnum.no import fodselsnummer

SHAPE = re.compile(r"[0-9]{11}")
D_NUMBER = 40
#: Added to the month of made-up people, the largest first.
MADE_UP = (80, 65, 40)


def is_identity_number(text: str) -> bool:
    """Tell whether a text is eleven digits with a day that exists and two fitting check digits."""
    return (
        SHAPE.fullmatch(text) is not None
        and text[9] == fodselsnummer.calc_check_digit1(text)
        and text[10] == fodselsnummer.calc_check_digit2(text)
        and any(exists(century, *born(text)) for century in (1900, 2000))
    )


def fits_birth_date(text: str, said: date) -> bool:
    """Tell whether an identity number is one of somebody born on this day of any century."""
    day, month, year = born(text)
    return (day, month, year) == (said.day, said.month, said.year % 100)


def born(text: str) -> tuple[int, int, int]:
    """Read day, month and the year's last two digits."""
    day, month, year = int(text[:2]), int(text[2:4]), int(text[4:6])
    if day > D_NUMBER:
        day -= D_NUMBER
    added = next((added for added in MADE_UP if 1 <= month - added <= 12), 0)
    return day, month - added, year


def exists(century: int, day: int, month: int, year: int) -> bool:
    """Tell whether a century has this day."""
    try:
        date(century + year, month, day)
    except ValueError:
        return False
    return True
