"""The live view: one screen, drawn anew twice a second.

It uses the terminal's other screen, so that nothing of it is left behind, and asks for the
size at each drawing. A drawing that fails is left out: no view ends what it looks at.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from service.cli.upping.scene import Scene
from service.cli.upping.watching import Row, clock, entity_shown, short

MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "playing": ("▸", "yellow")}
GOOD = {"settled", "confirmed", "OPEN", "running"}
WAITS = {"received", "retrying", "planned", "sent", "answered", "uncertain", "PAUSED", "paused"}
BAD = {"dead", "contradicted", "refused"}
WIDE, HIGH = 110, 30


class Screen:
    """Draws a scene on the whole terminal."""

    def __init__(self, scene: Scene, console: Console) -> None:
        self._scene = scene
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Keep a line about a process on the screen."""
        self._scene.notes.append(text)

    def show(self) -> None:
        """Draw how things stand now."""
        try:
            width, height = self._console.size
            self._live.update(draw(self._scene, width, height), refresh=True)
        except Exception as exc:  # whatever it is: the processes matter, the drawing does not
            self._live.update(Text(f"drawing failed: {type(exc).__name__}"))


def draw(scene: Scene, width: int, height: int) -> Group:
    """Lay everything out for a terminal of this size; the tables share what is left."""
    fixed = [*header(scene, height >= HIGH), *story(scene)]
    below = list(footer(scene))
    room = max(0, height - len(fixed) - len(below))
    return Group(*fixed, *tables(scene, width, room), *below)


def line(text: str | Text, style: str = "") -> Text:
    """Make one line that is cut, never folded."""
    made = text if isinstance(text, Text) else Text(text, style=style)
    made.no_wrap, made.overflow = True, "ellipsis"
    return made


def header(scene: Scene, is_high: bool) -> Iterable[RenderableType]:
    """Where everything is, and how it goes."""
    plan = scene.plan
    standing = (scene.standing, "cyan")
    yield line(Text.assemble(("amili-events", "bold"), "  ", standing, "  Ctrl-C stops it"))
    amili = f"sandbox {plan.sandbox_url}" if plan.sandbox_url else plan.settings.environment
    yield line(f"door {plan.door_url}  {amili}")
    if is_high:
        yield line(f"data {scene.folder}")
        yield from (line(each) for each in scene.example)
    else:
        yield line(f"data {scene.folder}  API token {plan.shown_token}")
    shown = Text("processes")
    for name, runs in scene.processes.items():
        shown.append(f"  {name}", "green" if runs else "red")
    yield line(shown)
    counts = scene.picture.counts
    yield line("  ".join(f"{name} {value:.0f}" for name, value in counts.items()) or "counting …")


def story(scene: Scene) -> Iterable[RenderableType]:
    """The story's lines with their marks; the seconds are from webhook to settled."""
    if scene.steps:
        yield Rule("the story (seconds from webhook to settled)", style="dim", align="left")
    for step in scene.steps:
        mark, style = MARKS.get(step.state, ("·", "dim"))
        caption = (step.caption, "dim" if mark == "·" else "")
        told = Text.assemble((mark, style), f" {step.seconds:>6}  ", caption)
        if step.note:
            told.append(f"  {step.note}", "cyan" if step.state == "done" else style)
        yield line(told)


def footer(scene: Scene) -> Iterable[RenderableType]:
    """What happened to processes, and what to try."""
    for note in list(scene.notes):
        yield line(note, "red")
    first, second = scene.next_steps
    yield line(Text.assemble(("try in another terminal  ", "bold"), first))
    yield line(second)


def tables(scene: Scene, width: int, room: int) -> Iterable[RenderableType]:
    """The three tables: the last two side by side where there is width for it."""
    picture = scene.picture
    if width >= WIDE:
        upper = room * 3 // 5
        yield from events(picture.events, upper)
        pair = Table.grid(expand=True, padding=(0, 2))
        pair.add_column(ratio=1)
        pair.add_column(ratio=1)
        left = Group(*cases(picture.cases, room - upper))
        pair.add_row(left, Group(*actions(picture.actions, room - upper)))
        yield pair
        return
    lower = room * 3 // 10
    yield from events(picture.events, room - 2 * lower)
    yield from cases(picture.cases, lower)
    yield from actions(picture.actions, lower)


def events(rows: Iterable[Row], room: int) -> Iterable[RenderableType]:
    """The last webhooks."""
    found = (
        (clock(row["receivedAt"]), row["type"], row["state"], entity_shown(row["entity"]))
        for row in rows
    )
    yield from listing(("EVENTS", "type", "state", "about"), found, room)


def cases(rows: Iterable[Row], room: int) -> Iterable[RenderableType]:
    """The cases that they are about."""
    found = (
        (
            short(row["caseId"]),
            row["status"],
            row["desired"],
            " ".join(hold["reason"] for hold in row["holds"] if not hold["releasedAt"]) or "-",
        )
        for row in rows
    )
    yield from listing(("CASES", "status", "desired", "holds"), found, room)


def actions(rows: Iterable[Row], room: int) -> Iterable[RenderableType]:
    """What was asked of Amili."""
    found = (
        (clock(row["plannedAt"]), row["kind"], row["state"], f"case {short(row['caseId'])}")
        for row in rows
    )
    yield from listing(("LEDGER", "action", "state", "about"), found, room)


def listing(
    columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]], room: int
) -> Iterable[RenderableType]:
    """Make a table of exactly so many lines, its head included."""
    if room < 1:
        return
    shown = list(rows)[: room - 1]
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=True, overflow="ellipsis", min_width=0 if number else 8)
    for row in shown:
        table.add_row(*(Text(str(cell), style(str(cell))) for cell in row))
    yield table
    yield from (line("") for _ in range(room - 1 - len(shown)))


def style(word: str) -> str:
    """Colour a state."""
    for colour, words in (("green", GOOD), ("yellow", WAITS), ("red", BAD)):
        if word in words:
            return colour
    return ""
