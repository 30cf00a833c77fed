"""Prometheus and Grafana: rules that parse and fire when they should, and metrics that exist."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.telemetry.metrics import Metrics, Snapshot

CHECKOUT = Path(__file__).parents[2]
PROMETHEUS = CHECKOUT / "deploy" / "prometheus"
OPERATORS = CHECKOUT / "deploy" / "kubernetes" / "operators"
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "dashboards" / "amili-events.json"

FULL = Snapshot(
    inbox_entries=1,
    inbox_oldest_seconds=1,
    spool_entries=1,
    entities_due=1,
    dead_events=1,
    actions_open={("kind", "state"): 1},
    holds_active={"reason": 1},
    cases={("type", "status"): 1},
    cases_held_unpaused=1,
    last_webhook={"event": 1},
    api_rate=1,
    api_breaker_open=1,
    quarantine_entries=1,
)


def exported() -> dict[str, str]:
    """Name every series that a process exports, with its type."""
    page = Metrics().page(lambda: FULL).decode()
    found = dict(re.findall(r"^# TYPE (\S+) (\S+)$", page, re.MULTILINE))
    for name in [name for name, kind in found.items() if kind == "histogram"]:
        found |= {f"{name}_{part}": "histogram" for part in ("bucket", "sum", "count")}
    return found


def gauges() -> set[str]:
    """Name the gauges: they come from SQL and Redis, and every process exports the same."""
    of_counters = ("_created",)
    return {
        name
        for name, kind in exported().items()
        if kind == "gauge" and not name.endswith(of_counters)
    }


def rules() -> list[dict[str, Any]]:
    """List the alerts."""
    loaded = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    """Read the dashboard."""
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    """Give every query of the dashboard, with its panel's title."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target


def filled_in(expression: str) -> str:
    """Replace Grafana's own variables, as Grafana would."""
    for name, value in (("$__rate_interval", "5m"), ("$__range", "6h"), ("$namespace", ".*")):
        expression = expression.replace(name, value)
    return expression


def expressions() -> list[str]:
    """List every expression: of the alerts, of the dashboard, of the scaling."""
    scaling = yaml.safe_load_all((OPERATORS / "scaling.yaml").read_text(encoding="utf-8"))
    return [
        *(rule["expr"] for rule in rules()),
        *(filled_in(target["expr"]) for _, target in targets()),
        *(trigger["metadata"]["query"] for one in scaling for trigger in one["spec"]["triggers"]),
    ]


def promtool(path: str, *words: str) -> None:
    """Run promtool in the folder of the rules; its words are the test's failure."""
    ran = subprocess.run(
        [path, *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "alerts.yaml"),
        ("test", "rules", "alerts_test.yaml"),
        ("test", "rules", "alerts_silence_test.yaml"),
    ],
    ids=" ".join,
)
def test_promtool_is_content(tool: Callable[[str], str], words: tuple[str, ...]) -> None:
    """The configuration loads, and the alerts fire and stay silent as their tests say."""
    promtool(tool("promtool"), *words)


def test_every_expression_parses(tool: Callable[[str], str], tmp_path: Path) -> None:
    """Each expression of dashboard and scaling is PromQL: promtool reads it as a rule."""
    recorded = [
        {"record": f"one:{number}", "expr": expression}
        for number, expression in enumerate(expressions())
    ]
    written = tmp_path / "rules.yaml"
    written.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": recorded}]}))
    promtool(tool("promtool"), "check", "rules", str(written))


def test_every_metric_asked_for_exists() -> None:
    """A misspelt metric is an empty panel and an alert that never fires."""
    asked = {name for one in expressions() for name in re.findall(r"\bamili_\w+", one)}
    assert asked
    assert asked <= exported().keys()


def test_every_metric_is_on_the_dashboard() -> None:
    """A metric that nobody sees need not be kept: whoever adds one, adds its panel."""
    shown = {
        re.sub(r"_(bucket|sum|count)$", "", name)
        for _, target in targets()
        for name in re.findall(r"\bamili_\w+", target["expr"])
    }
    kept = {name for name in exported() if not re.search(r"_(created|bucket|sum|count)$", name)}
    assert kept == shown


def test_gauges_are_never_summed_over_processes() -> None:
    """Every process exports the same gauges: their sum would count each fact many times."""
    summed = re.compile(r"\b(?:sum|avg)(?: by \([^)]*\))? ?\((amili_\w+)")
    found = {name for one in expressions() for name in summed.findall(one)}
    assert not found & gauges()


def test_prometheus_operator_gets_the_same_rules() -> None:
    """One source: prometheus-rule.yaml holds the groups of alerts.yaml; its head says how."""
    ours = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text(encoding="utf-8"))
    theirs = yaml.safe_load((OPERATORS / "prometheus-rule.yaml").read_text(encoding="utf-8"))
    assert theirs["spec"] == ours


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_says_how_bad_and_what_to_do(rule: dict[str, Any]) -> None:
    """Who is woken reads: how bad, what it is in one line, and what to look at first."""
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["annotations"]["summary"].endswith(".")
    assert len(rule["annotations"]["description"]) > len(rule["annotations"]["summary"])


def test_every_alert_is_named_once() -> None:
    """A second alert of the same name would hide the first in every list."""
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_the_important_alerts_are_tried() -> None:
    """Each critical alert has a unit test."""
    files = PROMETHEUS.glob("alerts*_test.yaml")
    tried = "".join(path.read_text(encoding="utf-8") for path in files)
    critical = [rule["alert"] for rule in rules() if rule["labels"]["severity"] == "critical"]
    assert not [name for name in critical if name not in tried]


def test_the_dashboard_fits_any_grafana() -> None:
    """It is known by its uid and asks its user for the data source."""
    board = dashboard()
    assert board["uid"] == "amili-events"
    assert "datasource" in {variable["name"] for variable in board["templating"]["list"]}
    sources = {json.dumps(target["datasource"]) for _, target in targets()}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}


def test_the_dashboard_has_its_rows_and_no_panel_twice() -> None:
    """Rows in the order of a webhook's way; panels with ids and places of their own."""
    panels = dashboard()["panels"]
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == [
        "The door",
        "The inbox",
        "The work",
        "Amili's API",
        "The ledger",
        "Holds and cases",
        "Handing over, and the epoch",
    ]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert all(x < 24 for x, _ in taken)
