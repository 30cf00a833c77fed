"""What the headers of a delivery claim: which signatures, over what, signed when. Pure.

One reader for each scheme; a header that cannot be read raises SignatureError.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable, Iterable
from typing import NamedTuple

from service.amili.contract import Contract
from service.errors import SignatureError

Headers = Iterable[tuple[str, str]]
#: Bytes of the digest that each algorithm makes.
DIGEST_SIZES = {"sha256": 32, "sha512": 64}
#: More digits than any time of this age of the world.
TIME_DIGITS = 12


class Claim(NamedTuple):
    """What the headers say: these signatures, over `prefix` and the raw body."""

    algorithm: str
    signatures: tuple[bytes, ...]
    prefix: bytes = b""
    signed_at: int | None = None


def _one(headers: Headers, name: str) -> str:
    """Return the only value of a header; names are compared without case."""
    wanted = name.lower()
    found: str | None = None
    for key, value in headers:
        if key.lower() == wanted:
            if found is not None:
                raise SignatureError("ambiguous")
            found = value
    if found is None:
        raise SignatureError("no_header")
    if not found.isascii():
        raise SignatureError("undecodable")
    return found.strip()


def _digest(text: str, algorithm: str, decode: Callable[[str], bytes]) -> bytes:
    try:
        digest = decode(text)
    except ValueError:
        raise SignatureError("undecodable") from None
    if len(digest) != DIGEST_SIZES[algorithm]:
        raise SignatureError("undecodable")
    return digest


def from_base64(text: str) -> bytes:
    """Decode strict base64; ValueError when it is none."""
    return binascii.a2b_base64(text, strict_mode=True)


def _plain(algorithm: str, decode: Callable[[str], bytes]) -> Callable[[Headers, Contract], Claim]:
    """Make the reader of a header that is the digest, with or without `sha256=` before it."""

    def read(headers: Headers, contract: Contract) -> Claim:
        text = _one(headers, contract.signature_header).removeprefix(f"{algorithm}=")
        return Claim(algorithm, (_digest(text, algorithm, decode),))

    return read


def _timestamped(headers: Headers, contract: Contract) -> Claim:
    """Read `t=1700000000,v1=<hex>`; several v1 are alternatives, other names are ignored."""
    times: list[str] = []
    signatures: list[bytes] = []
    for part in _one(headers, contract.signature_header).split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            times.append(value)
        elif name == "v1":
            signatures.append(_digest(value, "sha256", binascii.unhexlify))
    if len(times) != 1 or not signatures:
        raise SignatureError("undecodable")
    return Claim("sha256", tuple(signatures), f"{times[0]}.".encode(), _time(times[0]))


def _standard(headers: Headers, contract: Contract) -> Claim:
    """Read the three headers of Standard Webhooks; several `v1,<base64>` are alternatives.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    kept = tuple(headers)
    message_id = _one(kept, contract.standard_id_header)
    at = _one(kept, contract.standard_timestamp_header)
    signatures = [
        _digest(part.removeprefix("v1,"), "sha256", from_base64)
        for part in _one(kept, contract.standard_signature_header).split()
        if part.startswith("v1,")
    ]
    if not signatures:
        raise SignatureError("undecodable")
    return Claim("sha256", tuple(signatures), f"{message_id}.{at}.".encode(), _time(at))


def _time(text: str) -> int:
    if not text.isdigit() or len(text) > TIME_DIGITS:
        raise SignatureError("undecodable")
    return int(text)


READERS: dict[str, Callable[[Headers, Contract], Claim]] = {
    "hmac-sha256-hex": _plain("sha256", binascii.unhexlify),
    "hmac-sha512-hex": _plain("sha512", binascii.unhexlify),
    "hmac-sha256-base64": _plain("sha256", from_base64),
    "hmac-sha512-base64": _plain("sha512", from_base64),
    "timestamped": _timestamped,
    "standard-webhooks": _standard,
}
