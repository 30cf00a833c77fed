"""Signatures of deliveries: prove one, make one. Pure.

How Amili signs is [assumed]; `Contract.signature_scheme` names one of `SCHEMES`. `claims`
reads the headers by the scheme's form; everything after that is the same for all.
`detecting` finds the scheme of a delivery.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Sequence

from service.amili.claims import DECODERS, READERS, Headers
from service.amili.contract import Contract
from service.amili.schemes import RECIPES, SCHEMES, Scheme
from service.errors import ConfigError, SignatureError, StaleDelivery

__all__ = ["SCHEMES", "Verifier", "sign", "verify"]

WHSEC = "whsec_"


class Verifier:
    """Proves deliveries by the same secrets and contract; what both decide is prepared once.

    Raises ConfigError for no secret, an empty one, or one that the scheme cannot use.
    """

    def __init__(self, secrets: Sequence[str], contract: Contract) -> None:
        _check_secrets(secrets)
        self._contract = contract
        self._recipe = RECIPES[contract.signature_scheme]
        self._reader = READERS[self._recipe.form]
        self._keys = _keys(secrets, contract.signature_scheme)

    def verify(self, headers: Headers, body: bytes, now: float) -> None:
        """Prove that the delivery is Amili's; raise SignatureError or StaleDelivery when not.

        Every secret is tried, in constant time, also after one has matched. The time
        window is looked at last, so that only an authentic delivery is ever "stale".
        """
        claim = self._reader(headers, self._contract, self._recipe)
        message = claim.prefix + body
        matched = False
        for key in self._keys:
            digest = hmac.digest(key, message, claim.algorithm)
            for signature in claim.signatures:
                matched |= hmac.compare_digest(digest, signature)
        if not matched:
            raise SignatureError("no_secret_matched")
        if claim.signed_at is not None:
            _check_age(now - claim.signed_at, self._contract.signature_tolerance_seconds)


def verify(
    headers: Headers, body: bytes, secrets: Sequence[str], *, contract: Contract, now: float
) -> None:
    """Prove one delivery, as `Verifier.verify` does."""
    Verifier(secrets, contract).verify(headers, body, now)


def sign(
    body: bytes, secret: str, *, contract: Contract, now: float, message_id: str
) -> dict[str, str]:
    """Make the headers with which `verify` accepts this body.

    Raises ConfigError for a secret that the scheme cannot use.
    """
    scheme = contract.signature_scheme
    recipe = RECIPES[scheme]
    if not secret:
        raise ConfigError("a delivery cannot be signed with an empty secret")
    key = _keys((secret,), scheme)[0]
    at = str(int(now))
    prefix = {"plain": "", "timestamped": f"{at}.", "standard": f"{message_id}.{at}."}[recipe.form]
    digest = hmac.digest(key, prefix.encode() + body, recipe.algorithm)
    text = digest.hex() if recipe.encoding == "hex" else b64encode(digest).decode()
    if recipe.form == "standard":
        return {
            contract.standard_id_header: message_id,
            contract.standard_timestamp_header: at,
            contract.standard_signature_header: f"v1,{text}",
        }
    return {contract.signature_header: text if not prefix else f"t={at},v1={text}"}


def _check_secrets(secrets: Sequence[str]) -> None:
    if not secrets or not all(secrets):
        raise ConfigError("AMILI_WEBHOOK_SECRETS: at least one secret, and none of them empty")


def _check_age(age: float, tolerance: float) -> None:
    if age > tolerance:
        raise StaleDelivery("too_old")
    if age < -tolerance:
        raise StaleDelivery("in_future")


def _keys(secrets: Sequence[str], scheme: Scheme) -> list[bytes]:
    """Turn secrets into keys, as the scheme reads them.

    Standard Webhooks writes keys in base64; there a secret without `whsec_` may be either,
    so both readings are keys. Raises ConfigError for a secret that is not of its form.
    """
    reading = RECIPES[scheme].secret
    if reading == "text":
        return [secret.encode() for secret in secrets]
    if reading == "base64-or-text":
        return [key for secret in secrets for key in _either(secret)]
    return [_decoded(secret, reading, scheme) for secret in secrets]


def _decoded(secret: str, reading: str, scheme: Scheme) -> bytes:
    try:
        key = DECODERS[reading](secret.removeprefix(WHSEC) if reading == "base64" else secret)
    except ValueError:
        key = b""
    if not key:
        raise ConfigError(f"AMILI_WEBHOOK_SECRETS: {scheme} needs secrets that are {reading}")
    return key


def _either(secret: str) -> list[bytes]:
    if secret.startswith(WHSEC):
        return [_decoded(secret, "base64", "standard-webhooks")]
    try:
        key = DECODERS["base64"](secret)
    except ValueError:
        key = b""
    return [key, secret.encode()] if key else [secret.encode()]
