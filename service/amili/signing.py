"""Signatures of deliveries: prove one, make one, find the scheme of one. Pure.

How Amili signs is [assumed]; `Contract.signature_scheme` names one of `SCHEMES`.
`claims` reads the headers by scheme; everything after that is the same for all.
"""

from __future__ import annotations

import hmac
from base64 import b64encode
from collections.abc import Sequence
from typing import get_args

from service.amili.claims import READERS, Headers, from_base64
from service.amili.contract import Contract, Scheme
from service.errors import ConfigError, SignatureError, StaleDelivery

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
WHSEC = "whsec_"


def verify(
    headers: Headers, body: bytes, secrets: Sequence[str], *, contract: Contract, now: float
) -> None:
    """Prove that the delivery is Amili's; raise SignatureError or StaleDelivery when not.

    Every secret is tried, in constant time, also after one has matched. The time
    window is looked at last, so that only an authentic delivery is ever "stale".
    """
    _check_secrets(secrets)
    scheme = contract.signature_scheme
    claim = READERS[scheme](headers, contract)
    message = claim.prefix + body
    matched = False
    for key in _keys(secrets, scheme):
        digest = hmac.digest(key, message, claim.algorithm)
        for signature in claim.signatures:
            matched |= hmac.compare_digest(digest, signature)
    if not matched:
        raise SignatureError("no_secret_matched")
    if claim.signed_at is not None:
        _check_age(now - claim.signed_at, contract.signature_tolerance_seconds)


def sign(
    body: bytes, secret: str, *, contract: Contract, now: float, message_id: str
) -> dict[str, str]:
    """Make the headers with which `verify` accepts this body."""
    scheme = contract.signature_scheme
    if not secret:
        raise ConfigError("a delivery cannot be signed with an empty secret")
    key = _keys((secret,), scheme)[0]
    at = str(int(now))
    if scheme == "standard-webhooks":
        digest = hmac.digest(key, f"{message_id}.{at}.".encode() + body, "sha256")
        return {
            contract.standard_id_header: message_id,
            contract.standard_timestamp_header: at,
            contract.standard_signature_header: f"v1,{b64encode(digest).decode()}",
        }
    if scheme == "timestamped":
        digest = hmac.digest(key, f"{at}.".encode() + body, "sha256")
        return {contract.signature_header: f"t={at},v1={digest.hex()}"}
    algorithm, encoding = scheme.removeprefix("hmac-").split("-")
    digest = hmac.digest(key, body, algorithm)
    text = digest.hex() if encoding == "hex" else b64encode(digest).decode()
    return {contract.signature_header: text}


def detect(
    headers: Headers, body: bytes, secrets: Sequence[str], *, contract: Contract
) -> tuple[Scheme, ...]:
    """Name the schemes that fit a captured delivery, whatever its age."""
    _check_secrets(secrets)
    kept = tuple(headers)
    fitting: list[Scheme] = []
    for scheme in SCHEMES:
        tried = contract.model_copy(update={"signature_scheme": scheme})
        try:
            verify(kept, body, secrets, contract=tried, now=0)
        except StaleDelivery:
            pass
        except (SignatureError, ConfigError):
            continue
        fitting.append(scheme)
    return tuple(fitting)


def _check_secrets(secrets: Sequence[str]) -> None:
    if not secrets or not all(secrets):
        raise ConfigError("AMILI_WEBHOOK_SECRETS: at least one secret, and none of them empty")


def _check_age(age: float, tolerance: float) -> None:
    if age > tolerance:
        raise StaleDelivery("too_old")
    if age < -tolerance:
        raise StaleDelivery("in_future")


def _keys(secrets: Sequence[str], scheme: Scheme) -> list[bytes]:
    """Turn secrets into keys: their UTF-8, but Standard Webhooks writes keys in base64.

    There a secret without `whsec_` may be either, so both readings are keys.
    """
    if scheme != "standard-webhooks":
        return [secret.encode() for secret in secrets]
    keys = []
    for secret in secrets:
        try:
            key = from_base64(secret.removeprefix(WHSEC))
        except ValueError:
            key = b""
        if key:
            keys.append(key)
        elif secret.startswith(WHSEC):
            raise ConfigError(f"AMILI_WEBHOOK_SECRETS: base64 must follow {WHSEC}")
        if not secret.startswith(WHSEC):
            keys.append(secret.encode())
    return keys
