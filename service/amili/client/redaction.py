"""Error bodies without the people in them. Pure.

What an error of Amili's looks like is not known [assumed: anything], so this works
on text, JSON or not: long digit runs, e-mail addresses and the values of members
that name a person go.
"""

from __future__ import annotations

import re

KEPT_BYTES = 4096
GONE = "[redacted]"

#: Members that name a person, also as the end of a longer name or path.
PERSON_MEMBERS = (
    "name|firstName|lastName|middleName|fullName|email|emails|phone|phoneNumber|phoneNumbers"
    "|originalValue|value|address|addresses|street|city|zipCode|postalCode|dateOfBirth|birthDate"
    "|identificationNumber|nationalId|ssn|organizationNumber|customerReference|description"
    "|comment|debtor|debtors"
)
#: A text, a flat list or object, or anything else up to the next member; also when cut short.
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"?|″[^″]*″?|\[[^\]]*\]?|\{[^{}]*\}?|[^,}\]\s]+)"""
_PERSON = re.compile(
    rf"""(["″](?:[^"″]{{0,80}}[.\]_ ])?[a-z]{{0,12}}(?:{PERSON_MEMBERS})["″]\s*:\s*){_VALUE}""",
    re.IGNORECASE | re.DOTALL,
)
_EMAIL = re.compile(r"[^\s\"″'<>@:,;]{1,64}@[^\s\"″'<>@,;]{1,255}")
#: Six digits and more, also when written in groups as in phone and identity numbers.
_DIGITS = re.compile(r"\d(?:[ -]?\d){5,}")
#: The last word of a cut text: it may be the first half of something that has to go.
_TORN = re.compile(r"""[^\s,:{}\[\]"″]*$""")


def redact(body: bytes) -> str:
    """Return at most the first 4 KiB of an error body as text without personal data."""
    text = body[:KEPT_BYTES].decode("utf-8", "replace").replace('\\"', "″").replace("\0", "")
    if len(body) > KEPT_BYTES:
        text = _TORN.sub("", text)
    text = _PERSON.sub(rf'\1"{GONE}"', text)
    text = _EMAIL.sub(GONE, text)
    return _DIGITS.sub(GONE, text)[:KEPT_BYTES]
