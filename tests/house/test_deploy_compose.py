"""compose.yaml, read as text: valid, durable, free of secrets, open to the world at one path."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import yaml

CHECKOUT = Path(__file__).parents[2]
DEPLOY = CHECKOUT / "deploy"
SCHEMA = CHECKOUT / "tests" / "samples" / "schemas" / "compose-spec.json"
#: Seconds that a job of ours may take (RQ's `timeout`).
JOB_TIMEOUT = 60
WORKERS = {"worker-events", "worker-actions", "sweeper"}
OURS = {"door", "migrate", *WORKERS}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(:\?[^}]+|:-[^}]*)?\}")
SECRET = re.compile(r"SECRET|TOKEN|PASSWORD|CLIENT|REDISCLI_AUTH|_URL|_KEYS")

Service = dict[str, Any]


def text(name: str) -> str:
    """Read one file of deploy/."""
    return (DEPLOY / name).read_text(encoding="utf-8")


def compose() -> dict[str, Any]:
    """Read compose.yaml, its anchors and merges done."""
    loaded: dict[str, Any] = yaml.safe_load(text("compose.yaml"))
    return loaded


def services() -> dict[str, Service]:
    """Give the services by name."""
    found: dict[str, Service] = compose()["services"]
    return found


def offered() -> dict[str, str]:
    """Read what the example of the env file sets, its commented lines too."""
    return dict(re.findall(r"^#?([A-Z_]+)=(.*)$", text("compose.env.example"), re.MULTILINE))


def test_it_is_a_compose_file() -> None:
    """It fits the Compose specification's schema, unknown members refused."""
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(schema).validate(compose())


def test_all_parts_are_there() -> None:
    """One service for each process of ours, each queue its own."""
    commands = {name: services()[name]["command"] for name in OURS}
    assert commands == {
        "door": ["serve"],
        "worker-events": ["worker", "--only", "events"],
        "worker-actions": ["worker", "--only", "actions"],
        "sweeper": ["worker", "--only", "sweeper"],
        "migrate": ["migrate"],
    }


