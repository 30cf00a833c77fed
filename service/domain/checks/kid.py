"""KID, the Norwegian reference that a debtor pays with: 2 to 25 characters, a check digit last.

Mod 10 is Luhn's; mod 11 has the weights 2 to 7 from the right, and `-` for a remainder of 10.
"""

from __future__ import annotations

import re
from itertools import cycle

from stdnum import luhn

SHAPE = re.compile(r"[0-9]{1,24}[0-9-]")


def is_kid(text: str) -> bool:
    """Tell whether a text is a KID of either kind; the bank's agreement says which one holds."""
    return fits_mod10(text) or fits_mod11(text)


def fits_mod10(text: str) -> bool:
    """Tell whether the last digit is Luhn's of the others."""
    return SHAPE.fullmatch(text) is not None and text[-1] != "-" and luhn.checksum(text) == 0


def fits_mod11(text: str) -> bool:
    """Tell whether the last character is the mod 11 check digit of the others."""
    return SHAPE.fullmatch(text) is not None and text[-1] == mod11_digit(text[:-1])


def mod11_digit(digits: str) -> str:
    """Compute the mod 11 check digit, `-` for ten."""
    weighted = zip(cycle((2, 3, 4, 5, 6, 7)), reversed(digits), strict=False)
    check = -sum(weight * int(digit) for weight, digit in weighted) % 11
    return "-" if check == 10 else str(check)
