"""Stays red until an addition is complete: each thing has its counterpart in every other place."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TypeVar

import pytest
import yaml

from service import errors, policies, queue
from service.amili import webhooks
from service.domain.deliveries import LABELS
from service.domain.entities import Kind
from service.errors import AmiliEventsError, IntakeError
from service.intake import readiness, writing
from service.settings import Settings
from service.telemetry.metrics import Metrics, Snapshot
from service.web import problems
from workers.handlers import HANDLERS

CHECKOUT = Path(__file__).parents[2]

#: What house §4 promises to Prometheus, with its labels. Those of reconciliation come with it.
PROMISED: dict[str, tuple[str, ...]] = {
    "amili_webhooks_total": ("event", "outcome"),
    "amili_webhook_seconds": (),
    "amili_inbox_entries": (),
    "amili_inbox_oldest_seconds": (),
    "amili_events_total": ("event", "outcome"),
    "amili_event_settle_seconds": (),
    "amili_entities_due": (),
    "amili_dead_events": (),
    "amili_api_requests_total": ("operation", "status"),
    "amili_api_request_seconds": ("operation",),
    "amili_actions_total": ("kind", "state"),
    "amili_actions_open": ("kind", "state"),
    "amili_holds_active": ("reason",),
    "amili_cases": ("type", "status"),
    "amili_last_webhook_timestamp_seconds": ("event",),
}


E = TypeVar("E", bound=Exception)


def descendants(kind: type[E]) -> Iterator[type[E]]:
    """Walk all classes below this one that are the house's own."""
    for child in kind.__subclasses__():
        if child.__module__.startswith("service"):
            yield child
            yield from descendants(child)


def parents_drawn() -> dict[str, str]:
    """Read the tree in the docstring of errors.py: class → parent."""
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        for match in re.finditer(r"(?:^    |[├└]── )([A-Z]\w+)", line):
            first = not drawn and not path
            depth = 0 if first else match.start() // 4
            if line.count("──") > 1:  # leaves side by side have one parent
                depth = next(re.finditer("[├└]", line)).start() // 4
            path[depth:] = [match[1]]
            if depth:
                drawn[match[1]] = path[depth - 1]
    return drawn


@pytest.mark.parametrize("name", sorted(queue.JOBS.values()))
def test_every_job_is_a_function(name: str) -> None:
    """A job's name leads to a function that takes no payload."""
    module, _, function = name.rpartition(".")
    found = getattr(import_module(module), function)
    assert callable(found)
    assert found.__module__ == module
    assert found.__code__.co_argcount == 0


def test_every_policy_has_its_switch() -> None:
    """Policies, their switches in the settings and their files are the same, one for one."""
    names = [policy.name for policy in policies.POLICIES]
    assert len(set(names)) == len(names)
    switches = {
        field.removeprefix("policy_")
        for field in Settings.model_fields
        if field.startswith("policy_")
    }
    folder = CHECKOUT / "service" / "policies"
    files = {path.stem for path in folder.glob("*.py")} - {"__init__", "situations"}
    assert set(names) == switches == files


def test_switches_turn_policies_off() -> None:
    """Each switch turns off its own policy and no other."""
    names = {policy.name for policy in policies.POLICIES}
    for off in names:
        left = policies.enabled({name: name != off for name in names})
        assert {policy.name for policy in left} == names - {off}


def test_every_policy_is_tested() -> None:
    """A policy is named in at least one test file that is not this one."""
    tests = [path for path in (CHECKOUT / "tests").rglob("test_*.py") if path != Path(__file__)]
    words = "\n".join(path.read_text(encoding="utf-8") for path in tests)
    for policy in policies.POLICIES:
        assert re.search(policy.name, words, re.IGNORECASE), policy.name


def test_every_kind_has_a_handler() -> None:
    """Each kind of entity is handled."""
    assert set(HANDLERS) == set(Kind)


def test_every_kind_is_shown_by_the_api() -> None:
    """Each kind of entity can be read under `/api/v1`."""
    files = (CHECKOUT / "service" / "web" / "api").glob("*.py")
    words = "\n".join(path.read_text(encoding="utf-8") for path in files)
    for plural in ("cases", "invoices", "batches", "settlements"):
        assert f'"/{plural}/{{id}}"' in words
    assert len(Kind) == 4


def test_every_event_type_is_complete() -> None:
    """Each type of webhook has its label, its subject's kind, and a handler for that kind."""
    for name, kind in webhooks.EVENTS.items():
        label = webhooks.SAME.get(name, name)
        assert label in LABELS
        # A new type's class may need another id: add it here.
        data = {"caseId": "1", "batchId": "1", "settlementId": "1", "invoiceId": "1"}
        subject = kind.model_validate(data).subject()
        assert Kind(subject.kind) in HANDLERS
    assert "other" in LABELS
    known = {webhooks.SAME.get(name, name) for name in webhooks.EVENTS}
    assert known == set(LABELS) - {"other"}


