"""The manifests, as `kubectl kustomize` renders them: valid, hardened, and open only where said."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
KUBERNETES = CHECKOUT / "deploy" / "kubernetes"
SCHEMAS = CHECKOUT / "tests" / "samples" / "schemas"
OVERLAYS = ["staging", "production"]
#: Seconds that a job of ours may take (RQ's `timeout`).
JOB_TIMEOUT = 60
CALLS_AMILI = {"worker-events", "worker-actions"}

Document = dict[str, Any]


@functools.cache
def render(kubectl: str, folder: Path) -> str:
    """Render one kustomization."""
    ran = subprocess.run(
        [kubectl, "kustomize", str(folder)], capture_output=True, text=True, check=False
    )
    if "must be a file" in ran.stderr or "unknown field" in ran.stderr:
        pytest.skip("needs kubectl 1.27 or newer (this one's kustomize is older than its format)")
    assert ran.returncode == 0, ran.stderr
    assert not ran.stderr, "a deprecated field"
    return ran.stdout


@pytest.fixture
def kubectl(tool: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Find kubectl, the test tools' own before the machine's."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    return tool("kubectl")


@pytest.fixture(params=OVERLAYS)
def documents(request: pytest.FixtureRequest, kubectl: str) -> list[Document]:
    """Render each overlay."""
    return list(yaml.safe_load_all(render(kubectl, KUBERNETES / "overlays" / request.param)))


def of_kind(documents: list[Document], *kinds: str) -> list[Document]:
    """Pick the documents of some kinds."""
    return [document for document in documents if document["kind"] in kinds]


def pods(documents: list[Document]) -> Iterator[tuple[str, Document]]:
    """Give every pod template's spec, with its component."""
    for document in of_kind(documents, "Deployment", "Job"):
        template = document["spec"]["template"]
        yield template["metadata"]["labels"]["app.kubernetes.io/component"], template["spec"]


def environment(documents: list[Document], component: str) -> dict[str, Document]:
    """Give a component's own variables by name."""
    ((_, pod),) = ((name, pod) for name, pod in pods(documents) if name == component)
    return {variable["name"]: variable for variable in pod["containers"][0]["env"]}


def selects(selector: Document, labels: dict[str, str]) -> bool:
    """Tell whether a label selector matches."""
    wanted = selector.get("matchLabels", {})
    return wanted.items() <= labels.items() and all(
        labels.get(rule["key"]) in rule["values"]
        for rule in selector.get("matchExpressions", [])
        if rule["operator"] == "In"
    )


def ports(documents: list[Document], component: str, way: str) -> set[int]:
    """Name the ports that the policies open for a component, `ingress` or `egress`."""
    labels = {
        "app.kubernetes.io/name": "amili-events",
        "app.kubernetes.io/component": component,
    }
    return {
        port["port"]
        for policy in of_kind(documents, "NetworkPolicy")
        if selects(policy["spec"]["podSelector"], labels)
        for rule in policy["spec"].get(way, [])
        for port in rule["ports"]
    }


@pytest.mark.parametrize("folder", ["base", "overlays/staging", "overlays/production"])
def test_it_renders(kubectl: str, folder: str) -> None:
    """The base alone and both overlays render, without a word about deprecated fields."""
    assert render(kubectl, KUBERNETES / folder)


def test_every_object_is_valid(documents: list[Document]) -> None:
    """Kubernetes' own objects and the operators' pass their schemas, unknown members refused."""
    for document in documents:
        group, _, version = document["apiVersion"].rpartition("/")
        custom = SCHEMAS / f"{group}_{document['kind'].lower()}_{version}.json"
        if custom.exists():
            # Go's patterns may set a flag after the start, Python's not.
            schema = custom.read_text(encoding="utf-8").replace("^(?i)", "(?i)^")
            jsonschema.validate(document, json.loads(schema))
        else:
            kubernetes_validate.validate(document, "1.33", strict=True)


def test_all_parts_are_there(documents: list[Document]) -> None:
    """The door, one Deployment for each queue, the sweeper, and the migration."""
    commands = {name: pod["containers"][0]["args"] for name, pod in pods(documents)}
    assert commands == {
        "door": ["serve"],
        "worker-events": ["worker", "--only", "events"],
        "worker-actions": ["worker", "--only", "actions"],
        "sweeper": ["worker", "--only", "sweeper"],
        "migrate": ["migrate"],
    }


def test_every_object_is_in_the_overlays_namespace(documents: list[Document]) -> None:
    """Nothing lands beside the environment that it belongs to."""
    (namespace,) = of_kind(documents, "Namespace")
    name = namespace["metadata"]["name"]
    others = [document for document in documents if document is not namespace]
    assert {document["metadata"]["namespace"] for document in others} == {name}


def test_every_pod_is_hardened(documents: list[Document]) -> None:
    """The restricted profile, a read-only root, no token and no service links."""
    for _, pod in pods(documents):
        assert pod["serviceAccountName"] == "amili-events"
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"].keys() == {"memory"}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_the_data_folder_is_each_pods_own(documents: list[Document]) -> None:
    """Metric files of two pods in one folder would be mixed up."""
    for component, pod in pods(documents):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        mounts = {
            mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]
        }
        variables = environment(documents, component)
        assert "emptyDir" in volumes[mounts[variables["AMILI_DATA_DIR"]["value"]]]


def test_images_do_not_move(documents: list[Document]) -> None:
    """Every pod runs this checkout's version, by a tag of its own."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    images = {pod["containers"][0]["image"] for _, pod in pods(documents)}
    assert images == {f"amili-events:{project['project']['version']}"}


def test_a_job_is_let_finish(documents: list[Document]) -> None:
    """A worker's grace period is longer than its longest job, with a margin."""
    for component, pod in pods(documents):
        if component not in ("door", "migrate"):
            assert pod["terminationGracePeriodSeconds"] >= JOB_TIMEOUT + 15


def test_every_server_is_probed(documents: list[Document]) -> None:
    """Started, ready and alive are asked; being alive is never asked of Redis or SQL."""
    for component, pod in pods(documents):
        container = pod["containers"][0]
        if component == "migrate":
            continue
        ready = "/readyz" if component == "door" else "/livez"
        (port,) = (port["name"] for port in container["ports"])
        for probe, path in (("startup", "/livez"), ("readiness", ready), ("liveness", "/livez")):
            assert container[f"{probe}Probe"]["httpGet"] == {"path": path, "port": port}


def test_secrets_come_by_reference(documents: list[Document]) -> None:
    """No manifest holds a secret; each key of the Secret is named like its variable."""
    assert not of_kind(documents, "Secret")
    for component, _ in pods(documents):
        for name, variable in environment(documents, component).items():
            if name != "AMILI_DATA_KEY_FILE" and re.search(r"_URL|SECRET|TOKEN|CLIENT|KEY", name):
                assert variable["valueFrom"]["secretKeyRef"] == {
                    "name": "amili-events",
                    "key": name,
                }


def test_each_part_has_only_the_secrets_it_needs(documents: list[Document]) -> None:
    """Only the two that call Amili have its credentials, only the door the webhook secrets."""
    for component, _ in pods(documents):
        names = environment(documents, component).keys()
        assert ("AMILI_CLIENT_SECRET" in names) is (component in CALLS_AMILI)
        assert ("AMILI_WEBHOOK_SECRETS" in names) is (component == "door")
        assert ("AMILI_REDIS_URL" in names) is (component != "migrate")
        assert ("AMILI_DATA_KEY_FILE" in names) is (component == "door")


def test_the_vault_fills_every_key_that_is_read(kubectl: str) -> None:
    """Production's ExternalSecret writes the keys that the pods refer to, and no others."""
    rendered = render(kubectl, KUBERNETES / "overlays" / "production")
    documents = list(yaml.safe_load_all(rendered))
    (external,) = of_kind(documents, "ExternalSecret")
    read = {
        name
        for component, _ in pods(documents)
        for name, variable in environment(documents, component).items()
        if "valueFrom" in variable
    }
    read |= {
        item["key"]
        for _, pod in pods(documents)
        for volume in pod["volumes"]
        for item in volume.get("secret", {}).get("items", [])
    }
    assert {entry["secretKey"] for entry in external["spec"]["data"]} == read


def test_the_world_reaches_one_path(documents: list[Document]) -> None:
    """The ingress routes the webhook, exactly, by TLS, to the door's Service."""
    (ingress,) = of_kind(documents, "Ingress")
    (rule,) = ingress["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/webhooks/amili", "Exact")
    assert "defaultBackend" not in ingress["spec"]
    (service,) = of_kind(documents, "Service")
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    assert service["spec"].get("type", "ClusterIP") == "ClusterIP"


def test_the_certificate_is_the_ingresss(documents: list[Document]) -> None:
    """One host in three places, one Secret in two."""
    (ingress,) = of_kind(documents, "Ingress")
    (certificate,) = of_kind(documents, "Certificate")
    (tls,) = ingress["spec"]["tls"]
    (rule,) = ingress["spec"]["rules"]
    assert certificate["spec"]["dnsNames"] == tls["hosts"] == [rule["host"]]
    assert certificate["spec"]["secretName"] == tls["secretName"]


def test_nothing_is_open_but_what_is_said(documents: list[Document]) -> None:
    """A default deny, then for each part the ports that it needs: https only to call Amili."""
    deny = [
        policy["spec"]
        for policy in of_kind(documents, "NetworkPolicy")
        if policy["spec"].keys() == {"podSelector", "policyTypes"}
    ]
    assert [spec["policyTypes"] for spec in deny] == [["Ingress", "Egress"]]
    stores = {53, 5432, 6379}
    assert {name: ports(documents, name, "egress") for name, _ in pods(documents)} == {
        "door": stores,
        "sweeper": stores,
        "worker-events": {*stores, 443},
        "worker-actions": {*stores, 443},
        "migrate": {53, 5432},
    }
    assert {name: ports(documents, name, "ingress") for name, _ in pods(documents)} == {
        "door": {8080},
        "sweeper": {9464},
        "worker-events": {9464},
        "worker-actions": {9464},
        "migrate": set(),
    }


def test_selectors_find_their_pods(documents: list[Document]) -> None:
    """Each Deployment, Service and disruption budget selects one component's pods."""
    components = {name for name, _ in pods(documents)}
    for document in of_kind(documents, "Deployment", "PodDisruptionBudget", "Service"):
        selector = document["spec"]["selector"]
        labels = selector.get("matchLabels", selector)
        assert labels["app.kubernetes.io/name"] == "amili-events"
        assert labels["app.kubernetes.io/component"] in components
    budgets = of_kind(documents, "PodDisruptionBudget")
    assert len(budgets) == len(of_kind(documents, "Deployment"))


def test_every_part_is_scraped(documents: list[Document]) -> None:
    """The monitor knows the metrics port of each pod that runs on."""
    (monitor,) = of_kind(documents, "PodMonitor")
    scraped = {endpoint["port"] for endpoint in monitor["spec"]["podMetricsEndpoints"]}
    named = {
        port["name"] for _, pod in pods(documents) for port in pod["containers"][0].get("ports", [])
    }
    assert scraped == named


def test_replicas_have_one_owner(documents: list[Document]) -> None:
    """What an autoscaler scales has no `replicas` of its own, which a rollout would set back."""
    scaled = {
        document["spec"]["scaleTargetRef"]["name"]
        for document in of_kind(documents, "HorizontalPodAutoscaler", "ScaledObject")
    }
    assert scaled == {"amili-door", "amili-worker-events", "amili-worker-actions"}
    for deployment in of_kind(documents, "Deployment"):
        owned = deployment["metadata"]["name"] in scaled
        assert owned is ("replicas" not in deployment["spec"])


def test_workers_scale_on_their_own_environment(documents: list[Document]) -> None:
    """One Prometheus may see staging and production: each query names its namespace."""
    for scaled in of_kind(documents, "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            namespace = f'namespace="{scaled["metadata"]["namespace"]}"'
            assert namespace in trigger["metadata"]["query"]
        assert scaled["spec"]["minReplicaCount"] >= 1
