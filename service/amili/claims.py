"""What the headers of a delivery claim: which signatures, over what, signed when. Pure.

One reader for each form; a header that cannot be read raises SignatureError.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from service.amili.contract import Contract
from service.amili.schemes import Form, Recipe
from service.errors import SignatureError

Headers = Iterable[tuple[str, str]]
#: Bytes of the digest that each algorithm makes.
DIGEST_SIZES = {"sha256": 32, "sha512": 64}
#: More digits than any time of this age of the world.
TIME_DIGITS = 12
#: What may stand before a digest: `sha256=`, `hmac-sha256:`, `v1=` and the like.
PREFIXES = {
    "sha256": re.compile(r"(?:(?:hmac[-_]?)?sha-?256|v[01])[=:,]", re.IGNORECASE),
    "sha512": re.compile(r"(?:(?:hmac[-_]?)?sha-?512|v[01])[=:,]", re.IGNORECASE),
}
_FROM_URL = str.maketrans("-_", "+/")


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


def from_base64(text: str) -> bytes:
    """Decode base64, of the URL's alphabet too, with its padding or without; else ValueError."""
    return binascii.a2b_base64(text.translate(_FROM_URL) + "=" * (-len(text) % 4), strict_mode=True)


DECODERS: dict[str, Callable[[str], bytes]] = {"hex": binascii.unhexlify, "base64": from_base64}


def _digest(text: str, recipe: Recipe) -> bytes:
    try:
        digest = DECODERS[recipe.encoding](text)
    except ValueError:
        raise SignatureError("undecodable") from None
    if len(digest) != DIGEST_SIZES[recipe.algorithm]:
        raise SignatureError("undecodable")
    return digest


def _plain(headers: Headers, contract: Contract, recipe: Recipe) -> Claim:
    """Read a header that is the digest, with or without `sha256=` before it."""
    text = _one(headers, contract.signature_header)
    prefix = PREFIXES[recipe.algorithm].match(text)
    digest = _digest(text[prefix.end() :] if prefix else text, recipe)
    return Claim(recipe.algorithm, (digest,))


def _timestamped(headers: Headers, contract: Contract, recipe: Recipe) -> Claim:
    """Read `t=1700000000,v1=<digest>`; several v1 are alternatives, other names are ignored."""
    times: list[str] = []
    signatures: list[bytes] = []
    for part in _one(headers, contract.signature_header).split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            times.append(value)
        elif name == "v1":
            signatures.append(_digest(value, recipe))
    if len(times) != 1 or not signatures:
        raise SignatureError("undecodable")
    return Claim(recipe.algorithm, tuple(signatures), f"{times[0]}.".encode(), _time(times[0]))


def _standard(headers: Headers, contract: Contract, recipe: Recipe) -> Claim:
    """Read the three headers of Standard Webhooks; several `v1,<base64>` are alternatives.

    https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
    """
    kept = tuple(headers)
    message_id = _one(kept, contract.standard_id_header)
    at = _one(kept, contract.standard_timestamp_header)
    signatures = [
        _digest(part.removeprefix("v1,"), recipe)
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


READERS: dict[Form, Callable[[Headers, Contract, Recipe], Claim]] = {
    "plain": _plain,
    "timestamped": _timestamped,
    "standard": _standard,
}
