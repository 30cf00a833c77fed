"""Numbers with check digits: real ones pass, and a slip of the finger is found."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.checks.currencies import DECIMALS
from service.domain.checks.identity_numbers import fits_birth_date, is_identity_number
from service.domain.checks.kid import fits_mod10, fits_mod11, is_kid, mod11_digit
from service.domain.checks.organization_numbers import is_organization_number

DIGITS = "0123456789"
digits = st.text(DIGITS, min_size=1, max_size=24)


def luhn_digit(text: str) -> str:
    """Compute Luhn's check digit by its definition: every second digit doubled, from the right."""
    total = 0
    for place, digit in enumerate(reversed(text)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value // 10 + value % 10
    return str(-total % 10)


def weighted(text: str, weights: tuple[int, ...]) -> str | None:
    """Compute a mod 11 check digit by its definition; None when there is none."""
    check = -sum(int(digit) * weight for digit, weight in zip(text, weights, strict=True)) % 11
    return None if check == 10 else str(check)


def slip(data: st.DataObject, text: str) -> str:
    """Change one digit into another."""
    at = data.draw(st.sampled_from([at for at, each in enumerate(text) if each in DIGITS]))
    other = data.draw(st.sampled_from([each for each in DIGITS if each != text[at]]))
    return text[:at] + other + text[at + 1 :]


@st.composite
def organization_numbers(draw: st.DrawFn) -> str:
    """Make organization numbers."""
    text = draw(st.sampled_from("89")) + draw(st.text(DIGITS, min_size=7, max_size=7))
    last = weighted(text, (3, 2, 7, 6, 5, 4, 3, 2))
    return draw(st.nothing()) if last is None else text + last


@st.composite
def identity_numbers(draw: st.DrawFn) -> tuple[str, date]:
    """Make identity numbers of people, D-numbers, and those of made-up people, with the day."""
    born = draw(st.dates(date(1900, 1, 1), date(2039, 12, 31)))
    day = born.day + draw(st.sampled_from([0, 40]))
    month = born.month + draw(st.sampled_from([0, 40, 65, 80]))
    individual = draw(st.integers(0, 999))
    for number in range(individual, individual + 50):  # a few have no check digits
        text = f"{day:02}{month:02}{born.year % 100:02}{number % 1000:03}"
        first = weighted(text, (3, 7, 6, 1, 8, 9, 4, 5, 2))
        second = first and weighted(text + first, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2))
        if first and second:
            return text + first + second, born
    raise AssertionError("fifty in a row have no check digits")


class TestKid:
    @pytest.mark.parametrize("kid", ["2345676", "00000018", "12345678903", "00", "1234567890128"])
    def test_known(self, kid: str) -> None:
        """References that banks take are taken."""
        assert is_kid(kid)

    @pytest.mark.parametrize(
        "text", ["", "1", "2345677", "234 5676", "1" * 26, "-", "12-4", "2345676\n", "٢٣٤٥٦٧٦"]
    )
    def test_none(self, text: str) -> None:
        """What is too short, too long, spaced or not of ASCII digits is none."""
        assert not is_kid(text)

    @given(digits, st.data())
    def test_mod10(self, text: str, data: st.DataObject) -> None:
        """A mod 10 KID fits, and none with one digit changed does."""
        kid = text + luhn_digit(text)
        assert fits_mod10(kid)
        assert is_kid(kid)
        assert not fits_mod10(slip(data, kid))

    @given(digits, st.data())
    def test_mod11(self, text: str, data: st.DataObject) -> None:
        """A mod 11 KID fits, one that ends in `-` too, and none with one digit changed does."""
        weights = tuple(2 + place % 6 for place in reversed(range(len(text))))
        kid = text + (weighted(text, weights) or "-")
        assert kid[-1] == mod11_digit(text)
        assert fits_mod11(kid)
        assert is_kid(kid)
        assert not fits_mod11(slip(data, kid))

    def test_dash(self) -> None:
        """A remainder of ten is written `-`, and nothing else is taken in its place."""
        text = next(str(n) for n in range(100, 200) if mod11_digit(str(n)) == "-")
        assert fits_mod11(text + "-")
        assert not any(fits_mod11(text + digit) for digit in DIGITS)


class TestOrganizationNumbers:
    @pytest.mark.parametrize("number", ["988077917", "974760673"])
    def test_known(self, number: str) -> None:
        """Numbers out of the register are taken."""
        assert is_organization_number(number)

    @pytest.mark.parametrize(
        "text", ["", "98807791", "988 077 917", "000000000", "NO988077917", "٩٨٨٠٧٧٩١٧"]
    )
    def test_none(self, text: str) -> None:
        """Other lengths, spaces and letters are not taken."""
        assert not is_organization_number(text)

    @given(organization_numbers(), st.data())
    def test_one_digit(self, number: str, data: st.DataObject) -> None:
        """One changed digit is always found."""
        assert is_organization_number(number)
        assert not is_organization_number(slip(data, number))


class TestIdentityNumbers:
    @given(identity_numbers(), st.data())
    def test_one_digit(self, made: tuple[str, date], data: st.DataObject) -> None:
        """Numbers of all kinds are taken; one changed digit is always found."""
        number, _ = made
        assert is_identity_number(number)
        assert not is_identity_number(slip(data, number))

    @given(identity_numbers(), st.dates(date(1900, 1, 1), date(2039, 12, 31)))
    def test_birth_date(self, made: tuple[str, date], other: date) -> None:
        """The day of birth is in the number, but for the century."""
        number, born = made
        assert fits_birth_date(number, born)
        said = (other.day, other.month, other.year % 100)
        assert fits_birth_date(number, other) == (said == (born.day, born.month, born.year % 100))

    def test_a_day_that_does_not_exist(self) -> None:
        """Fitting check digits do not make a 31st of February."""
        for number in range(100, 999):
            text = f"310299{number}"
            first = weighted(text, (3, 7, 6, 1, 8, 9, 4, 5, 2))
            second = first and weighted(text + first, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2))
            if first and second:
                assert not is_identity_number(text + first + second)

    @pytest.mark.parametrize("text", ["", "1510869508", "151086 95088", "151086950881", "x" * 11])
    def test_none(self, text: str) -> None:
        """Other lengths, spaces and letters are not taken."""
        assert not is_identity_number(text)


def test_currencies() -> None:
    """Codes have three capital letters; the decimals of the well-known ones are right."""
    assert all(len(code) == 3 and code.isalpha() and code.isupper() for code in DECIMALS)
    known = {"NOK": 2, "SEK": 2, "EUR": 2, "JPY": 0, "ISK": 0, "KWD": 3}
    assert {code: DECIMALS[code] for code in known} == known
    assert not {"XXX", "XTS", "XAU", "HRK", "BGN", "DEM", "NKR"} & DECIMALS.keys()
