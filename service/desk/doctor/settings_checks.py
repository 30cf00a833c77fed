"""Checks of what this installation was told: variables, secrets, credentials, the data folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from service.amili import signing
from service.amili.contract import Contract
from service.desk.doctor.findings import Check, sentence
from service.errors import ConfigError
from service.sealing import complaint
from service.settings import Settings


def check_settings(settings: Settings, contract: Contract, unknown: Sequence[str]) -> list[Check]:
    """Look at the settings; `unknown` holds a sentence for each variable that is nobody's."""
    return [
        variables(unknown),
        webhook_secrets(settings, contract),
        credentials(settings),
        api_tokens(settings),
        data_folder(settings.data_dir),
        data_key(settings),
    ]


def variables(unknown: Sequence[str]) -> Check:
    """Every `AMILI_…` variable is one that somebody reads."""
    if unknown:
        return Check("settings", "warning", " ".join(unknown), "Correct the name, or unset it.")
    return Check("settings", "ok", "Every AMILI_ variable is a setting.")


def webhook_secrets(settings: Settings, contract: Contract) -> Check:
    """There are webhook secrets, and the signature scheme can use each."""
    name, do = "webhook secrets", "Set AMILI_WEBHOOK_SECRETS to the secret that Amili signs with."
    secrets = [secret.get_secret_value() for secret in settings.webhook_secrets]
    if not secrets:
        return Check(name, "failed", "There is none: the door cannot start.", do)
    try:
        for secret in secrets:
            signing.sign(b"", secret, contract=contract, now=0, message_id="")
    except ConfigError as exc:
        return Check(name, "failed", sentence(str(exc)), "See `amili-events signature detect`.")
    count = "one is" if len(secrets) == 1 else f"{len(secrets)} are"
    return Check(name, "ok", f"{count.capitalize()} set, for {contract.signature_scheme}.")


def credentials(settings: Settings) -> Check:
    """There is a client id and a secret for Amili's API."""
    lacking = [
        name
        for name, value in (
            ("AMILI_CLIENT_ID", settings.client_id),
            ("AMILI_CLIENT_SECRET", settings.client_secret),
        )
        if not value
    ]
    if lacking:
        said = f"{' and '.join(lacking)} not set: workers cannot start."
        return Check("credentials", "failed", said, "Set both, as Amili gave them.")
    return Check("credentials", "ok", f"Client id and secret are set, for {settings.environment}.")


def api_tokens(settings: Settings) -> Check:
    """Somebody may use our own API."""
    if not settings.api_tokens:
        said = "There is none: nobody can use /api/v1."
        return Check("API tokens", "warning", said, "Set AMILI_API_TOKENS if somebody is to.")
    return Check("API tokens", "ok", f"{len(settings.api_tokens)} set.")


def data_folder(folder: Path) -> Check:
    """The data folder can be written, and only by its owner."""
    name = "data folder"
    if not folder.is_dir():
        said = f"{folder} is not there."
        return Check(name, "warning", said, "Door and workers make it when they start.")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        said = f"{folder} cannot be written by this user."
        return Check(name, "failed", said, "Give it to the user that runs door and workers.")
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        said = f"{folder} can be entered by others (mode {mode:o}): what it keeps is about people."
        return Check(name, "warning", said, f"chmod 700 {folder}")
    return Check(name, "ok", f"{folder} is its owner's alone.")


def data_key(settings: Settings) -> Check:
    """The key file, if any, holds keys and is its owner's."""
    name, said = "data key", complaint(settings)
    if settings.data_key_file is None:
        kept = "in plain files" if settings.capture_refused else "not kept"
        return Check(name, "ok", f"None is set: refused deliveries are {kept}.")
    if said is None:
        return Check(name, "ok", "Refused deliveries are kept sealed.")
    is_shut = "read by others" not in said
    return Check(name, "failed" if is_shut else "warning", said, "Correct AMILI_DATA_KEY_FILE.")
