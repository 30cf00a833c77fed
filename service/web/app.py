"""Puts the door together. Nothing is connected before the application starts."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect

from service.amili import signing
from service.amili.contract import Contract
from service.amili.gate_key import gate_key
from service.desk.asking import Asking
from service.desk.dead import DeadLetters
from service.desk.handing_over import Handover
from service.desk.quarantine import Quarantined
from service.desk.reading import Reading
from service.desk.submissions import Submissions
from service.desk.writing import Writing
from service.errors import AmiliEventsError, ConfigError
from service.inbox.appending import Appender
from service.inbox.counting import with_backlog, with_gate
from service.inbox.stream import Stream
from service.intake.door import Door
from service.intake.group import GroupCommit
from service.intake.opening import keeper_of
from service.intake.readiness import Examiner
from service.intake.replaying import Replayer
from service.intake.writing import DurableWriter
from service.queue import Bells
from service.redis import connect
from service.sealing import sealer_of
from service.settings import Settings
from service.store.counting import Counter
from service.store.database import Database
from service.submitting.rules import rules_of
from service.telemetry.metrics import Metrics, Snapshot
from service.web.api.desks import Desk
from service.web.api.mounting import mount
from service.web.health import routes
from service.web.problems import on_disconnect, on_error, on_http_exception
from service.web.webhooks import Straight, WebhookEndpoint


def demand_secrets(settings: Settings) -> tuple[str, ...]:
    """Return the webhook secrets. Raises ConfigError when there is none."""
    secrets = tuple(secret.get_secret_value() for secret in settings.webhook_secrets)
    if not secrets:
        raise ConfigError(
            "AMILI_WEBHOOK_SECRETS is empty: set the secret that Amili signs its webhooks with "
            "(several, separated by commas, while you rotate it)."
        )
    return secrets


def demand_fit(secrets: Sequence[str], contract: Contract) -> None:
    """Raise ConfigError for a secret that the signature scheme cannot use."""
    for secret in secrets:
        signing.sign(b"", secret, contract=contract, now=0, message_id="")


def desk_of(
    settings: Settings,
    database: Database,
    bells: Bells,
    quarantined: Quarantined,
    replayer: Replayer,
) -> Desk:
    """Gather the use cases behind the API."""
    ours = settings.organization_ids
    return Desk(
        reading=Reading(database),
        writing=Writing(database, bells, ours),
        asking=Asking(database, bells),
        handover=Handover(database, bells, chunk_items=settings.submit_chunk_items),
        submissions=Submissions(database),
        rules=rules_of(settings.checks),
        organization_ids=ours,
        dead=DeadLetters(database, bells, ours),
        quarantined=quarantined,
        replayer=replayer,
    )


def create_app(settings: Settings, contract: Contract, metrics: Metrics) -> Starlette:
    """Build the application of one door process. Raises ConfigError."""
    secrets = demand_secrets(settings)
    demand_fit(secrets, contract)
    sealer = sealer_of(settings)
    database = Database(settings.sql_url, pool=4)
    client = connect(settings.redis_url)
    bells = Bells(client)
    appender = Appender(settings.redis_url, demand=settings.ack_durability)
    writer = DurableWriter(appender, database, bells, metrics)
    keeper = keeper_of(settings, sealer, database, metrics)
    door = Door(
        secrets=secrets,
        contract=contract,
        commit=GroupCommit(writer.write),
        keeper=keeper,
        metrics=metrics,
    )
    counter, stream, key = Counter(database), Stream(client, "door"), gate_key(settings)
    examiner = Examiner(writer, appender, database)
    tokens = tuple(token.get_secret_value() for token in settings.api_tokens)
    replayer = Replayer(door, database, sealer)
    desk = desk_of(settings, database, bells, Quarantined(database, sealer), replayer)

    def gauges() -> Snapshot:
        return with_gate(with_backlog(counter.snapshot(), stream), client, key)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await examiner.examine()  # the first look says in the log how durable Redis is
        gc.collect()
        gc.freeze()  # what was made so far stays: no collection need look at it again
        yield
        await asyncio.to_thread(keeper.close)
        writer.close()
        await appender.close()
        client.close()
        database.close()

    app = Starlette(
        routes=[
            *routes(examiner, metrics, gauges),
            mount(desk, tokens),
        ],
        exception_handlers={
            HTTPException: on_http_exception,
            AmiliEventsError: on_error,
            ClientDisconnect: on_disconnect,
            Exception: on_error,
        },
        middleware=[Middleware(Straight, WebhookEndpoint(door, settings, metrics))],
        lifespan=lifespan,
    )
    # A path with a slash too many is no path of ours, and not worth a second request.
    app.router.redirect_slashes = False
    return app
