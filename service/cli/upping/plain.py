"""One line for each thing that happens: for logs, pipes and CI."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.text import Text

from service.cli.upping.scene import Scene
from service.cli.upping.watching import Picture, Row, entity_shown, short

MARKS = {"done": "✓", "failed": "✗"}


class Plain:
    """Prints what is new since the last look."""

    def __init__(self, scene: Scene, console: Console) -> None:
        self._scene = scene
        self._console = console
        self._seen: set[tuple[str, str]] = set()
        self._told = 0
        self._trouble = ""

    def __enter__(self) -> Plain:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing was held open."""

    def say(self, text: str) -> None:
        """Print a line of our own."""
        self._line(text)

    def show(self) -> None:
        """Print what is new; what led to a step of the story comes before it."""
        told = [step for step in self._scene.steps if step.state in MARKS]
        if len(told) > self._told:
            self._scene.watcher.look()
        self._tell_news(self._scene.picture)
        for step in told[self._told :]:
            took = f" (webhook to settled {step.seconds})" if step.took is not None else ""
            self._line(f"{MARKS[step.state]} {step.caption}: {step.note}{took}")
        self._told = len(told)

    def _tell_news(self, picture: Picture) -> None:
        for event in reversed(picture.events):
            if self._is_new(event["digest"], event):
                about = entity_shown(event["entity"])
                self._line(f"  event {event['type']} {event['state']} {about}")
        for action in reversed(picture.actions):
            if self._is_new(action["actionId"], action):
                target = short(action["caseId"])
                self._line(f"  action {action['kind']} {action['state']} case {target}")
        if picture.trouble != self._trouble:
            self._trouble = picture.trouble
            self._line(picture.trouble or "the door answers again")

    def _is_new(self, name: str, row: Row) -> bool:
        """Say whether this state of a record was not printed yet; older runs' are not news."""
        key = (name, row["state"])
        if key in self._seen:
            return False
        self._seen.add(key)
        return str(row.get("receivedAt") or row.get("plannedAt") or "") >= self._scene.begun

    def _line(self, text: str) -> None:
        now = time.strftime("%H:%M:%S", time.gmtime())
        self._console.print(Text(f"{now} {text}"), soft_wrap=True)
