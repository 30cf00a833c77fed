"""What reads bytes of strangers, as functions of bytes that must never raise.

The first byte of an input chooses the target. `run_one` also bounds the work: a second of
processor time and 50 MB for an input of up to 1 MiB.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from service.amili import detecting, signing, texts, webhooks
from service.amili.contract import Contract
from service.amili.schemes import SCHEMES
from service.domain import quarantine
from service.domain.deliveries import Delivery, digest_of
from service.domain.receiving import receive
from service.domain.submissions import SubmissionKind
from service.errors import (
    ConfigError,
    MalformedDelivery,
    NotJson,
    SignatureError,
    SubmissionRefused,
)
from service.intake.door import clean, demand_json, kept, kept_names, lowered
from service.intake.quarantine import network_of
from service.settings import CHECKS
from service.submitting.examining import examine_body
from service.submitting.giving import read_body
from service.submitting.rules import rules_of

Target = Callable[[bytes], None]

CPU_SECONDS = 1.0
MEGABYTES = 50.0
#: A command tries every scheme on every header of one delivery: no stranger waits for it.
TIMES = {"detect": 5}
SECRET = "c2VjcmV0LW9mLXRoZS1mdXp6ZXItMzItYnl0ZXMtbG9uZw=="
CONTRACT = Contract()
RULES = rules_of(CHECKS)
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
LONGEST = 200
#: ru_maxrss counts in kilobytes, on macOS in bytes.
UNIT = 1e6 if sys.platform == "darwin" else 1e3


class TooMuchWork(Exception):
    """An input costs more time or memory than any of its size may."""


def demand(true: bool) -> None:
    """Raise AssertionError for an error that says what it should not."""
    assert true, "an error says what it should not"


# --- reading --------------------------------------------------------------------


def read_event(data: bytes) -> None:
    """Read a body; whatever leaves is printable and short."""
    head, _, body = data.partition(b"\n")
    try:
        event = webhooks.read(body, head.decode("latin-1") or None)
    except MalformedDelivery as exc:
        demand(len(str(exc)) < LONGEST)
        return
    told = (event.event_id, event.type, event.source, event.organization_id)
    assert all(text is None or texts.keepable(text) for text in told)
    assert event.subject is None or texts.keepable(event.subject.id)


def receive_delivery(data: bytes) -> None:
    """Make an event of a delivery, as the drain does."""
    head, _, body = data.partition(b"\n")
    headers = {"x-amili-event": clean(head.decode("latin-1"))}
    made = receive(Delivery(digest_of(body), body, headers, NOON), ())
    assert not (made.error or "").startswith("our reader failed"), made.error
    assert texts.keepable(made.event_id)
    assert texts.keepable(made.type)


def json_survives(data: bytes) -> None:
    """Read JSON and write it: it says the same."""
    try:
        found = texts.decode(data)
        assert texts.decode(texts.encode(found).encode()) == found
    except ValueError as exc:
        demand(str(exc) in ("expected UTF-8", "nested too deeply", "expected JSON"))


def small_words(data: bytes) -> None:
    """Read times, numbers, texts, addresses and content types."""
    text = data.decode("utf-8", "surrogatepass" if data[:1] == b"\xed" else "replace")
    at = texts.read_time(text)
    assert at is None or at.tzinfo is not None
    texts.storable(text).encode()
    assert clean(text).isprintable()
    network_of(text)
    try:
        demand_json(text)
    except NotJson:
        return


# --- signatures -----------------------------------------------------------------


def parts_of(data: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Take headers, one a line, and a body behind an empty line."""
    head, _, body = data.partition(b"\n\n")
    pairs = [line.partition(b":") for line in head.split(b"\n") if line]
    return lowered((name.lower(), value) for name, _, value in pairs), body


