"""Find out how a captured delivery is signed: every scheme, every header, every secret. Pure.

The age of a delivery is ignored: what was captured is old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from service.amili.claims import READERS, Headers
from service.amili.contract import PREFIX, Contract
from service.amili.schemes import RECIPES, SCHEMES, Scheme
from service.amili.signing import verify
from service.errors import ConfigError, SignatureError, StaleDelivery

#: What an editor, a shell or a proxy does to a body on its way into a file.
CHANGES: Mapping[str, tuple[bytes, bytes]] = {
    "without the line break at its end": (b"\n", b""),
    "without the line break (CR, LF) at its end": (b"\r\n", b""),
    "with a line break at its end": (b"", b"\n"),
}


@dataclass(frozen=True, slots=True)
class Fit:
    """A scheme that fits, and the headers under which it does."""

    scheme: Scheme
    #: Fields of the contract whose header is another one than the contract says.
    headers: Mapping[str, str] = field(default_factory=dict)

    def settings(self) -> list[str]:
        """Write what is to be set, one `AMILI_…=…` each, the scheme first."""
        named = {"signature_scheme": self.scheme, **self.headers}
        return [f"{PREFIX}{name.upper()}={value}" for name, value in named.items()]


def detect(
    headers: Headers, body: bytes, secrets: Sequence[str], *, contract: Contract
) -> tuple[Fit, ...]:
    """Name the schemes that fit, the simplest first; of each the first header that fits."""
    kept = tuple(headers)
    found = (_fit(scheme, kept, body, secrets, contract) for scheme in SCHEMES)
    return tuple(fit for fit in found if fit is not None)


def candidates(headers: Headers, *, contract: Contract) -> list[str]:
    """Name the headers that hold something of a signature's form, whatever made it."""
    kept = tuple(headers)
    found: dict[str, None] = {}
    for scheme in SCHEMES:
        for tried in _contracts(scheme, kept, contract):
            if _is_readable(kept, tried):
                found[_signature_header(tried)] = None
    return list(found)


def change_that_fits(
    headers: Headers, body: bytes, secrets: Sequence[str], *, contract: Contract
) -> str | None:
    """Say with which small change the body would fit; None when there is none."""
    kept = tuple(headers)
    for words, (gone, added) in CHANGES.items():
        changed = body.removesuffix(gone) + added
        if changed != body and detect(kept, changed, secrets, contract=contract):
            return words
    return None


def _fit(
    scheme: Scheme,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    secrets: Sequence[str],
    contract: Contract,
) -> Fit | None:
    for tried in _contracts(scheme, headers, contract):
        if any(_matches(headers, body, secret, tried) for secret in secrets):
            changed = {
                name: getattr(tried, name)
                for name in _header_fields(scheme)
                if getattr(tried, name).lower() != getattr(contract, name).lower()
            }
            return Fit(scheme, changed)
    return None


def _matches(
    headers: Sequence[tuple[str, str]], body: bytes, secret: str, contract: Contract
) -> bool:
    try:
        verify(headers, body, [secret], contract=contract, now=0)
    except StaleDelivery:
        return True
    except (SignatureError, ConfigError):  # not this one; or not a secret of this form
        return False
    return True


def _is_readable(headers: Sequence[tuple[str, str]], contract: Contract) -> bool:
    recipe = RECIPES[contract.signature_scheme]
    try:
        READERS[recipe.form](headers, contract, recipe)
    except SignatureError:
        return False
    return True


def _header_fields(scheme: Scheme) -> tuple[str, ...]:
    if RECIPES[scheme].form == "standard":
        return ("standard_signature_header", "standard_id_header", "standard_timestamp_header")
    return ("signature_header",)


def _signature_header(contract: Contract) -> str:
    name: str = getattr(contract, _header_fields(contract.signature_scheme)[0])
    return name


def _contracts(
    scheme: Scheme, headers: Sequence[tuple[str, str]], contract: Contract
) -> Iterator[Contract]:
    """Make the contracts to try: with the headers that it says, then with those that came."""
    wanted = contract.model_copy(update={"signature_scheme": scheme})
    yield wanted
    names = list(dict.fromkeys(name for name, _ in headers))
    if RECIPES[scheme].form == "standard":
        changes: Iterable[dict[str, str]] = _triples(headers, names)
    else:
        changes = ({"signature_header": name} for name in names)
    yield from (wanted.model_copy(update=change) for change in changes)


def _triples(headers: Sequence[tuple[str, str]], names: Sequence[str]) -> Iterator[dict[str, str]]:
    """Combine headers for Standard Webhooks: names that begin alike belong together."""
    signatures = [name for name, value in headers if "v1," in value]
    times = [name for name, value in headers if value.strip().isdigit()]
    for signature in signatures:
        near = sorted(names, key=lambda name: -alike(name, signature))
        for at in sorted(times, key=near.index):
            for message_id in near:
                if message_id not in (signature, at):
                    yield {
                        "standard_signature_header": signature,
                        "standard_id_header": message_id,
                        "standard_timestamp_header": at,
                    }


def alike(one: str, other: str) -> int:
    """Count the letters with which two names begin alike."""
    pairs = zip(one.lower(), other.lower(), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
