"""Seals what is about people before it is kept, with the keys of `AMILI_DATA_KEY_FILE`.

Fernet of the package `cryptography`, and not bare AES-GCM: there is no nonce of ours to
repeat, whatever was changed does not open, and it tries several keys, which is all that a
rotation needs. The file has one key a line, or several with commas, each 32 bytes in base64; the
first seals, all open.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from service.errors import ConfigError, DataKeyLacking
from service.settings import Settings

VARIABLE = "AMILI_DATA_KEY_FILE"
HOW = "a key is 32 bytes in base64: openssl rand -base64 32"
KEY_BYTES = 32
OTHERS = 0o007


class Sealer:
    """Seals and opens bytes, and names things so that only who has the key can guess them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in keys])
        self._naming = hmac.digest(keys[0], b"names", "sha256")

    def seal(self, content: bytes) -> bytes:
        """Seal bytes with the first key."""
        return urlsafe_b64decode(self._keys.encrypt(content))

    def open(self, sealed: bytes) -> bytes:
        """Open what any of the keys sealed. Raises DataKeyLacking."""
        try:
            return self._keys.decrypt(urlsafe_b64encode(sealed))
        except InvalidToken:
            raise DataKeyLacking from None

    def name(self, content: bytes) -> bytes:
        """Return 32 bytes that are the same for the same content, and tell nothing about it."""
        return hmac.digest(self._naming, content, "sha256")


def sealer_of(settings: Settings) -> Sealer | None:
    """Make the sealer of these settings; None without a key file. Raises ConfigError."""
    path = settings.data_key_file
    return None if path is None else Sealer(read_keys(path))


def read_keys(path: Path) -> list[bytes]:
    """Read the keys, the one that seals first; `#` begins a comment line. Raises ConfigError."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError as exc:
        raise ConfigError(f"{VARIABLE}: {path} cannot be read: {exc.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{VARIABLE}: {path} is no text; {HOW}") from None
    keys = []
    for number, line in enumerate(lines, start=1):
        if not line.lstrip().startswith("#"):
            where = f"{VARIABLE}: {path}, line {number}"
            keys += [read_key(text, where) for each in line.split(",") if (text := each.strip())]
    if not keys:
        raise ConfigError(f"{VARIABLE}: {path} has no key in it; {HOW}")
    return keys


def read_key(text: str, where: str) -> bytes:
    """Read one key, in either alphabet of base64. Raises ConfigError, which does not repeat it."""
    try:
        key = b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{where}: {HOW}")
    return key


def complaint(settings: Settings) -> str | None:
    """Say what is wrong with the key file, in one sentence; None: nothing is."""
    path = settings.data_key_file
    if path is None:
        return None
    try:
        Sealer(read_keys(path))
    except ConfigError as exc:
        return f"{exc}."
    if path.stat().st_mode & OTHERS:
        return f"{VARIABLE}: {path} can be read by others: chmod o= {path}."
    return None
