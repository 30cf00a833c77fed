"""The names of signature schemes, and what each of them means. Pure.

Every scheme is [assumed]. A name is a form, and `+` how the secret is to be read when it is not
plain text:

    hmac-{sha256,sha512}-{hex,base64}     the header is the digest, perhaps after `sha256=`
    timestamped[-sha512][-base64]         the header is `t=<seconds>,v1=<digest>`
    standard-webhooks                     three headers; the secret is base64 or text
    +hex-secret, +base64-secret           the key is what the secret encodes
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

#: Simplest first: where several fit, this order decides which is named first.
Scheme = Literal[
    "hmac-sha256-hex",
    "hmac-sha512-hex",
    "hmac-sha256-base64",
    "hmac-sha512-base64",
    "timestamped",
    "timestamped-sha512",
    "timestamped-base64",
    "timestamped-sha512-base64",
    "standard-webhooks",
    "hmac-sha256-hex+hex-secret",
    "hmac-sha512-hex+hex-secret",
    "hmac-sha256-base64+hex-secret",
    "hmac-sha512-base64+hex-secret",
    "timestamped+hex-secret",
    "timestamped-sha512+hex-secret",
    "timestamped-base64+hex-secret",
    "timestamped-sha512-base64+hex-secret",
    "standard-webhooks+hex-secret",
    "hmac-sha256-hex+base64-secret",
    "hmac-sha512-hex+base64-secret",
    "hmac-sha256-base64+base64-secret",
    "hmac-sha512-base64+base64-secret",
    "timestamped+base64-secret",
    "timestamped-sha512+base64-secret",
    "timestamped-base64+base64-secret",
    "timestamped-sha512-base64+base64-secret",
]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

Form = Literal["plain", "timestamped", "standard"]
Secret = Literal["text", "hex", "base64", "base64-or-text"]
#: What stands after the `+`.
READINGS: dict[str, Secret] = {"": "text", "hex-secret": "hex", "base64-secret": "base64"}


class Recipe(NamedTuple):
    """How a delivery is signed: where the digest stands, of which kind, with which key."""

    form: Form
    algorithm: Literal["sha256", "sha512"]
    encoding: Literal["hex", "base64"]
    secret: Secret


def _recipe(scheme: str) -> Recipe:
    """Read a scheme's name."""
    said, _, kind = scheme.partition("+")
    words = said.split("-")
    read_as: Secret = READINGS[kind]
    if words[0] == "standard":
        return Recipe("standard", "sha256", "base64", read_as if kind else "base64-or-text")
    return Recipe(
        "plain" if words[0] == "hmac" else "timestamped",
        "sha512" if "sha512" in words else "sha256",
        "base64" if "base64" in words else "hex",
        read_as,
    )


RECIPES: dict[str, Recipe] = {scheme: _recipe(scheme) for scheme in SCHEMES}
