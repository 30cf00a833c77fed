"""Every metric of the house, in one place.

Counters and histograms are kept in files that all processes of one data folder
share, named by role and not by process id: RQ forks a process for each job, and
a file for each of them would grow for ever. It holds because a worker runs one
job at a time. Gauges are not kept at all: they are read from SQL and Redis when
somebody asks (`Snapshot`), so they are right however many processes there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, values
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SLOW = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Snapshot:
    """What SQL and Redis say at one moment; None where one of them did not answer."""

    inbox_entries: float | None = None
    inbox_oldest_seconds: float | None = None
    spool_entries: float | None = None
    entities_due: float | None = None
    dead_events: float | None = None
    cases_held_unpaused: float | None = None
    actions_open: dict[tuple[str, str], float] = field(default_factory=dict)
    holds_active: dict[str, float] = field(default_factory=dict)
    cases: dict[tuple[str, str], float] = field(default_factory=dict)
    #: Unix time of the newest webhook, for each event type.
    last_webhook: dict[str, float] = field(default_factory=dict)
    #: What the gate to Amili's API allows: calls a second, 0 is any number.
    api_rate: float | None = None
    api_breaker_open: float | None = None
    quarantine_entries: float | None = None


class SnapshotCollector(Collector):
    """Turns a snapshot into gauges, at the moment of the scrape."""

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take

    def describe(self) -> Iterable[Metric]:
        """Promise nothing: what there is depends on the moment."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Take a snapshot, and tell it."""
        now = self._take()
        for name, words, value in (
            ("inbox_entries", "Deliveries in the stream, not yet in SQL.", now.inbox_entries),
            ("inbox_oldest_seconds", "Age of the oldest of them.", now.inbox_oldest_seconds),
            ("spool_entries", "Deliveries in the SQL spool.", now.spool_entries),
            ("entities_due", "Entities that wait for a worker.", now.entities_due),
            ("dead_events", "Events that need an operator.", now.dead_events),
            (
                "cases_held_unpaused",
                "Cases under a hold that were last read as not paused.",
                now.cases_held_unpaused,
            ),
            ("quarantine_entries", "Refused deliveries kept sealed.", now.quarantine_entries),
            ("api_rate", "Calls to Amili allowed in a second; 0: any number.", now.api_rate),
            ("api_breaker_open", "1: Amili failed too often.", now.api_breaker_open),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"amili_{name}", words, value=value)
        yield gauges("actions_open", "Actions not yet final.", ("kind", "state"), now.actions_open)
        holds = {(reason,): count for reason, count in now.holds_active.items()}
        yield gauges("holds_active", "Holds in force.", ("reason",), holds)
        yield gauges("cases", "Cases known here.", ("type", "status"), now.cases)
        last = {(event,): at for event, at in now.last_webhook.items()}
        yield gauges(
            "last_webhook_timestamp_seconds", "When the newest webhook came.", ("event",), last
        )


def gauges(
    name: str,
    words: str,
    labels: tuple[str, ...],
    rows: Mapping[Any, float],
) -> Metric:
    """Build one gauge family from its labelled values."""
    family = GaugeMetricFamily(f"amili_{name}", words, labels=labels)
    for key, value in rows.items():
        family.add_metric(list(key), value)
    return family


class Metrics:
    """The counters and histograms of one process, and the page that shows them all.

    `directory`: shared between the processes of one data folder; None keeps them
    in this process. `role` names this process among them, for instance `door-0`.
    """

    def __init__(self, directory: Path | None = None, role: str = "main") -> None:
        self._directory = directory
        if directory is not None:
            share_through_files(directory, role)
        self._registry = CollectorRegistry()
        counter, histogram = self._counter, self._histogram
        self.webhooks = counter("webhooks", "Deliveries, by answer.", "event", "outcome")
        self.signature_failures = counter(
            "signature_failures", "Deliveries whose signature failed, by reason.", "reason"
        )
        self.quarantined = counter(
            "quarantined", "Refused deliveries that were kept, sealed, by reason.", "reason"
        )
        self.quarantine_dropped = counter(
            "quarantine_dropped", "Refused deliveries that were not kept, by cause.", "reason"
        )
        self.webhook_seconds = histogram("webhook_seconds", "From first byte to answer.", FAST)
        self.spooled = counter("spooled", "Deliveries that went to the SQL spool.", "reason")
        self.events = counter("events", "Events settled, by outcome.", "event", "outcome")
        self.event_settle_seconds = histogram(
            "event_settle_seconds", "From received to state committed.", SLOW
        )
        self.doubts = counter("doubts", "Payloads that disagree with what was read.", "entity")
        self.api_requests = counter("api_requests", "Calls to Amili.", "operation", "status")
        self.api_request_seconds = histogram(
            "api_request_seconds", "Seconds of one call to Amili.", FAST, "operation"
        )
        self.api_wait_seconds = histogram(
            "api_wait_seconds", "Seconds for which a call waited for its turn.", FAST, "purpose"
        )
        self.api_throttled = counter("api_throttled", "Answers 429 of Amili.", "purpose")
        self.api_breaker = counter(
            "api_breaker", "Times that the breaker opened or closed.", "state"
        )
        self.actions = counter("actions", "Steps of the ledger.", "kind", "state")
        self.submission_items = counter(
            "submission_items", "Items handed over, by what became of them.", "kind", "outcome"
        )
        self.decisions = counter("decisions", "Decisions of policies.", "policy", "outcome")
        self.sweeps = counter("sweeps", "Rounds of the sweeper.", "outcome")
        self.epoch_repairs = counter(
            "epoch_repairs", "Times that the door's keys spoke of another database.", "reason"
        )
        self.leases_lost = counter("leases_lost", "Writes refused by a fencing number.")

    def page(self, snapshot: Callable[[], Snapshot] | None = None) -> bytes:
        """Render the exposition page; `snapshot` adds the gauges."""
        registry = CollectorRegistry() if self._directory or snapshot else self._registry
        if self._directory:
            MultiProcessCollector(registry, path=str(self._directory))  # type: ignore[no-untyped-call]
        elif registry is not self._registry:
            registry.register(self._registry)
        if snapshot:
            registry.register(SnapshotCollector(snapshot))
        return generate_latest(registry)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"amili_{name}", words, labels, registry=self._registry)

    def _histogram(
        self, name: str, words: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"amili_{name}", words, labels, buckets=buckets, registry=self._registry)


def share_through_files(directory: Path, role: str) -> None:
    """Keep this process's values in files of `directory`; a forked child gets one of its own."""
    directory.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    # Asked at each count, and the kernel's answer to «which process am I» is slow where it is
    # virtual: a fork tells the child instead.
    names = [role]
    os.register_at_fork(after_in_child=lambda: names.__setitem__(0, f"{role}-horse"))
    values.ValueClass = values.MultiProcessValue(  # type: ignore[no-untyped-call]
        process_identifier=lambda: names[0]
    )
