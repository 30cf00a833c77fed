"""Inputs to begin with: small deliveries, headers and bodies, and large ones that cost the most."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from service.amili import signing
from service.amili.schemes import SCHEMES
from tests.doors import envelope
from tests.fuzz.targets import CONTRACT, NAMES, SECRET, input_for

#: Inputs that were worth keeping: each once led to a fault, or to a corner.
CORPUS = Path(__file__).parent / "corpus"
SIZE = 1024 * 1024

INVOICE = {
    "type": "PAYMENT_REMINDER",
    "uniqueSourceInvoiceId": "source-1",
    "invoiceNumber": "number-1",
    "originalInvoiceAmount": 4500,
    "currency": "NOK",
    "invoiceDate": "2026-01-01",
    "dueDate": "2026-01-15",
    "ocrReferenceNumber": "1234567897",
    "debtors": [{"type": "PRIVATE", "name": "Kari"}],
    "claims": [{"type": "PRINCIPAL", "remainingAmount": 4500}],
}
PAYMENT = {"invoiceId": "inv-1", "type": "DIRECT_PAYMENT", "amount": 10, "currency": "NOK"}
CORRECTION = {"invoiceId": "inv-1", "amount": 10, "currency": "NOK", "date": "2026-01-01"}


def kept() -> Iterator[tuple[str, bytes]]:
    """Give the inputs that are kept, by name."""
    for path in sorted(CORPUS.iterdir()):
        yield path.name, path.read_bytes()


def small() -> Iterator[bytes]:
    """Give inputs that each target reads to its end."""
    for members in ({}, {"eventType": None, "type": "BATCH_COMPLETED", "data": {"batchId": "b"}}):
        body = json.dumps(envelope(**members)).encode()
        for name in ("event", "delivery", "json"):
            yield input_for(name, b"CASE\n" + body if name != "json" else body)
    for number, scheme in enumerate(SCHEMES):
        contract = CONTRACT.model_copy(update={"signature_scheme": scheme})
        secret = "5e" * 32 if "hex-secret" in scheme else SECRET
        made = signing.sign(b"{}", secret, contract=contract, now=1e9, message_id="m-1")
        lines = "\n".join(f"{name}:{value}" for name, value in made.items()).encode()
        for name in ("forged", "signed"):
            yield input_for(name, bytes([number]) + lines + b"\n\n{ }")
        yield input_for("detect", lines + b"\n\n{ }")
        yield input_for("secret", bytes([number]) + secret.encode())
    for words in (b"2026-03-01T12:00:00+14:00", b"2001:db8::1%eth0", b"application/a+json; x=y"):
        yield input_for("words", words)
    yield input_for("kept", b"x-amili-event:CASE\nuser-agent:\xff\n\n{}")
    for name, item in zip(NAMES[-3:], (INVOICE, PAYMENT, CORRECTION), strict=True):
        yield input_for(name, json.dumps({name: [item]}).encode())
        yield input_for(name, json.dumps([item, item]).encode())


def large() -> Iterator[tuple[str, bytes]]:
    """Give inputs of a MiB that would cost much if any of the work were not linear."""
    shapes = {
        "lists": b"[" * SIZE,
        "lists and objects": b'[{"a":' * (SIZE // 6),
        "deep, whole": b'{"id":"a","type":"CASE","data":' + b"[" * 999 + b"]" * 999 + b"}",
        "many names": b"{" + b",".join(b'"%06d":1' % n for n in range(SIZE // 11)) + b"}",
        "one name": b"{" + b'"id":1,' * (SIZE // 7) + b'"id":"x","type":"CASE"}',
        "digits": b'{"n":' + b"9" * (SIZE - 6) + b"}",
        "decimals": b'{"n":0.' + b"9" * (SIZE - 8) + b"}",
        "exponent": b"[" + b"1e999999," * (SIZE // 9) + b"1]",
        "escapes": b'{"id":"' + b"\\ud83d\\u0000" * (SIZE // 12) + b'"}',
        "half characters": b'{"id":"a","type":"CASE","data":{"'
        + b"\\udfff" * (SIZE // 6)
        + b'":1}}',
        "open text": b'{"id":"' + b"a" * SIZE,
        "spaces": b" " * SIZE,
        "invoices": b'{"invoices":[' + b"{}," * (SIZE // 3) + b"{}]}",
        "objects with half names": b"{%b}"
        % b",".join(b'"\\ud800%05d":1' % n for n in range(SIZE // 15)),
        "commas": b"x-webhook-signature:t=1," + b"v1=," * (SIZE // 4) + b"\n\n",
        "equals": b"x-webhook-signature:" + b"sha256=" * (SIZE // 7) + b"\n\n",
        "base64": b"x-webhook-signature:" + b"A" * SIZE + b"\n\n",
        "signatures": b"x-webhook-signature:t=1," + b"v1=" + b"0" * 64 + b"\n\n" + b" " * SIZE,
        "headers": b"".join(b"x-%06d:v1,\n" % n for n in range(SIZE // 13)) + b"\n\n",
        "colons": b":" * SIZE,
        "zeros": b"\0" * SIZE,
    }
    for name in NAMES:
        for shape, data in shapes.items():
            yield f"{name}: {shape}", input_for(name, data[: SIZE + 64])
