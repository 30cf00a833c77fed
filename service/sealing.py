"""Seals what is about people before it is kept, with the keys of `AMILI_DATA_KEY_FILE`.

Fernet of the package `cryptography`, and not bare AES-GCM: there is no nonce of ours to
repeat, whatever was changed does not open, and it tries several keys, which is all that a
rotation needs. The file has one key a line, 32 bytes in base64; the first seals, all open.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from service.errors import ConfigError, DataKeyLacking
from service.settings import Settings

VARIABLE = "AMILI_DATA_KEY_FILE"
HOW = "a key is 32 bytes in base64: openssl rand -base64 32"
KEY_BYTES = 32
OTHERS = 0o007


class Sealer:
    """Seals and opens bytes, and names things so that only who has the key can guess them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        try:
            # Only who has a key pays for OpenSSL: a door without one stays as small as it was.
            fernet = import_module("cryptography.fernet")
        except ModuleNotFoundError:
            raise ConfigError(
                f"{VARIABLE} needs the package `cryptography`: install amili-events anew"
            ) from None
        self._keys = fernet.MultiFernet([fernet.Fernet(urlsafe_b64encode(key)) for key in keys])
        self._wrong = fernet.InvalidToken
        self._naming = hmac.digest(keys[0], b"names", "sha256")

    def seal(self, content: bytes) -> bytes:
        """Seal bytes with the first key."""
        return urlsafe_b64decode(self._keys.encrypt(content))

    def open(self, sealed: bytes) -> bytes:
        """Open what any of the keys sealed. Raises DataKeyLacking."""
        try:
            opened: bytes = self._keys.decrypt(urlsafe_b64encode(sealed))
        except self._wrong:
            raise DataKeyLacking from None
        return opened

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
        text = line.strip()
        if text and not text.startswith("#"):
            keys.append(read_key(text, f"{VARIABLE}: {path}, line {number}"))
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