def test_the_schema_is_there_before_anybody_uses_it() -> None:
    """Door and workers wait for the migration's success, the migration for its database."""
    for name in OURS - {"migrate"}:
        waits = services()[name]["depends_on"]
        assert waits["migrate"] == {"condition": "service_completed_successfully"}
    assert services()["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}


def test_every_process_of_ours_is_hardened() -> None:
    """A read-only root, no capabilities, no way to get more, and a data folder of its own."""
    for name in OURS:
        service = services()[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert any(mount.startswith("/data:uid=10001") for mount in service["tmpfs"])
        assert "volumes" not in service
        assert "privileged" not in service


def test_whatever_ends_is_started_again() -> None:
    """RQ workers may leave with exit code 0; only the one-shot ends for good."""
    restarts = {name: service["restart"] for name, service in services().items()}
    assert restarts.pop("migrate") == "on-failure"
    assert set(restarts.values()) == {"always"}


def test_a_job_is_let_finish_and_hears_one_signal() -> None:
    """The grace period is longer than the longest job, and no init stands in between."""
    for name in WORKERS:
        period = services()[name]["stop_grace_period"]
        assert int(period.removesuffix("s")) >= JOB_TIMEOUT + 15
    assert not any("init" in service for service in services().values())


def test_what_redis_has_taken_it_keeps() -> None:
    """An answer to Amili stands behind a write on disk; a full Redis refuses, it evicts nothing."""
    redis = compose()["configs"]["redis"]["content"]
    settings = dict(line.split(None, 1) for line in redis.splitlines())
    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "always"
    assert settings["maxmemory-policy"] == "noeviction"
    assert "requirepass" in settings
    assert "redis-data:/data" in services()["redis"]["volumes"]


def test_only_the_proxy_is_open_to_the_world() -> None:
    """Every other port is published on the host's loopback alone."""
    for name, service in services().items():
        for port in service.get("ports", []):
            assert name == "proxy" or port.startswith("127.0.0.1:")
    assert {"80:80", "443:443"} <= set(services()["proxy"]["ports"])


def test_the_proxy_passes_one_path_on() -> None:
    """By its public name it knows the webhook only; all else is not found."""
    public = text("proxy/Caddyfile").partition("{$PUBLIC_HOST} {")[2].partition("\n}")[0]
    assert re.findall(r"path (\S+)", public) == ["/webhooks/amili"]
    assert public.count("reverse_proxy") == 1
    assert "respond 404" in public


def test_the_door_has_no_way_out() -> None:
    """Only what calls Amili, and the proxy, is on a network that leads anywhere."""
    networks = compose()["networks"]
    inner = {name for name, network in networks.items() if network and network.get("internal")}
    leave = {
        name
        for name, service in services().items()
        if not set(service["networks"]) <= inner and "profiles" not in service
    }
    assert leave == {"proxy", "worker-events", "worker-actions"}


def test_no_secret_is_written_down() -> None:
    """Every secret is a variable without which nothing starts, and the message says so."""
    for service in services().values():
        for name, value in (service.get("environment") or {}).items():
            if SECRET.search(name):
                assert VARIABLE.search(value), name
    required = {name for name, rest in VARIABLE.findall(text("compose.yaml")) if rest[:2] == ":?"}
    # One that becomes a file is required by Compose itself.
    required |= {secret["environment"] for secret in compose()["secrets"].values()}
    assert {name for name in offered() if SECRET.search(name)} <= required


def test_each_part_has_only_the_secrets_it_needs() -> None:
    """Only the two that call Amili have its credentials, only the door the webhook secrets."""
    for name in OURS:
        given = services()[name]["environment"].keys()
        calls = name in {"worker-events", "worker-actions"}
        assert ("AMILI_CLIENT_SECRET" in given) is calls
        assert ("AMILI_WEBHOOK_SECRETS" in given) is (name == "door")
        assert ("data_keys" in mounted(services()[name])) is (name == "door")


def mounted(service: Service) -> list[str]:
    """Name the secrets that a service has as files."""
    return [secret["source"] for secret in service.get("secrets", [])]


def test_the_example_offers_what_the_file_reads() -> None:
    """Each variable of compose.yaml stands in the example, and no other; no secret has a value."""
    read = {name for name, _ in VARIABLE.findall(text("compose.yaml"))} - {"IMAGE_TAG"}
    passed_on = {
        name
        for service in services().values()
        for name, value in (service.get("environment") or {}).items()
        if value is None
    }
    files = {secret["environment"] for secret in compose()["secrets"].values()}
    assert offered().keys() == read | passed_on | files
    assert not [name for name, value in offered().items() if SECRET.search(name) and value]


def test_every_file_that_is_mounted_exists() -> None:
    """A missing file would be mounted as an empty folder."""
    mounts = [volume for one in services().values() for volume in one.get("volumes", [])]
    ours = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert ours
    assert all((DEPLOY / path).exists() for path in ours)


def test_prometheus_finds_every_process() -> None:
    """It asks by the services' names, at the ports where they serve metrics."""
    (job,) = yaml.safe_load(text("prometheus/prometheus.yml"))["scrape_configs"]
    found = {name: sd["port"] for sd in job["dns_sd_configs"] for name in sd["names"]}
    assert found == {"door": 8080} | dict.fromkeys(WORKERS, 9464)
    for name in WORKERS:
        assert services()[name]["environment"]["AMILI_METRICS_PORT"] == "9464"
        assert "127.0.0.1:9464/livez" in " ".join(services()[name]["healthcheck"]["test"])


def test_images_are_pinned_and_come_from_no_named_host() -> None:
    """No `latest`, and no registry by its host."""
    for service in services().values():
        name, _, tag = service["image"].partition(":")
        assert tag
        assert not tag.startswith("latest")
        assert "." not in name.split("/")[0]
