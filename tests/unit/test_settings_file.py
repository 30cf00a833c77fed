"""The settings file: the same names as in the environment, which goes before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from service import settings
from service.amili import contract
from service.errors import ConfigError

SECRET = "never-to-be-shown"


class Files:
    """Writes settings files and names them in the environment."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = folder / "amili.env"
        self.environment = monkeypatch
        monkeypatch.setenv("AMILI_SETTINGS_FILE", str(self.path))

    def write(self, text: str | bytes) -> None:
        """Write the file."""
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Give a settings file that is not there yet."""
    for name in ("PORT", "WEBHOOK_SECRETS", "PATH_PAUSE_CASE", "READ_LAG_SECONDS", "SECRETS_DIR"):
        monkeypatch.delenv(f"AMILI_{name}", raising=False)
    return Files(tmp_path, monkeypatch)


def test_both_rooms_read_it(file: Files) -> None:
    """Our settings and what is assumed about Amili stand in one file, comments and quotes too."""
    path = "/x/{organizationId}/y/{caseId}/stop"
    file.write(
        "\ufeff# ours\r\nAMILI_PORT=8181\r\nexport AMILI_WEBHOOK_SECRETS='a#1, b' # two\r\n"
        f"\r\nAMILI_PATH_PAUSE_CASE={path}\r\nOTHER=1\r\n"
    )
    ours = settings.load()
    assert ours.port == 8181
    assert [secret.get_secret_value() for secret in ours.webhook_secrets] == ["a#1", "b"]
    assert contract.load().case_path("pause_case") == path


def test_the_environment_goes_before_it(file: Files) -> None:
    """Given values, then the environment, then the file, then the secrets' folder."""
    file.write("AMILI_PORT=1\nAMILI_HOST=file\nAMILI_READ_LAG_SECONDS=1\n")
    secrets = file.path.parent / "secrets"
    secrets.mkdir()
    for name in ("host", "client_id"):
        (secrets / f"amili_{name}").write_text("folder", encoding="utf-8")
    file.environment.setenv("AMILI_SECRETS_DIR", str(secrets))
    file.environment.setenv("AMILI_PORT", "2")
    file.environment.setenv("AMILI_READ_LAG_SECONDS", "2")
    found = settings.load()
    assert (found.port, found.host, found.client_id) == (2, "file", "folder")
    assert settings.load(port=3).port == 3
    assert contract.load().read_lag_seconds == 2


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (f"AMILI_PORT=1\n\n\n{SECRET}\n", 4, "write NAME=value"),
        (f"AMILI_PORT=1\nAMILI_CLIENT_SECRET '{SECRET}'\n", 2, "write NAME=value"),
        (f"AMILI_CLIENT_SECRET='{SECRET}\n", 1, "write NAME=value"),
        (f"AMILI_PORT=1\namili_port={SECRET}\n", 2, "line 1 sets the same variable"),
        (f"AMILI_CLIENT_SECRET={SECRET}${{HOME}}\n", 1, "not expanded"),
    ],
)
def test_a_wrong_line_is_named(file: Files, text: str, line: int, words: str) -> None:
    """File, line and what to write instead are told; what stands there is not."""
    file.write(text)
    for load in (settings.load, contract.load):
        with pytest.raises(ConfigError) as caught:
            load()
        assert f"{file.path}, line {line}: " in str(caught.value)
        assert words in str(caught.value)
        assert SECRET not in str(caught.value)


def test_a_wrong_value_is_an_error_like_any_other(file: Files) -> None:
    """Values of the file are checked as those of the environment."""
    file.write("AMILI_PORT=many\nAMILI_PATH_PAUSE_CASE=pause\n")
    with pytest.raises(ConfigError, match=r"^AMILI_PORT: "):
        settings.load()
    with pytest.raises(ConfigError, match=r"^AMILI_PATH_PAUSE_CASE: must start with /"):
        contract.load()


def test_a_file_that_cannot_be_read(file: Files) -> None:
    """A file that is named must be there, be a file, and be UTF-8."""
    with pytest.raises(ConfigError, match=r"AMILI_SETTINGS_FILE: .*No such file"):
        settings.load()
    file.write(b"AMILI_HOST=\xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        contract.load()
    file.path.unlink()
    file.path.mkdir()
    with pytest.raises(ConfigError, match="directory"):
        settings.load()


def test_misspelt_names_in_it_are_noticed(file: Files) -> None:
    """A name that is nobody's is told, with what was perhaps meant; the file's own is known."""
    file.write("AMILI_PROT=1\nPATH=2\n")
    found = settings.strangers({"port"})
    assert found["AMILI_PROT"] == "AMILI_PORT"
    assert "PATH" not in found
    assert "AMILI_SETTINGS_FILE" not in found
