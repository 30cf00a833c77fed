"""Deliveries that nobody should send, and some that somebody should: as hypothesis draws them."""

from __future__ import annotations

import gzip
import hmac
import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from hypothesis import strategies as st

from tests.doors import PATH, SECRET

#: Stands in a share of all bodies and headers; no log and no answer may repeat it.
CANARY = "Kari-Nordmann-01010112345"
SIGNATURE = "X-Webhook-Signature"
Header = tuple[str, str]


class Shot(NamedTuple):
    """One request."""

    method: str
    path: str
    headers: tuple[Header, ...]
    body: bytes


# --- bodies ---------------------------------------------------------------------


def mostly(usual: st.SearchStrategy[Any], *rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw the first for the most part."""
    return st.sampled_from([*[usual] * 2 * len(rare), *rare]).flatmap(lambda drawn: drawn)


#: Any code point, lone surrogates and NUL among them.
SIGNS = st.text(st.characters(), max_size=12)
WORDS = st.one_of(
    st.sampled_from(["CASE_UPDATED", "CASE", "BATCH_COMPLETED", "SETTLEMENT_CREATED", "", CANARY]),
    st.sampled_from(["x" * 200, "x" * 201, "\0", "a\nb", "\ud800", "\u200b", "\U000e0001", " "]),
    SIGNS,
)
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([10**20, 10**20 - 1, -(10**25), 10**4299, 0, -0.0, 1e308]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([float("nan"), float("inf")]),
)
TIMES = st.one_of(
    st.datetimes().map(lambda at: at.isoformat() + "Z"),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-13-01"]),
)
SCALARS = mostly(WORDS, st.none(), st.booleans(), NUMBERS, TIMES)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [
        *("id", "type", "eventType", "source", "timeStamp", "data", "Id", "event_type"),
        *("caseId", "caseNumber", "orgId", "organizationId", "status", "invoices", "fields"),
        *("batchId", "settlementId", "invoiceId", "settlementDate"),
    ]
)
IDS = mostly(st.uuids().map(str), WORDS, SCALARS)
PLAIN = st.just({"caseId": "case-1", "orgId": "org-1", "fields": ["status"], "name": CANARY})
DATA = mostly(
    PLAIN,
    st.dictionaries(NAMES | WORDS, VALUES, max_size=5),
    st.fixed_dictionaries({"caseId": WORDS, "caseNumber": SCALARS, "invoices": VALUES}),
    VALUES,
)
ENVELOPES = mostly(
    st.fixed_dictionaries(
        {"id": IDS, "type": WORDS, "source": WORDS, "timeStamp": TIMES | SCALARS, "data": DATA},
        optional={"eventType": WORDS, "extra": VALUES},
    ),
    st.builds(
        lambda name, word, data: {"id": CANARY, name: word, "data": data},
        *(st.sampled_from(["type", "eventType"]), WORDS, DATA),
    ),
    st.dictionaries(NAMES, VALUES, max_size=6),
)
LAYOUTS = st.sampled_from([(",", ":"), (", ", ": "), (" ,\r\n\t", " :\n")])


def written(value: Any, layout: tuple[str, str], ascii_only: bool) -> bytes:
    """Write JSON, or what Python takes for it: NaN, half characters."""
    text = json.dumps(value, separators=layout, ensure_ascii=ascii_only)
    return text.encode("utf-8", "surrogatepass")


WRITTEN = st.builds(written, ENVELOPES, LAYOUTS, st.booleans())
FRAMES = st.sampled_from([b'{"id":"deep","type":"CASE","data":{"a":%b}}', b"%b"])


def nested(depth: int, signs: tuple[bytes, bytes], frame: bytes) -> bytes:
    """Nest lists or objects."""
    return frame % (signs[0] * depth + b"1" + signs[1] * depth)


def doubled(body: bytes, again: bytes) -> bytes:
    """Write the members of one object behind those of another: names come twice."""
    return body[:-1] + b"," + again[1:] if min(len(body), len(again)) > 2 else body


SPOILT = st.one_of(
    st.builds(doubled, WRITTEN, WRITTEN),
    st.builds(
        nested,
        st.sampled_from([10, 100, 400, 20_000, 200_000]),
        st.sampled_from([(b"[", b"]"), (b'{"a":', b"}")]),
        FRAMES,
    ),
    st.builds(
        lambda number: b'{"id":"number","type":"CASE","data":{"n":%b}}' % number,
        st.one_of(
            st.sampled_from([b"9" * 4300, b"9" * 4301, b"1e400", b"1." + b"0" * 9000]),
            st.from_regex(rb"-?[0-9]{1,40}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,25})?", fullmatch=True),
        ),
    ),
    st.binary(max_size=60),
    st.sampled_from([b"", b" ", b"null", b"NaN", b"\0", b'{"id":"large"}' + b" " * 1024 * 1024]),
)
#: Drawn by hypothesis: envelopes for the most part.
BODIES = mostly(WRITTEN, SPOILT)


def flipped(chance: Random, body: bytes) -> bytes:
    """Change one byte."""
    at = chance.randrange(len(body) or 1)
    return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]


def swapped(chance: Random, body: bytes) -> bytes:
    """Put a piece of the body, or a sign that means something, somewhere in it."""
    at, start = (chance.randrange(len(body) + 1) for _ in "12")
    piece = chance.choice([*SIGNIFICANT, body[start : start + chance.randrange(30)]])
    return body[:at] + piece + body[at + chance.randrange(2) * len(piece) :]


SIGNIFICANT = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"\0", b"\xff", b"\\u0000", b"\\ud800"),
    *(b"NaN", b"-Infinity", b"1e999", b"null", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'"id":1,'),
)
#: Made of a body by chance.
SPOILING: tuple[Callable[[Random, bytes], bytes], ...] = (
    flipped,
    swapped,
    swapped,
    lambda chance, body: body[: chance.randrange(len(body) + 1)],
    lambda chance, body: b"\xef\xbb\xbf" + body,
    lambda chance, body: body + chance.choice([b" ", b"\n", b"\0", b"{}", body]),
    lambda chance, body: gzip.compress(body, mtime=0),
    lambda chance, body: body.decode("utf-8", "replace").encode("utf-16"),
)


# --- headers --------------------------------------------------------------------

#: What a header may hold: tabs, spaces, and bytes above ASCII.
FIELD_SIGNS = (*map(chr, range(0x20, 0x7F)), "\t", "\xe9", "\xff")
TOKEN_SIGNS = "abcXYZ019!#$%&'*+.^_`|~-"
JSON_KINDS = (
    *("application/json", "application/json", "application/json; charset=utf-8"),
    *("APPLICATION/JSON", "application/x+json", "application/+json"),
    "application/jsonp+json; x=y",
)
OTHER_KINDS = (
    *("text/json", "application/json2", "json", "", "text/plain", "multipart/form-data"),
    *("application/jsonp; x=application/json", "a/b+json", "application/ json", "application"),
)


def digest(body: bytes, secret: str = SECRET) -> str:
    """Sign as the contract assumes, by hand."""
    return hmac.digest(secret.encode(), body, "sha256").hex()


def field_of(chance: Random, most: int = 20) -> str:
    """Make a header's value of anything."""
    return "".join(chance.choices(FIELD_SIGNS, k=chance.randrange(most)))


def right(chance: Random, body: bytes) -> str:
    """Sign a body rightly, in one of the spellings."""
    made = digest(body, chance.choice([SECRET, "the-next-secret"]))
    return chance.choice(["{}", "{}", "sha256={}", "  {}\t", "v1={}", "SHA-256:{}"]).format(
        chance.choice([made, made, made.upper()])
    )


def wrong(chance: Random, body: bytes) -> str:
    """Sign a body wrongly, or nearly rightly."""
    made = digest(body)
    return chance.choice(
        [
            *(made[:-1], made + "0", made[:-2], f"sha512={made}", f"{made},{made}", "", "0" * 64),
            *(digest(body, "another"), digest(body + b" "), f"t=1,v1={made}", f"{made} x"),
            *(f"sha256==%{made}", f"\xe9{made[1:]}", "0" * 100_000, field_of(chance, 80)),
        ]
    )


def signatures(chance: Random, body: bytes) -> list[Header]:
    """Sign a body: rightly for the most part; else wrongly, twice, or not at all."""
    name = chance.choice([SIGNATURE, SIGNATURE.lower(), SIGNATURE.upper()])
    if chance.random() < 0.75:
        return [(name, right(chance, body))]
    several = chance.choices([right, wrong], k=chance.choice([0, 1, 1, 1, 2]))
    return [(name, make(chance, body)) for make in several]


def others(chance: Random) -> list[Header]:
    """Add headers that should change nothing, but for the event's type."""
    found = [
        (name, chance.choice([field_of(chance), CANARY, "CASE_UPDATED"]))
        for name in ("X-Amili-Event", "IdempotencyKey", "X-Amili-Request-Id", "X-Forwarded-For")
        if chance.random() < 0.25
    ]
    if chance.random() < 0.1:
        found.append(("X-" + "".join(chance.choices(TOKEN_SIGNS, k=9)), field_of(chance)))
    if chance.random() < 0.02:
        found += [(f"X-{number}", CANARY) for number in range(chance.randrange(400))]
    return found


# --- requests -------------------------------------------------------------------

#: Those of which a server may say that there are none such.
NO_METHODS = ("post", "X-Y")
METHODS = ("GET", "PUT", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE", "PROPFIND", *NO_METHODS)
PATHS = (
    *(PATH + "/", PATH.upper(), "/", "/webhooks", "//webhooks/amili", "/nowhere", PATH + "%00"),
    *("/webhooks/%61mili", PATH + "?a=b", "/webhooks/amili/../amili", "/webhooks%2Famili"),
)


def dressed(chance: Random, body: bytes) -> Shot:
    """Make a request of a body, by chance."""
    if chance.random() < 0.2:
        body = chance.choice(SPOILING)(chance, body)
    kinds = JSON_KINDS if chance.random() < 0.9 else (*OTHER_KINDS, field_of(chance))
    kind = [("Content-Type", chance.choice(kinds))] if chance.random() < 0.98 else []
    headers = [*kind, *signatures(chance, body), *others(chance)]
    chance.shuffle(headers)
    method = "POST" if chance.random() < 0.93 else chance.choice(METHODS)
    path = PATH if chance.random() < 0.95 else chance.choice(PATHS)
    return Shot(method, path, tuple(headers), body)


#: Requests made of each body that hypothesis draws.
EACH = 12
CHANCES = st.integers(0, 2**32 - 1)


def shots_of(body: bytes, number: int) -> Iterator[Shot]:
    """Make requests of a body; the same number, the same requests."""
    chance = Random(number)
    for _ in range(EACH):
        yield dressed(chance, body)
