"""The assumptions: marked, replaceable, checked."""

from __future__ import annotations

import pytest

from service.amili.contract import Contract, Environment, api_base_url, load, token_url
from service.errors import ConfigError


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the variables of the surrounding shell away."""
    for name in Contract.model_fields:
        monkeypatch.delenv(f"AMILI_{name.upper()}", raising=False)
    monkeypatch.delenv("AMILI_SECRETS_DIR", raising=False)


def test_every_field_tells_its_mark() -> None:
    """Nothing in the contract hides whether it was read or assumed."""
    for name, field in Contract.model_fields.items():
        assert (field.description or "").startswith(("[assumed]", "[doc]")), name


def test_the_environment_replaces_an_assumption(monkeypatch: pytest.MonkeyPatch) -> None:
    """An assumption is corrected without code."""
    monkeypatch.setenv("AMILI_SIGNATURE_SCHEME", "timestamped")
    monkeypatch.setenv("AMILI_PATH_PAUSE_CASE", "/o/{organizationId}/c/{caseId}/stop")
    contract = load(read_lag_seconds=3)
    assert contract.signature_scheme == "timestamped"
    assert contract.case_path("pause_case") == "/o/{organizationId}/c/{caseId}/stop"
    assert contract.case_path("resume_case") == "/orgs/{organizationId}/cases/{caseId}/resume"
    assert contract.read_lag_seconds == 3


def test_each_wrong_variable_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """All mistakes are told at once, without their values."""
    monkeypatch.setenv("AMILI_SIGNATURE_SCHEME", "md5-secret")
    monkeypatch.setenv("AMILI_READ_LAG_SECONDS", "-1")
    monkeypatch.setenv("AMILI_IDEMPOTENCY_HEADER", "two words")
    monkeypatch.setenv("AMILI_PATH_PAUSE_CASE", "/cases/{caseId}")
    with pytest.raises(ConfigError) as caught:
        load()
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "AMILI_SIGNATURE_SCHEME",
        "AMILI_IDEMPOTENCY_HEADER",
        "AMILI_READ_LAG_SECONDS",
        "AMILI_PATH_PAUSE_CASE",
    ]
    assert lines[3].endswith("must contain {organizationId} and {caseId}, each once, and no other")
    assert "md5-secret" not in str(caught.value)


@pytest.mark.parametrize(
    "path",
    [
        "orgs/{organizationId}/{caseId}",
        "/{organizationId}/{caseId}?x",
        "/{organizationId}/{caseId}/{caseId}",
        "/{organizationId}/{caseId}/{x}",
        "/{organizationId}/{caseId}/{}",
        "/{organizationId}/{caseId",
        "/{organizationId}/{caseId!r}",
        "/{organizationId}/{caseId:>9}",
    ],
)
def test_wrong_paths_are_refused(path: str) -> None:
    """A path names the organization and the case, each once, and nothing else."""
    with pytest.raises(ConfigError, match="AMILI_PATH_PAUSE_CASE"):
        load(path_pause_case=path)


@pytest.mark.parametrize(("environment", "host"), [("staging", "staging."), ("production", "")])
def test_hosts(environment: Environment, host: str) -> None:
    """The hosts are those of the documentation."""
    assert api_base_url(environment) == f"https://api.{host}amili.no/collection/v1"
    assert token_url(environment) == f"https://auth.{host}amili.no/token"


def test_the_sandbox_has_no_host() -> None:
    """In the sandbox the error says what to do."""
    for ask in (api_base_url, token_url):
        with pytest.raises(ConfigError, match="AMILI_API_BASE_URL and AMILI_TOKEN_URL, or run"):
            ask("sandbox")
