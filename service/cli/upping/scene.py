"""Everything that a view may show, and what a view is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from service.cli.upping.plan import Plan
from service.cli.upping.story import Step, Story
from service.cli.upping.tree import Tree
from service.cli.upping.watching import Picture, Watcher
from service.embedded import EmbeddedRedis

NOTES = 3


class View(Protocol):
    """Shows a scene for as long as it is entered."""

    def __enter__(self) -> View:
        """Begin to show."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Show no more."""

    def say(self, text: str) -> None:
        """Show a line about a process."""

    def show(self) -> None:
        """Show how things stand now."""


@dataclass(frozen=True)
class Scene:
    """What is there to be shown."""

    plan: Plan
    #: The data folder, as the user would type it.
    folder: str
    tree: Tree
    #: Our own Redis; None when the user brought one.
    redis: EmbeddedRedis | None
    watcher: Watcher
    story: Story | None
    #: When `up` began, as an RFC 3339 time: what is older is no news.
    begun: str
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=NOTES))

    @property
    def picture(self) -> Picture:
        """The newest picture."""
        return self.watcher.picture

    @property
    def processes(self) -> dict[str, bool]:
        """Every process, and whether it runs."""
        found = {"redis": self.redis.running} if self.redis else {}
        return found | {child.name: child.is_running for child in self.tree.children}

    @property
    def steps(self) -> list[Step]:
        """The story's lines; none without a story."""
        return self.story.steps if self.story else []

    @property
    def example(self) -> list[str]:
        """A call of the API, in two lines that can be copied."""
        trust = " --insecure" if self.plan.settings.tls_cert_file else ""
        return [
            f'curl{trust} -H "Authorization: Bearer {self.plan.shown_token}" \\',
            f"  {self.plan.door_url}/api/v1/cases",
        ]

    @property
    def next_steps(self) -> list[str]:
        """What to try in another terminal: how to get the settings, and a command."""
        enter = f". {self.folder}/env"
        if self.story and self.story.is_complete:
            return [enter, f"amili-events holds place {self.story.first_case} --reason dispute"]
        return [enter, "amili-events send"]

    @property
    def standing(self) -> str:
        """How far we are, in a word or three."""
        if self.picture.trouble:
            return self.picture.trouble
        if self.story is None:
            return "running"
        if self.story.is_complete:
            return "the story is complete, all keeps running"
        if self.story.is_over:
            return "the story stopped, all keeps running"
        return "the story plays"
