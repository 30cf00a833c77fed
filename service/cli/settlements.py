"""`settlements`: what Amili paid out, read live, with totals per currency."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from service.amili.client import SettlementFilter
from service.cli import amili
from service.cli.opening import desk
from service.cli.showing import Json, show
from service.desk.exporting import Collected, demand_free, replacing, writer_for
from service.errors import ConfigError

settlements = typer.Typer(help="Settlements: what Amili paid out.", no_args_is_help=True)

#: A bar is shown for what takes longer.
PATIENCE_SECONDS = 1.0
#: Members that make no column of a table: the whole of them is in JSON and in the files.
LEFT_OUT = frozenset({"organizationId", "invoiceId", "customerReference", "exchangeRate"})

From = Annotated[str | None, typer.Option("--from", help="A date, 2026-01-31: no older ones.")]
To = Annotated[str | None, typer.Option("--to", help="A date, 2026-12-31: no newer ones.")]
Whose = Annotated[
    str | None, typer.Option("--organization", help="One organization; default: all of ours.")
]


@settlements.command("list")
def list_settlements(
    from_: From = None, to: To = None, organization: Whose = None, as_json: Json = False
) -> None:
    """Read settlements from Amili, and add up their amounts."""
    with Collected() as found:
        read_into(found, from_, to, organization)
        if as_json:
            found.write_json(sys.stdout)
            return
        amounts = {path for sums in found.totals.values() for path in sums}
        columns = tuple(
            name
            for name in found.columns
            if name not in LEFT_OUT and ("." not in name or name in amounts)
        )
        rows = [{name: row.get(name) for name in columns} for row in found.rows()]
        if rows:
            show({"data": rows}, False, columns)
        tell(found)


@settlements.command("export")
def export_settlements(
    file: Annotated[Path, typer.Argument(help="Written as its ending says: csv or json.")],
    from_: From = None,
    to: To = None,
    organization: Whose = None,
    force: Annotated[bool, typer.Option(help="Overwrite the file.")] = False,
) -> None:
    """Write settlements with all their members into a file, and add up their amounts.

    In CSV an apostrophe stands before a text that a spreadsheet would take for a formula.
    """
    write = writer_for(file)
    demand_free(file, force=force)
    with Collected() as found:
        read_into(found, from_, to, organization)
        with replacing(file, force=force) as opened:
            write(found, opened)
        tell(found, f" written to {file}")


@settlements.command("show")
def show_settlement(settlement_id: str) -> None:
    """Show one settlement as last read, from our own state."""
    with desk() as opened:
        show(opened.reading.settlement(settlement_id), True)


def read_into(
    found: Collected, from_: str | None, to: str | None, organization: str | None
) -> None:
    """Read settlements page by page, with a bar when it takes long. Raises in one sentence."""
    asked = between(from_, to)
    settings = amili.load()
    names = amili.organizations(settings, organization)

    async def read() -> None:
        async with amili.client(settings) as client:
            for name in names:
                async for each in client.get_settlements(name, **asked):
                    found.add(each.raw)
                    meter.tell(found.count)

    with Meter() as meter, amili.in_words():
        asyncio.run(read())


def between(from_: str | None, to: str | None) -> SettlementFilter:
    """Read the two dates. Raises ConfigError."""
    try:
        first, last = (each and date.fromisoformat(each) for each in (from_, to))
    except ValueError:
        raise ConfigError("--from and --to take a date like 2026-12-31") from None
    if first and last and first > last:
        raise ConfigError("--from is later than --to: nothing lies between them")
    return {
        "from_date": str(first) if first else None,
        "to_date": str(last) if last else None,
    }


def tell(found: Collected, where: str = "") -> None:
    """Say how many there were, and what they add up to."""
    typer.echo(f"{found.count} settlement{'' if found.count == 1 else 's'}{where}.")
    for currency, sums in found.totals.items():
        for path, total in sums.items():
            typer.echo(f"total {currency} {path} {total}")


class Meter:
    """A line on stderr that counts, once it has taken long enough."""

    def __init__(self) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.completed} settlements read"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bars.add_task("", total=None)
        self._since = time.monotonic()
        self._shown = False

    def __enter__(self) -> Meter:
        return self

    def __exit__(self, *_: Any) -> None:
        if self._shown:
            self._bars.stop()

    def tell(self, count: int) -> None:
        """Say how many have come."""
        if not self._shown and time.monotonic() - self._since > PATIENCE_SECONDS:
            self._bars.start()
            self._shown = True
        self._bars.update(self._task, completed=count)
