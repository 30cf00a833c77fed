"""Which processes `up` runs, by which command, and in which order they end."""

from __future__ import annotations

import sys

from service.cli.upping.folder import Folder
from service.cli.upping.plan import CLIENT_ID, WEBHOOKS, Plan
from service.cli.upping.tree import Child

WORKERS = ("worker-1", "worker-2")
#: Who ends first: nobody is without what it still needs.
ORDER = (("sandbox",), ("door",), WORKERS)
GRACE = {"sandbox": 5.0, "door": 25.0, "worker": 65.0}


def children(plan: Plan, folder: Folder) -> list[Child]:
    """List the processes, each with its command; secrets go by environment only."""
    found = []
    if plan.sandbox_url:
        port = plan.sandbox_url.rpartition(":")[2]
        secrets = {
            "AMILI_SANDBOX_WEBHOOK_SECRET": plan.settings.webhook_secrets[0].get_secret_value(),
            "AMILI_SANDBOX_CLIENT_SECRET": plan.sandbox_secret,
        }
        words = ["--port", port, "--webhook-url", plan.door_url + WEBHOOKS]
        words += ["--client-id", CLIENT_ID]
        found.append(child("sandbox", ["service.cli", "sandbox", *words], plan, folder, secrets))
    found.append(child("door", ["service.web"], plan, folder))
    found.append(child(WORKERS[0], ["workers"], plan, folder))
    # One page for metrics: both workers keep theirs in the same files.
    off = {"AMILI_METRICS_PORT": "0"}
    found.append(child(WORKERS[1], ["workers"], plan, folder, off))
    return found


def child(
    name: str, words: list[str], plan: Plan, folder: Folder, more: dict[str, str] | None = None
) -> Child:
    """Make one process of ours."""
    return Child(
        name=name,
        command=[sys.executable, "-m", *words],
        log=folder.log(name),
        grace=GRACE[name.partition("-")[0]],
        environ={**plan.chosen, **(more or {})},
    )
