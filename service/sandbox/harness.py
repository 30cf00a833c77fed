"""A sandbox in a thread, for tests: real sockets outside, a Python hand inside."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, Unpack

from service.sandbox import control, knobs
from service.sandbox.api import BASE
from service.sandbox.control import Command
from service.sandbox.errors import SandboxError
from service.sandbox.journal import Call
from service.sandbox.server import bind, build, loop_factory
from service.sandbox.wire import Record
from service.sandbox.world import Setup, World

PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.005

#: Runs something in the loop's thread and returns its result.
Runner = Callable[[Callable[[], Any]], Any]


class Control:
    """The control API as Python methods; safe to call from any thread."""

    def __init__(self, world: World, run: Runner) -> None:
        self._world = world
        self._run = run

    def create_case(self, **members: Any) -> Record:
        """Open a case and return it; see `control.create_case`."""
        return self._one(control.create_case, **members)

    def update_case(self, case_id: str, **members: Any) -> Record:
        """Change members of a case."""
        return self._one(control.update_case, **{**members, "caseId": case_id})

    def pause_by_hand(self, case_id: str) -> Record:
        """Let somebody at Amili pause a case."""
        return self._one(control.pause, caseId=case_id)

    def resume_by_hand(self, case_id: str) -> Record:
        """Let somebody at Amili resume a case."""
        return self._one(control.resume, caseId=case_id)

    def get_case(self, case_id: str) -> Record:
        """Return {case, expected, history}: the truth, without lag."""
        return self._one(control.get_case, caseId=case_id)

    def pay_invoice(self, invoice_id: str, **members: Any) -> Record:
        """Let a debtor pay (`amount`; by default all that remains); return the case."""
        return self._one(control.pay_invoice, **{**members, "invoiceId": invoice_id})

    def settle(self, case_id: str, **members: Any) -> Record:
        """Pay out for a case; return the settlement."""
        return self._one(control.settle, **{**members, "caseId": case_id})

    def register_batch(self, **members: Any) -> Record:
        """Store a queued batch."""
        return self._one(control.register_batch, **members)

    def complete_batch(self, batch_id: str, **members: Any) -> Record:
        """Finish a batch with `status`, `succeeded`, `failed`, or by its own items."""
        return self._one(control.complete_batch, **{**members, "batchId": batch_id})

    def set_behaviour(self, **changes: Any) -> Record:
        """Turn some knobs."""
        return self._one(knobs.set_behaviour, **changes)

    def add_fault(self, operation: str = "*", **members: Any) -> list[Record]:
        """Order a fault; see `faults.Fault`."""
        return self._many(knobs.add_fault, **{**members, "operation": operation})

    def clear_faults(self) -> None:
        """Drop all faults."""
        self._do(knobs.clear_faults)

    def calls(self, operation: str | None = None, target: str | None = None) -> list[Call]:
        """Return the calls received: the oracle."""
        return self._many(knobs.calls, operation=operation, target=target)

    def deliveries(self, event: str | None = None) -> list[Record]:
        """Return the webhooks and how they fared."""
        return self._many(knobs.deliveries, event=event)

    def resend(self, delivery_id: str) -> Record:
        """Send one webhook's very body again."""
        return self._one(knobs.resend, deliveryId=delivery_id)

    def say(self, event: str, data: Record) -> str:
        """Publish any webhook; return its id."""
        return str(self._do(knobs.say, event=event, data=data)["eventId"])

    def set_webhook(self, **members: Any) -> Record:
        """Set `url`, `secret`, `prefix`."""
        return self._one(knobs.set_webhook, **members)

    def health(self) -> Record:
        """Say how many records there are, and how much was forgotten to save memory."""
        return self._one(knobs.health)

    def expire_tokens(self) -> None:
        """Let every token given so far be worthless."""
        self._do(knobs.expire_tokens)

    def tick(self) -> None:
        """Let everything that is due happen now, when a test moved its clock."""
        self._run(self._world.tick)

    def reset(self) -> None:
        """Forget everything but tokens and the webhook target."""
        self._do(knobs.reset)

    def _one(self, command: Command, **given: Any) -> Record:
        record: Record = self._do(command, **given)
        return record

    def _many(self, command: Command, **given: Any) -> list[Any]:
        rows: list[Any] = self._do(command, **given)
        return rows

    def _do(self, command: Command, **given: Any) -> Any:
        def work() -> Any:
            self._world.tick()
            done = command(self._world, given)
            self._world.tick()
            return done

        return self._run(work)


class SandboxServer:
    """A context manager: a sandbox on a free port, stopped at the end."""

    def __init__(self, **setup: Unpack[Setup]) -> None:
        self.world = World(**setup)
        self._server = build(self.world)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="amili-sandbox", daemon=True)
        self.control = Control(self.world, self._run)
        self.url = ""

    @property
    def base_url(self) -> str:
        """The base URL of the imitated API."""
        return self.url + BASE

    @property
    def token_url(self) -> str:
        """The URL of the token endpoint."""
        return f"{self.url}/token"

    @property
    def control_url(self) -> str:
        """The URL below which the control API stands."""
        return f"{self.url}/_sandbox"

    def __enter__(self) -> Self:
        self._listener = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread.start()
        patience = time.monotonic() + PATIENCE_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > patience:
                raise SandboxError("the sandbox did not start")
            time.sleep(LOOK_SECONDS)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_SECONDS)
        self._listener.close()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            self._loop = runner.get_loop()
            runner.run(self._server.serve(sockets=[self._listener]))

    def _run(self, work: Callable[[], Any]) -> Any:
        async def in_loop() -> Any:
            return work()

        if self._loop is None or self._loop.is_closed():
            raise SandboxError("the sandbox does not run")
        return asyncio.run_coroutine_threadsafe(in_loop(), self._loop).result(PATIENCE_SECONDS)
