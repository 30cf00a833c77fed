"""`signature detect`: how a captured delivery is signed, and what to set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.amili.contract import HEADER_NAME, Contract
from service.amili.detecting import candidates, change_that_fits, detect
from service.desk.quarantine import Quarantined
from service.errors import ConfigError
from service.intake.captured import newest_unproven
from service.sealing import sealer_of
from service.settings import Settings
from service.store.database import Database

Headers = list[tuple[str, str]]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    signature = typer.Typer(help="How webhooks are signed.", no_args_is_help=True)
    signature.command("detect")(find_scheme)
    signature.callback()(nothing)  # so that `detect` stays a word of its own
    app.add_typer(signature, name="signature")


def nothing() -> None:
    """How webhooks are signed."""


def find_scheme(
    headers: Annotated[
        Path | None, typer.Option(help="A file with the header lines as received, `Name: value`.")
    ] = None,
    body: Annotated[Path | None, typer.Option(help="A file with the raw body.")] = None,
    secret_file: Annotated[
        Path | None,
        typer.Option(help="A file with one secret a line; else AMILI_WEBHOOK_SECRETS."),
    ] = None,
    last: Annotated[
        bool, typer.Option("--last", help="Take the newest refused delivery that was kept.")
    ] = False,
) -> None:
    """Name the signature scheme that fits a captured delivery, as the lines to set.

    Its age is ignored. Exit code 1 and «none fits» when no scheme, header and secret fit.
    """
    if last == (headers is not None or body is not None) or (headers is None) != (body is None):
        raise ConfigError("signature detect takes --last, or --headers FILE and --body FILE")
    lines, raw = delivery(headers, body)
    contract, secrets = amili_contract.load(), secrets_of(secret_file)
    fits = detect(lines, raw, secrets, contract=contract)
    if not fits:
        typer.echo("none fits")
        for cause in causes(lines, raw, secrets, contract):
            typer.echo(f"- {cause}")
        raise typer.Exit(1)
    typer.echo("\n\n".join("\n".join(fit.settings()) for fit in fits))
    if len(fits) > 1:
        typer.echo("Several fit, the simplest first: choose one.", err=True)


def delivery(headers: Path | None, body: Path | None) -> tuple[Headers, bytes]:
    """Read the delivery from these files, or the newest refused one."""
    if headers is None or body is None:
        return last_refused(our_settings.load())
    return header_lines(headers.read_bytes()), body.read_bytes()


def last_refused(settings: Settings) -> tuple[Headers, bytes]:
    """Open the newest delivery refused for its signature: of the quarantine, else of the files.

    Raises ConfigError, with what to do, when none was kept.
    """
    if settings.data_key_file is not None:
        database = Database(settings.sql_url, pool=1)
        try:
            sealed = Quarantined(database, sealer_of(settings)).newest_unproven()
        finally:
            database.close()
        if sealed is not None:
            typer.echo(f"Refused delivery {sealed.quarantine_id}", err=True)
            return sealed.headers, sealed.body
    captured = newest_unproven(settings.data_dir)
    typer.echo(f"Refused delivery {captured.name}", err=True)
    return header_lines(captured.headers), captured.body


def header_lines(raw: bytes) -> Headers:
    """Read `Name: value` lines; others, such as the request line, are passed over.

    Raises ConfigError when there is none.
    """
    text = raw.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    pairs = (line.partition(":") for line in text.split("\n"))
    found = [
        (name.strip(), value.strip())
        for name, colon, value in pairs
        if colon and re.match(HEADER_NAME, name.strip())
    ]
    if not found:
        raise ConfigError("--headers: no line of the form `Name: value` in this file")
    return found


def secrets_of(path: Path | None) -> list[str]:
    """Read the secrets, one a line; without a file, those of the settings."""
    if path is None:
        known = our_settings.load().webhook_secrets
        if not known:
            raise ConfigError("AMILI_WEBHOOK_SECRETS is empty: name the secret by --secret-file")
        return [secret.get_secret_value() for secret in known]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ConfigError(
            "--secret-file: expected UTF-8 text, one secret a line; write a secret of raw bytes "
            "in hex or base64"
        ) from None
    found = [line.strip() for line in lines if line.strip()]
    if not found:
        raise ConfigError("--secret-file: there is no secret in this file")
    return found


def causes(headers: Headers, body: bytes, secrets: list[str], contract: Contract) -> list[str]:
    """Say why nothing may fit; of headers their names only."""
    names = ", ".join(dict.fromkeys(name for name, _ in headers))
    signed = candidates(headers, contract=contract)
    if not signed:
        return [f"No header holds a signature that could be read. There are: {names}."]
    change = change_that_fits(headers, body, secrets, contract=contract)
    if change:
        return [f"It fits the body {change}: give the raw body, byte for byte."]
    return [
        f"Signed by another secret: {len(secrets)} tried on {', '.join(signed)}. Compare with the "
        "one that Amili has for this endpoint.",
        "The body was changed on the way: the file must be the raw bytes, as they came. "
        "AMILI_CAPTURE_REFUSED keeps them so.",
        "Amili signs in a way that this version does not know: ask Amili, and show them "
        f"these headers: {names}.",
    ]
