"""The control API under `/_sandbox/`: JSON, no authorization, for the tester on this machine."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox import control, knobs
from service.sandbox.answers import Json
from service.sandbox.control import Command
from service.sandbox.errors import Refused, SandboxError
from service.sandbox.wire import loads
from service.sandbox.world import World

BASE = "/_sandbox"

COMMANDS: tuple[tuple[str, str, Command], ...] = (
    ("GET", "/health", knobs.health),
    ("POST", "/cases", control.create_case),
    ("GET", "/cases/{caseId}", control.get_case),
    ("PATCH", "/cases/{caseId}", control.update_case),
    ("POST", "/cases/{caseId}/pause", control.pause),
    ("POST", "/cases/{caseId}/resume", control.resume),
    ("POST", "/cases/{caseId}/settle", control.settle),
    ("POST", "/invoices/{invoiceId}/pay", control.pay_invoice),
    ("POST", "/batches", control.register_batch),
    ("POST", "/batches/{batchId}/complete", control.complete_batch),
    ("GET", "/behaviour", knobs.get_behaviour),
    ("PATCH", "/behaviour", knobs.set_behaviour),
    ("GET", "/faults", knobs.list_faults),
    ("POST", "/faults", knobs.add_fault),
    ("DELETE", "/faults", knobs.clear_faults),
    ("GET", "/calls", knobs.calls),
    ("GET", "/deliveries", knobs.deliveries),
    ("POST", "/deliveries/{deliveryId}/resend", knobs.resend),
    ("POST", "/events", knobs.say),
    ("PATCH", "/webhook", knobs.set_webhook),
    ("POST", "/tokens/expire", knobs.expire_tokens),
    ("POST", "/reset", knobs.reset),
)


def routes(world: World) -> list[Route]:
    """Return one route for each command."""
    return [_route(world, *command) for command in COMMANDS]


def _route(world: World, method: str, path: str, command: Command) -> Route:
    async def endpoint(request: Request) -> Response:
        raw = await request.body()
        world.tick()
        try:
            body = loads(raw) if raw else {}
            if not isinstance(body, dict):
                raise SandboxError("the body must be a JSON object")
            given = {**request.query_params, **body, **request.path_params}
            answer = command(world, given)
            world.tick()
            return Json(answer)
        except KeyError as exc:
            return Json({"error": f"{exc.args[0]} is missing"}, 400)
        except (SandboxError, Refused, ValueError, TypeError) as exc:
            return Json({"error": str(exc)}, 400)

    return Route(BASE + path, endpoint, methods=[method])
