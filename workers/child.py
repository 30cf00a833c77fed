"""One process of the supervisor: `python -m workers.child events|actions|sweeper`."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

import structlog

from service import settings as our_settings
from service.amili import contract as amili_contract
from service.errors import AmiliEventsError
from service.queue import JOBS
from service.telemetry import logs, slots
from service.telemetry.metrics import Metrics
from workers import jobs, rqworker
from workers.parts import new_holder, opened
from workers.sweeping import EVERY_SECONDS, Sweeper
from workers.warming import warm_up

log = structlog.get_logger()


def main(kind: str) -> int:
    """Run one process until it is told to stop."""
    settings = our_settings.load()
    contract = amili_contract.load()
    logs.configure(settings.log_level)
    directory = settings.data_dir / "metrics"
    metrics = Metrics(directory, slots.take(directory, kind))
    context = jobs.Context(settings, contract, metrics, consumer=new_holder())
    if kind == "sweeper":
        sweep(context)
    else:
        warm_up(settings)
        rqworker.work(next(name for name in JOBS if name == kind), context)
    return 0


def sweep(context: jobs.Context) -> None:
    """Sweep until SIGTERM or SIGINT."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    with opened(context.settings, context.contract, context.metrics, context.consumer) as parts:
        sweeper = Sweeper(parts)
        while not stop.is_set():
            sweeper.sweep()
            stop.wait(EVERY_SECONDS)
        sweeper.let_go()


if __name__ == "__main__":
    try:
        our_settings.keep_private()
        sys.exit(main(sys.argv[1]))
    except AmiliEventsError as exc:
        sys.exit(f"amili-events worker: {exc}")
