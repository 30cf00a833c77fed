"""What `deploy/` sets: only settings that exist, with values that the settings accept."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from service import settings
from service.amili.contract import Contract
from service.settings import Settings

CHECKOUT = Path(__file__).parents[2]
KUBERNETES = CHECKOUT / "deploy" / "kubernetes"
NAME = re.compile(r"\bAMILI_[A-Z][A-Z_]*[A-Z]\b")
#: No settings: the prefix of what Kubernetes' service links would inject; the content of the
#: file that AMILI_DATA_KEY_FILE names.
OTHERS = {"AMILI_EVENTS", "AMILI_DATA_KEYS"}


def known() -> set[str]:
    """Name every variable that a process of ours reads."""
    fields = {*Settings.model_fields, *Contract.model_fields, "secrets_dir"}
    return {f"AMILI_{field.upper()}" for field in fields}


def described() -> list[Path]:
    """List every file that says how to run the product."""
    return [
        CHECKOUT / "Dockerfile",
        *sorted(
            path
            for path in (CHECKOUT / "deploy").rglob("*")
            if path.is_file() and path.suffix != ".png"
        ),
    ]


def literals(kustomization: Path) -> dict[str, str]:
    """Read the `NAME=value` lines of a kustomization's ConfigMap, and of all that it merges."""
    lines = re.findall(r"^ +- (AMILI_\w+)=(.*)$", kustomization.read_text(encoding="utf-8"), re.M)
    return dict(lines)


@pytest.mark.parametrize("path", described(), ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_setting_that_is_named_exists(path: Path) -> None:
    """A setting that is misspelt is silently the default: manifests, comments and alerts alike."""
    named = set(NAME.findall(path.read_text(encoding="utf-8")))
    assert named <= known() | OTHERS


@pytest.mark.parametrize("overlay", ["staging", "production"])
def test_the_values_of_an_overlay_are_accepted(
    overlay: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ConfigMap's values load, and name the overlay's own environment."""
    values = literals(KUBERNETES / "base" / "kustomization.yaml")
    values |= literals(KUBERNETES / "overlays" / overlay / "kustomization.yaml")
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    assert settings.load().environment == overlay


def test_what_the_image_sets_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image listens to its container's network and writes to its one folder."""
    text = (CHECKOUT / "Dockerfile").read_text(encoding="utf-8")
    for name, value in re.findall(r"(AMILI_\w+)=(\S+)", text):
        monkeypatch.setenv(name, value)
    loaded = settings.load()
    assert (loaded.host, loaded.port, loaded.data_dir) == ("0.0.0.0", 8080, Path("/data"))  # noqa: S104
