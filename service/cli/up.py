"""`up`: everything on this machine, in one process tree, until Ctrl-C.

In order: the data folder is taken, ports are tried, our own Redis and the schema come up, then
the sandbox, the door and two workers. The sandbox plays a short story, and the view stays. What
each part is stands in `upping`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.cli.setting import warn_of_unknown
from service.cli.upping import plan as planning
from service.cli.upping.asking import Asker
from service.cli.upping.crew import ORDER, WORKERS, children
from service.cli.upping.folder import Folder
from service.cli.upping.live import Screen
from service.cli.upping.plain import Plain
from service.cli.upping.plan import WEBHOOKS, Plan
from service.cli.upping.scene import Scene, View
from service.cli.upping.signals import Asked, Interrupted
from service.cli.upping.story import PAUSE_SECONDS, Story
from service.cli.upping.tree import NotStarted, Tree
from service.cli.upping.watching import Watcher
from service.embedded import EmbeddedRedis
from service.errors import ConfigError
from service.redis import RedisError, connect, explained
from service.settings import Settings
from service.store import migrating
from service.store.database import Database

START_SECONDS = 60.0
LOOK_SECONDS = 0.05
DRAW_SECONDS = 0.5


@dataclass(frozen=True)
class Wish:
    """How the user wants it shown."""

    story: bool
    plain: bool
    once: bool


def up(
    no_story: Annotated[bool, typer.Option("--no-story", help="Only run; play nothing.")] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="One line for each event instead of the live view.")
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="End after the story: 0 when it was complete, else 1.")
    ] = False,
) -> None:
    """Run everything on this machine: Redis, database, door, workers, and a played Amili."""
    asked, begun = Asked(), time.time()
    asked.listen()
    settings = our_settings.load()
    planning.check(settings, amili_contract.load())
    warn_of_unknown()
    wish = Wish(not no_story, plain or not sys.stdout.isatty(), once)
    try:
        with Folder(settings.data_dir) as folder:
            planning.demand_ports(settings)
            code = run(settings, folder, wish, asked, begun)
    except Interrupted:
        code = 0
    raise typer.Exit(code)


def run(settings: Settings, folder: Folder, wish: Wish, asked: Asked, begun: float) -> int:
    """Bring everything up, stay, and take everything down; return the exit code."""
    with foundation(settings, folder, asked) as (plan, redis):
        announce(plan, folder)
        tree = Tree(children(plan, folder))
        story = Story(plan, pause=0 if wish.once else PAUSE_SECONDS)
        scene = Scene(
            plan=plan,
            folder=folder.shown,
            tree=tree,
            redis=redis,
            watcher=Watcher(plan),
            story=story if wish.story and plan.sandbox_url else None,
            begun=datetime.fromtimestamp(begun, UTC).isoformat(),
        )
        try:
            bring_up(tree, plan, asked)
            if not asked.to_stop:
                stay(scene, wish, asked, begun)
        finally:
            take_down(tree, story, scene.watcher, asked)
    if wish.once and scene.story and not asked.to_stop:
        return 0 if scene.story.is_complete else 1
    return 0


@contextmanager
def foundation(
    settings: Settings, folder: Folder, asked: Asked
) -> Iterator[tuple[Plan, EmbeddedRedis | None]]:
    """Have Redis, the plan and the schema; our own Redis ends last."""
    redis: EmbeddedRedis | None = None
    if planning.brings_redis(settings):
        redis = EmbeddedRedis(folder.path / "redis", durable=settings.ack_durability == "disk")
    try:
        with asked.at_once():
            if redis:
                redis.start()
            else:
                demand_redis(settings.redis_url)
            url = redis.url if redis else None
            plan = planning.make(settings, folder, folder.generated(), url)
            migrate(plan.settings)
            folder.write_env(*planning.for_another_terminal(plan))
        yield plan, redis
    finally:
        if redis:
            redis.stop()


def demand_redis(url: str) -> None:
    """Raise ConfigError when the Redis that the user chose does not answer."""
    client = connect(url)
    try:
        client.ping()
    except RedisError as exc:
        raise ConfigError(
            f"AMILI_REDIS_URL: it does not answer ({explained(exc)}); "
            "unset it, and `up` brings a Redis of its own"
        ) from None
    finally:
        client.close()


def migrate(settings: Settings) -> None:
    """Bring the schema up to this version. Raises ConfigError when it is newer."""
    database = Database(settings.sql_url, pool=1)
    try:
        if migrating.standing(database) == "newer":
            raise ConfigError("the database schema is newer than this version: nothing was changed")
        migrating.upgrade(database)
    finally:
        database.close()


def announce(plan: Plan, folder: Folder) -> None:
    """Say where everything is; it stays in the terminal when the view is gone."""
    say(f"Door      {plan.door_url}{WEBHOOKS}")
    say(f"Sandbox   {plan.sandbox_url}/_sandbox/" if plan.sandbox_url else "Amili     real")
    say(f"Data      {folder.shown}/ (logs in {folder.shown}/logs/)")
    say(f"API       {plan.door_url}/api/v1/  token {plan.shown_token}")
    say(f"Settings  . {folder.shown}/env   in another terminal, then `amili-events …` works there")


def bring_up(tree: Tree, plan: Plan, asked: Asked) -> None:
    """Start what answers webhooks, wait for it, then start the workers."""
    tree.start("sandbox", "door")
    door = Asker(plan.door_url, {}, plan.context)
    waiting = [(door, "/readyz")]
    if plan.sandbox_url:
        waiting.append((Asker(plan.sandbox_url), "/_sandbox/health"))
    until = time.monotonic() + START_SECONDS
    while waiting and not asked.to_stop:
        tree.watch(say)
        waiting = [(asker, path) for asker, path in waiting if not asker.answers(path)]
        if time.monotonic() > until:
            raise NotStarted(
                f"{waiting[0][0].base} does not answer; see the logs in the data folder"
            )
        asked.event.wait(LOOK_SECONDS)
    if not asked.to_stop:
        tree.start(*WORKERS)


def stay(scene: Scene, wish: Wish, asked: Asked, begun: float) -> None:
    """Show the scene and look after the processes until somebody asks to stop."""
    console = Console()
    view: View = Plain(scene, console) if wish.plain else Screen(scene, console)
    scene.watcher.begin()
    if scene.story:
        scene.story.begin(begun)
    drawn = 0.0
    with view:
        while not asked.to_stop:
            scene.tree.watch(view.say)
            keep_running(scene.redis, view)
            if time.monotonic() - drawn >= DRAW_SECONDS:
                drawn = time.monotonic()
                view.show()
            if wish.once and (scene.story is None or scene.story.is_over):
                break
            asked.event.wait(LOOK_SECONDS)
        if wish.once:
            view.show()
    if scene.story and scene.story.first_answer is not None:
        say(f"The first webhook was answered {scene.story.first_answer:.1f} s after the start.")


def keep_running(redis: EmbeddedRedis | None, view: View) -> None:
    """Start our own Redis again when it is gone; meanwhile the door spools into SQL."""
    if redis is None or redis.running:
        return
    view.say("Redis ended, starts again")
    try:
        redis.start()
    except ConfigError as exc:
        view.say(str(exc).partition("\n")[0])


def take_down(tree: Tree, story: Story, watcher: Watcher, asked: Asked) -> None:
    """End every process, in order; a second Ctrl-C ends them at once."""
    story.end()
    watcher.end()
    say("Stopping (Ctrl-C again hurries) …")
    tree.stop(ORDER, lambda: asked.to_hurry)
    say("Everything is stopped; the data stays.")


def say(text: str) -> None:
    """Print a line; a terminal that is gone must not keep anything running."""
    with suppress(OSError, ValueError):
        Console().print(Text(text), soft_wrap=True)