def prove(data: bytes, *, forge: bool) -> None:
    """Look at a signature of any scheme; one that we made is right, another is not."""
    scheme = SCHEMES[data[0] % len(SCHEMES)] if data else SCHEMES[0]
    headers, body = parts_of(data[1:])
    contract = CONTRACT.model_copy(update={"signature_scheme": scheme})
    secret = "5e" * 32 if "hex-secret" in scheme else SECRET
    if not forge:
        ours = signing.sign(body, secret, contract=contract, now=1e9, message_id="m-1")
        signing.verify(ours.items(), body, [secret], contract=contract, now=1e9 + 1)
        taken = {name.lower() for name in ours}
        headers = [pair for pair in headers if pair[0] not in taken]
        headers += [(name, value + "") for name, value in ours.items()]
        signing.verify(headers, body, ["ab" * 32, secret], contract=contract, now=1e9)
        return
    try:
        signing.verify(headers, body, [secret], contract=contract, now=1e9)
    except SignatureError as exc:
        demand(exc.reason in quarantine.UNPROVEN)
        return
    raise AssertionError("a forgery was taken for Amili's")


def detect(data: bytes) -> None:
    """Look for a scheme."""
    headers, body = parts_of(data)
    headers = headers[:6]
    assert not detecting.detect(headers, body, [SECRET], contract=CONTRACT)
    detecting.candidates(headers, contract=CONTRACT)


def any_secret(data: bytes) -> None:
    """Sign with whatever is called a secret."""
    scheme = SCHEMES[data[0] % len(SCHEMES)] if data else SCHEMES[0]
    contract = CONTRACT.model_copy(update={"signature_scheme": scheme})
    secret = data[1:].decode("utf-8", "replace")
    try:
        made = signing.sign(b"{}", secret, contract=contract, now=1e9, message_id="m-1")
    except ConfigError as exc:
        demand(len(secret) < 8 or secret not in str(exc))
        return
    signing.verify(made.items(), b"{}", [secret], contract=contract, now=1e9)


# --- what is kept, and what is handed over ---------------------------------------


def keep(data: bytes) -> None:
    """Pack a refused delivery and take it apart; pick the headers that are stored."""
    headers, body = parts_of(data)
    assert quarantine.unpack(quarantine.pack(headers, body)) == (headers, body)
    assert all(value.isprintable() for value in kept(dict(headers), kept_names(CONTRACT)).values())


def hand_over(data: bytes, *, kind: SubmissionKind) -> None:
    """Examine a body of the API; what is fit can be read, item by item."""
    report = examine_body(data, kind, RULES)
    if report.fit:
        assert sum(1 for _ in read_body(data, kind)) == report.count
        return
    assert report.problems
    try:
        for _ in read_body(data, kind):
            pass
    except SubmissionRefused:
        return


#: A new one goes to the end: inputs that are kept name their target by its number.
TARGETS: dict[str, Target] = {
    "event": read_event,
    "delivery": receive_delivery,
    "json": json_survives,
    "words": small_words,
    "forged": partial(prove, forge=True),
    "signed": partial(prove, forge=False),
    "detect": detect,
    "secret": any_secret,
    "kept": keep,
    **{str(kind): partial(hand_over, kind=kind) for kind in SubmissionKind},
}
NAMES = tuple(TARGETS)


def input_for(name: str, data: bytes) -> bytes:
    """Write an input that goes to this target."""
    return bytes([NAMES.index(name)]) + data


def run_one(data: bytes, most: float = CPU_SECONDS) -> None:
    """Give an input to its target. Raises whatever the target does, or TooMuchWork."""
    if not data:
        return
    name = NAMES[data[0] % len(NAMES)]
    began, before = time.process_time(), peak()
    TARGETS[name](data[1:])
    seconds, grown = time.process_time() - began, peak() - before
    if seconds > most * TIMES.get(name, 1) or grown > MEGABYTES:
        raise TooMuchWork(f"{name}: {len(data)} bytes, {seconds:.2f} s, {grown:.1f} MB")


def peak() -> float:
    """Tell the most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT
