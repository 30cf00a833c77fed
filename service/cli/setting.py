"""`config`: what this process would run with, and which variables are nobody's."""

from __future__ import annotations

import os
from typing import Any

import typer
from pydantic import BaseModel, SecretStr
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.amili.contract import Contract
from service.redis import described
from service.sealing import complaint
from service.settings import PREFIX, Settings, in_file, strangers

#: Read by `amili-events sandbox` alone.
SANDBOX = {"sandbox_webhook_secret", "sandbox_client_secret"}


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("config")(config)


def config() -> None:
    """Show every setting, its value (secrets hidden) and where the assumptions about Amili are."""
    settings, contract = our_settings.load(), amili_contract.load()
    console = Console()
    console.print(table("How we run", settings))
    console.print(table("What is assumed about Amili", contract))
    if how := described(settings.redis_url):
        console.print(Text(f"AMILI_REDIS_URL is {how}."))
    said = complaint(settings)
    for line in (*unknown(), *([said] if said else [])):
        console.print(Text(line, style="yellow"))


def table(title: str, model: BaseModel) -> Table:
    """List the fields of a model as variables."""
    shown = Table(title=title, title_justify="left")
    shown.add_column("variable", no_wrap=True)
    shown.add_column("value", overflow="fold")
    shown.add_column("set", no_wrap=True)
    filed = in_file()
    for name in type(model).model_fields:
        variable = PREFIX + name.upper()
        source = origin(variable, filed) if name in model.model_fields_set else ""
        shown.add_row(variable, Text(hidden(getattr(model, name))), source)
    return shown


def origin(variable: str, filed: set[str]) -> str:
    """Say where the value of a variable that is set comes from."""
    if variable in {name.upper() for name in os.environ}:
        return "environment"
    return "settings file" if variable in filed else "secrets folder"


def hidden(value: Any) -> str:
    """Write a value; of secrets only that there are some."""
    if value is None:
        return "-"
    if isinstance(value, SecretStr):
        return "(secret)"
    if isinstance(value, tuple):
        if value and isinstance(value[0], SecretStr):
            return f"({len(value)} secret{'s' if len(value) > 1 else ''})"
        return ", ".join(str(part) for part in value) or "-"
    return without_password(str(value))


def without_password(text: str) -> str:
    """Write a URL without user, password and options; any other text as it is."""
    scheme, found, rest = text.partition("://")
    if not found:
        return text
    rest, _, options = rest.partition("?")
    if "@" in options:  # a password that is not written %3F or %40: who knows where it ends
        return f"{scheme}://…"
    place = rest.rpartition("@")[2]
    user = "…" if "@" in rest else ""
    # Options of a URL may be a password too.
    return f"{scheme}://{user}{place}" + ("?…" if options else "")


def unknown() -> list[str]:
    """Say which `AMILI_…` variables are nobody's, and what was perhaps meant."""
    known = set(Settings.model_fields) | set(Contract.model_fields) | SANDBOX
    return [
        f"{name} is not a setting." + (f" Did you mean {near}?" if near else "")
        for name, near in strangers(known).items()
    ]


def warn_of_unknown() -> None:
    """Say so on stderr, before anything starts."""
    for line in unknown():
        typer.echo(f"amili-events: {line}", err=True)
