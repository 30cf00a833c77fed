"""How this process runs: every `AMILI_…` setting that is ours to choose.

What is only assumed about Amili (paths, signature, read lag) is not here but
in `service.amili.contract`, read from the same environment.
Values come from the environment, then from the file that `AMILI_SETTINGS_FILE` names
(dotenv lines: the same names), then from files in `AMILI_SECRETS_DIR` (one file per
setting, named like the variable in lower case).
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from dotenv.parser import Binding, parse_stream
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.errors import ConfigError

PREFIX = "AMILI_"
SECRETS_DIR = f"{PREFIX}SECRETS_DIR"
SETTINGS_FILE = f"{PREFIX}SETTINGS_FILE"
#: UTF-8; a byte order mark is accepted.
ENCODING = "utf-8-sig"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def http_url(value: str | None) -> str | None:
    """Check a base URL: https, or plain http on loopback; return it without a slash at its end."""
    if not value:
        return None
    url = urlsplit(value)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("must be an http(s) URL")
    if url.scheme == "http" and url.hostname not in LOOPBACK:
        raise ValueError("plain http is allowed for loopback only; use https")
    return value.rstrip("/")


Severity = Literal["off", "warning", "error"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
#: The rules for what is handed over. A wrong number or amount stops the whole file: nothing of
#: it is sent. What may well be meant so is only told.
CHECKS: Mapping[str, Severity] = {
    "kid": "error",
    "organization_number": "error",
    "identity_number": "error",
    "birth_date": "warning",
    "debtor_name": "error",
    "debtor_number": "warning",
    "currency": "error",
    "decimals": "error",
    "amount": "error",
    "due_date": "error",
    "principal": "error",
    "claims_total": "warning",
    "spelling": "warning",
    "twice": "warning",
    "known_invoice": "warning",
}


def severities(said: str) -> dict[str, str]:
    """Read `kid=warning,claims_total=off`. Raises ValueError, which names what is possible."""
    words = [word.partition("=") for word in said.split(",") if word.strip()]
    found = {name.strip(): severity.strip() for name, _, severity in words}
    if unknown := sorted(found.keys() - CHECKS.keys()):
        raise ValueError(f"there is no rule {unknown[0]!r}; the rules are {', '.join(CHECKS)}")
    if wrong := [name for name, severity in found.items() if severity not in SEVERITIES]:
        raise ValueError(f"write {wrong[0]}= and one of {', '.join(SEVERITIES)}")
    return found


class Settings(BaseSettings):
    """The settings of one process; immutable once read."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True)

    environment: Literal["sandbox", "staging", "production"] = "sandbox"
    #: Base URL of the API and the token endpoint; unset: the environment's own (contract §1).
    api_base_url: str | None = None
    token_url: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    #: Organizations whose events are ours; empty: all.
    organization_ids: Annotated[tuple[str, ...], NoDecode] = ()
    #: All are active at once, so that a secret is rotated without downtime.
    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()

    redis_url: str = Field(default="redis://127.0.0.1:6379/0", repr=False)  # may hold a password
    #: Unset: SQLite in the data folder.
    database_url: str | None = None
    data_dir: Path = Path("amili-data")
    #: `disk`: 2xx only when the write is on disk; `memory`: Redis may be `everysec`.
    ack_durability: Literal["disk", "memory"] = "disk"

    api_tokens: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    #: Keep the last N refused deliveries in the data folder, unsealed; 0 keeps none.
    capture_refused: int = Field(default=0, ge=0, le=1000)
    #: Keys that seal what is about people, one a line, 32 bytes in base64: the first seals,
    #: all open. Refused deliveries are kept sealed in SQL then, and none in the data folder.
    data_key_file: Path | None = None
    #: Refused deliveries kept in SQL, at the most; 0 keeps none.
    quarantine_entries: int = Field(default=1000, ge=0, le=100_000)
    #: MiB that all of them take, sealed.
    quarantine_megabytes: int = Field(default=64, ge=1, le=4096)
    #: Refused deliveries of one source that one door process keeps in a minute.
    quarantine_per_minute: int = Field(default=60, ge=1, le=10_000)
    tls_cert_file: Path | None = None
    tls_key_file: Path | None = None
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    #: Processes of the door.
    door_processes: int = Field(default=1, ge=1, le=64)
    max_body_bytes: int = Field(default=1024 * 1024, ge=1024, le=64 * 1024 * 1024)
    #: Seconds within which a body must have arrived.
    body_timeout_seconds: float = Field(default=10, gt=0, le=120)
    #: Refused signatures allowed for each source and minute, before 429.
    refused_per_minute: int = Field(default=120, ge=1)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    #: A worker's metrics and /livez; 0 is off.
    metrics_port: int = Field(default=0, ge=0, le=65535)

    #: Calls to Amili that one worker process has under way at once.
    api_concurrency: int = Field(default=32, ge=1, le=256)
    #: Calls to Amili a second, of all processes together; 0: no limit of ours. Amili's own is
    #: not documented; ours shrinks when Amili answers 429, whatever it is.
    api_rate: float = Field(default=0, ge=0, le=10_000, allow_inf_nan=False)
    #: Seconds for one try of a call to Amili. Two of them and a round of work stay below the
    #: time-out of a job (60).
    api_timeout_seconds: float = Field(default=10, gt=0, le=15)
    lease_seconds: float = Field(default=10, gt=0)
    lease_renew_seconds: float = Field(default=3, gt=0)
    #: Invoices, payments or corrections in one call to Amili.
    submit_chunk_items: int = Field(default=500, ge=1, le=10_000)
    #: Tries that count before an entity's events become dead letters.
    max_attempts: int = Field(default=8, ge=1)
    #: Days after which settled events leave the history; 0: never. That they were stored is
    #: remembered for ever: a duplicate stays a duplicate.
    events_kept_days: int = Field(default=0, ge=0, le=36_500)

    #: Policies, each with its switch.
    policy_hold_on_failed_batch: bool = True
    policy_hold_on_reported_payment: bool = True
    policy_release_on_closed: bool = True
    #: What follows when somebody resumes at Amili a case that has a hold here:
    #: `enforce` pauses it again (once for each contradiction), `respect` only shows it.
    contradiction: Literal["enforce", "respect"] = "enforce"

    #: What a broken rule of a file or body means, `kid=warning,claims_total=off`; the rest of
    #: the rules is as in CHECKS.
    checks: Annotated[dict[str, Severity], NoDecode] = Field(default_factory=lambda: {**CHECKS})

    @field_validator("organization_ids", "webhook_secrets", "api_tokens", mode="before")
    @classmethod
    def _comma_separated(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("data_key_file", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return value or None  # else an empty variable would name the present folder

    @field_validator("api_base_url", "token_url")
    @classmethod
    def _plain_http_on_loopback_only(cls, value: str | None) -> str | None:
        return http_url(value)

    @field_validator("checks", mode="before")
    @classmethod
    def _over_defaults(cls, value: Any) -> Any:
        return {**CHECKS, **(severities(value) if isinstance(value, str) else value)}

    @model_validator(mode="after")
    def _fits_together(self) -> Settings:
        if 3 * self.lease_renew_seconds > self.lease_seconds:
            raise ValueError(
                f"{PREFIX}LEASE_SECONDS must be at least three times {PREFIX}LEASE_RENEW_SECONDS"
            )
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError(f"{PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE go together")
        return self

    @property
    def sql_url(self) -> str:
        """The database's SQLAlchemy URL, with the driver that this house uses."""
        url = self.database_url or f"sqlite:///{self.data_dir / 'amili.db'}"
        for plain in ("postgresql://", "postgres://"):
            if url.startswith(plain):
                return "postgresql+psycopg://" + url.removeprefix(plain)
        return url


def keep_private() -> None:
    """Let only the owner read what this process writes: rows and bodies are about people."""
    os.umask(0o077)


def load(**given: Any) -> Settings:
    """Read the settings from the environment and the settings file; `given` values win.

    Raises ConfigError with one line for each setting that is wrong.
    """
    try:
        return Settings(**sources(), **given)
    except ValidationError as exc:
        raise ConfigError("\n".join(explain(error) for error in exc.errors())) from exc


def sources() -> dict[str, Any]:
    """Say where values come from, as pydantic-settings takes it: the environment goes before.

    Raises ConfigError for a settings file that is missing, or has a line that cannot be read.
    """
    in_file()
    return {
        "_env_file": os.environ.get(SETTINGS_FILE) or None,
        "_env_file_encoding": ENCODING,
        "_secrets_dir": os.environ.get(SECRETS_DIR),
    }


def in_file() -> set[str]:
    """Name what the settings file sets, in upper case; nothing when there is no file."""
    path = os.environ.get(SETTINGS_FILE)
    if not path:
        return set()
    try:
        with Path(path).open(encoding=ENCODING) as file:
            lines = list(parse_stream(file))
    except (OSError, UnicodeError) as exc:
        words = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8"
        raise ConfigError(f"{SETTINGS_FILE}: {path} cannot be read: {words}") from None
    names: dict[str, int] = {}
    for line in lines:
        text = line.original.string
        number = line.original.line + text[: len(text) - len(text.lstrip())].count("\n")
        name = (line.key or "").upper()
        if words := _wrong(line, names.get(name)):
            raise ConfigError(f"{SETTINGS_FILE}: {path}, line {number}: {words}")
        if name:
            names[name] = number
    return set(names)


def _wrong(line: Binding, before: int | None) -> str | None:
    """Say what is wrong with a line of the settings file, never what it contains."""
    if line.error or (line.key and line.value is None):
        return f"write NAME=value, for example {PREFIX}PORT=8080, or # before a comment"
    if before is not None:
        return f"line {before} sets the same variable; remove one of the two"
    if "${" in (line.value or ""):
        return "${…} is not expanded here; write the value itself, or set the variable outside"
    return None


def explain(error: Any) -> str:
    """Say which variable is wrong and why, without its value: it may be a secret."""
    name = "".join(str(part) for part in error["loc"][:1]).upper()
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{name}: {message}" if name else message


def strangers(known: set[str]) -> dict[str, str]:
    """Name the `AMILI_…` variables that are nobody's, each with its nearest known name or ''.

    Those of the settings file, too. Raises ConfigError when it cannot be read.
    """
    names = {f"{PREFIX}{name.upper()}" for name in known} | {SECRETS_DIR, SETTINGS_FILE}
    found = {}
    for name in sorted({*os.environ, *in_file()}):
        if name.startswith(PREFIX) and name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.8)
            found[name] = near[0] if near else ""
    return found