def test_every_refusal_has_its_status() -> None:
    """Each error of the door has a 4xx of its own, or 503 for what is our fault."""
    for kind in descendants(IntakeError):
        made = kind("no_header") if issubclass(kind, errors.SignatureError) else kind()
        answer = problems.of_error(made)
        listed = [entry for entry in problems.STATUSES if issubclass(kind, entry[0])]
        assert listed, kind
        assert answer.status_code == listed[0][1]
        assert (answer.status_code == 503) is issubclass(kind, errors.NothingDurable)


def test_special_errors_come_first() -> None:
    """No error is hidden behind a more general one in the list of statuses."""
    seen: list[type[Exception]] = []
    for kind, status, title in problems.STATUSES:
        assert not any(issubclass(kind, each) for each in seen), kind
        assert 400 <= status < 600
        assert title
        seen.append(kind)


def test_every_refusal_has_its_outcome() -> None:
    """Each error of the door is counted under an outcome of its own, its variants under its own."""
    outcomes = {kind: kind.outcome for kind in IntakeError.__subclasses__()}
    assert len(set(outcomes.values())) == len(outcomes)
    assert "refused" not in outcomes.values()
    for kind in descendants(IntakeError):
        assert kind.outcome in outcomes.values()


def test_error_tree_is_drawn() -> None:
    """The tree in errors.py's docstring is the tree of its classes."""
    real = {
        kind.__name__: kind.__mro__[1].__name__
        for kind in descendants(AmiliEventsError)
        if kind.__module__ == errors.__name__
    }
    assert parents_drawn() == real


def test_every_error_says_something() -> None:
    """A class's docstring is its message: one sentence, which ends like one."""
    for kind in descendants(AmiliEventsError):
        said = (kind.__doc__ or "").strip()
        assert re.fullmatch(r"[A-Z].*\S", said, re.DOTALL), kind
        assert "\n" not in said, kind


def exported() -> dict[str, set[tuple[str, ...]]]:
    """List the metrics of a page on which everything happened once: name → sets of labels."""
    metrics = Metrics()
    for part in vars(metrics).values():
        if getattr(part, "_labelnames", ()):
            part.labels(*("x" for _ in part._labelnames))
    full = Snapshot(
        *(0.0,) * 5,
        actions_open={("x", "y"): 1},
        holds_active={"x": 1},
        cases={("x", "y"): 1},
        last_webhook={"x": 1},
    )
    found: dict[str, set[tuple[str, ...]]] = {}
    for line in metrics.page(lambda: full).decode().splitlines():
        if match := re.match(
            r"(amili_\w+?)(?:_bucket|_count|_sum|_created)?(?:\{(.*)\})? \S+$", line
        ):
            labels = tuple(re.findall(r'(\w+)="', match[2] or ""))
            found.setdefault(match[1], set()).add(tuple(n for n in labels if n != "le"))
    return found


def test_promised_metrics_are_exported() -> None:
    """Every metric that others rely on is there, with exactly its labels."""
    found = exported()
    for name, labels in PROMISED.items():
        assert {frozenset(each) for each in found.get(name, ())} == {frozenset(labels)}, name


def test_probes_outwait_the_stores() -> None:
    """A readiness probe waits longer than /readyz does for a store that hangs."""
    path = CHECKOUT / "deploy" / "kubernetes" / "base" / "door.yaml"
    probes = [
        container["readinessProbe"]
        for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
        if document["kind"] == "Deployment"
        for container in document["spec"]["template"]["spec"]["containers"]
    ]
    assert probes
    slowest = max(readiness.DATABASE_SECONDS, writing.REDIS_SECONDS)
    assert all(probe["timeoutSeconds"] > slowest for probe in probes)


def test_no_metric_is_labelled_by_an_id() -> None:
    """Labels come from a small set of names, none of which is an id."""
    allowed = {
        *("event", "outcome", "reason", "operation", "status", "kind", "state", "type"),
        *("entity", "policy", "purpose"),
    }
    for name, sets in exported().items():
        assert {label for labels in sets for label in labels} <= allowed, name


def test_every_setting_is_said_in_words() -> None:
    """Every setting of the house that it promises to others exists."""
    promised = (
        "environment api_base_url token_url client_id client_secret organization_ids "
        "webhook_secrets redis_url database_url data_dir ack_durability api_tokens "
        "capture_refused tls_cert_file tls_key_file host port max_body_bytes log_level "
        "metrics_port"
    )
    assert set(promised.split()) <= set(Settings.model_fields)
