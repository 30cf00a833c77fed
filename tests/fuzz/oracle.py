"""What the door owes to a request, read a second time from the house's words alone.

Nothing of the product is used here: other code for the signature, another reader of JSON.
"""

from __future__ import annotations

import hmac
import re
import sys
import unicodedata
from typing import Any, NamedTuple

import simplejson

from tests.doors import PATH, SECRET
from tests.fuzz.shapes import SIGNATURE, Shot

SECRETS = (SECRET, "the-next-secret")
LARGEST_BODY = 1024 * 1024
#: Nobody promises how deep is too deep, but for these.
SHALLOW, TOO_DEEP = 300, 100_000
#: Of a number's exponent: more than any decimal has.
MOST_EXPONENT = 18
SAID = re.compile(r"(?:(?:hmac[-_]?)?sha-?256|v[01])[=:,]", re.IGNORECASE)
KIND = re.compile(r"application/(json|[^;]*\+json)", re.IGNORECASE)
EXPONENT = re.compile(rb"[0-9][eE][+-]?[0-9]{%d,}" % (MOST_EXPONENT + 1))
#: The categories of Unicode that nothing is seen of.
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Zs"}


class Owed(NamedTuple):
    """The answers that are right, and the event's id where it is 202."""

    statuses: frozenset[int]
    event_id: str = ""


def one(status: int) -> Owed:
    """Say that only this is right."""
    return Owed(frozenset({status}))


def owed(shot: Shot) -> Owed:
    """Judge a request."""
    path = shot.path.partition("?")[0]
    if path not in (PATH, "/webhooks/%61mili", "/webhooks%2Famili"):
        return one(404)
    if shot.method != "POST":
        return one(405)
    kinds = values(shot, "content-type")
    if not kinds or not KIND.fullmatch(kinds[0].partition(";")[0].strip()):
        return one(415)
    if len(shot.body) > LARGEST_BODY:
        return one(413)
    if not authentic(shot):
        return one(401)
    return judged(shot)


def values(shot: Shot, name: str) -> list[str]:
    """Give a header's values, without the blanks that HTTP cuts off."""
    return [value.strip(" \t") for key, value in shot.headers if key.lower() == name.lower()]


def authentic(shot: Shot) -> bool:
    """Say whether one signature is there, and is right."""
    said = values(shot, SIGNATURE)
    if len(said) != 1:
        return False
    prefix = SAID.match(said[0])
    text = said[0][prefix.end() :] if prefix else said[0]
    rights = [hmac.new(secret.encode(), shot.body, "sha256").hexdigest() for secret in SECRETS]
    return text.lower() in rights


def judged(shot: Shot) -> Owed:
    """Say whether an authentic body is an envelope."""
    depth = deepest(shot.body)
    if depth > TOO_DEEP:
        return one(400)
    event_id = envelope_id(shot)
    if depth > SHALLOW:
        return Owed(frozenset({202, 400}), event_id)
    return Owed(frozenset({202}), event_id) if event_id else one(400)


def envelope_id(shot: Shot) -> str:
    """Name the event; empty: the body is no envelope."""
    found = read(shot.body)
    if not isinstance(found, dict) or not isinstance(found.get("data"), dict | None):
        return ""
    types = [found.get("type"), found.get("eventType")]
    header = [value for value in values(shot, "x-amili-event") if value]
    if all(name in (None, "") for name in types) and not header[-1:]:
        return ""
    event_id = found.get("id")
    return event_id if isinstance(event_id, str) and seen(event_id) else ""


def seen(text: str) -> bool:
    """Say whether it is 1 to 200 printable characters."""
    unseen = any(sign != " " and unicodedata.category(sign) in UNSEEN for sign in text)
    return 0 < len(text) <= 200 and not unseen


def read(body: bytes) -> Any:
    """Read JSON, strictly; None when it is none."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    if EXPONENT.search(body):
        return None
    try:
        text = body.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "strict")
        return simplejson.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        return None


def deepest(body: bytes) -> int:
    """Count how deep brackets open, at the most; those in texts too."""
    if body.count(b"[") + body.count(b"{") <= SHALLOW:
        return 0
    depth = most = 0
    for sign in body:
        if sign in b"[{":
            depth += 1
            most = max(most, depth)
        elif sign in b"]}":
            depth -= 1
    return most


assert sys.get_int_max_str_digits() == 4300, "numbers end where Python's do"
