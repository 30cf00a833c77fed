"""`amili-events quarantine`, `signature detect --last`, `config` and `doctor`, with a data key."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import subprocess
from pathlib import Path

import pytest

from service.desk.quarantine import Quarantined
from service.settings import Settings
from tests.doors import (
    SECRET,
    DoorThread,
    commands,
    drained,
    event,
    migrated,
    opened_database,
    rows,
    settings_for,
    signed,
)


@pytest.fixture
def settings(redis_url: str, sqlite_url: str, tmp_path: Path) -> Settings:
    """Migrate a SQLite, and set a key file."""
    migrated(sqlite_url, tmp_path)
    keys = tmp_path / "keys"
    keys.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    keys.chmod(0o600)
    return settings_for(redis_url, sqlite_url, tmp_path / "data", data_key_file=keys)


class Shell:
    """Runs commands with the settings of an installation, many in one go."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder

    def run(self, *asked: str, **more: object) -> list[subprocess.CompletedProcess[str]]:
        """Run these commands, one after the other; none of them shows a traceback."""
        settings = self._settings
        given = {
            "AMILI_REDIS_URL": settings.redis_url,
            "AMILI_DATABASE_URL": settings.database_url,
            "AMILI_DATA_DIR": settings.data_dir,
            "AMILI_DATA_KEY_FILE": settings.data_key_file,
            "AMILI_WEBHOOK_SECRETS": SECRET,
            "COLUMNS": 300,
            **more,
        }
        folder = self._folder / secrets.token_hex(8)
        folder.mkdir()
        done = commands(folder, [(words.split(), given) for words in asked])
        assert not any("Traceback" in each.stderr + each.stdout for each in done)
        return done

    def says(self, *asked: str, **more: object) -> list[str]:
        """Run commands that must succeed; return what they say."""
        done = self.run(*asked, **more)
        assert [each.returncode for each in done] == [0] * len(done), done
        return [each.stdout for each in done]

    def fails(self, *asked: str, **more: object) -> list[str]:
        """Run commands that must fail in one line; return those."""
        done = self.run(*asked, **more)
        for each in done:
            assert (each.returncode, len(each.stderr.splitlines())) == (1, 1), each
        return [each.stderr for each in done]

    def kept(self) -> list[dict[str, str]]:
        """Return the entries, newest first."""
        with opened_database(self._settings) as database:
            found: list[dict[str, str]] = Quarantined(database, None).list()["data"]
        return found


@pytest.fixture
def shell(settings: Settings, tmp_path: Path) -> Shell:
    """Open a shell."""
    return Shell(settings, tmp_path)


def test_a_secret_is_mended(settings: Settings, shell: Shell) -> None:
    """List, show, replay in vain, replay with the right secret: all of it without a door."""
    body = event(id="event-1", data={"caseId": "case-1", "note": "\N{SNOWMAN}"})
    with DoorThread(settings) as door:
        assert door.deliver(body, **signed(body, "new")).status == 401
        assert door.deliver(b"\xff{", **signed(b"\xff{")).status == 400
    # Both may be written at once, in either order.
    entries = shell.kept()
    found = {each["reason"]: each for each in entries}
    malformed, unproven = found["malformed"], found["no_secret_matched"]
    name = unproven["quarantineId"]
    listed, shown, raw, lines = shell.says(
        "quarantine list --json",
        f"quarantine show {name}",
        f"quarantine show {name} --body",
        f"quarantine show {name} --headers",
    )
    assert json.loads(listed)["data"] == entries
    assert json.loads(shown)["body"] == raw == body.decode()
    assert f"x-webhook-signature: {signed(body, 'new')['X-Webhook-Signature']}" in lines
    (vain,) = shell.run(f"quarantine replay {name}")
    assert (vain.returncode, vain.stdout) == (1, f"{name} refused no_secret_matched\n")
    both, none = shell.run(
        "quarantine replay --all",
        "quarantine replay --reason no_header",
        AMILI_WEBHOOK_SECRETS=f"{SECRET},new",
    )
    assert both.returncode == 1
    assert sorted(both.stdout.splitlines()) == sorted(
        [f"{name} accepted event-1", f"{malformed['quarantineId']} refused malformed"]
    )
    assert (none.returncode, none.stdout) == (0, "There is nothing in quarantine.\n")
    assert [each["reason"] for each in shell.kept()] == ["malformed"]
    drained(settings)
    assert [row.event_id for row in rows(settings)] == ["event-1"]


def test_purge(settings: Settings, shell: Shell) -> None:
    """Entries go by id, by reason, by age, or all; never without saying which."""
    with DoorThread(settings) as door:
        for number in range(3):
            door.deliver(event(), **signed(b"%d" % number))
        door.deliver(b"{", **signed(b"{"))
    first = shell.kept()[-1]["quarantineId"]
    purge = "quarantine purge"
    shell.fails(purge, f"{purge} {first} --all", f"{purge} --older-than soon", "quarantine replay")
    assert len(shell.kept()) == 4
    said = shell.says(
        *(f"{purge} --older-than 1h", f"{purge} {first}"),
        *(f"{purge} --reason malformed", f"{purge} --all"),
    )
    assert said == ["Forgot 0.\n", "Forgot 1.\n", "Forgot 1.\n", "Forgot 2.\n"]
    assert shell.kept() == []


def test_signature_detect_takes_the_newest_sealed(settings: Settings, shell: Shell) -> None:
    """`--last` opens the newest delivery of the quarantine that was refused for its signature."""
    body = event()
    digest = hmac.digest(b"another", body, "sha512").hex()
    with DoorThread(settings) as door:
        assert door.deliver(body, X_Webhook_Signature=digest).status == 401
        assert door.deliver(b"{", **signed(b"{")).status == 400
    (said,) = shell.says("signature detect --last", AMILI_WEBHOOK_SECRETS="another")
    assert "AMILI_SIGNATURE_SCHEME=hmac-sha512-hex" in said.splitlines()
    (none,) = shell.fails("signature detect --last", AMILI_DATA_KEY_FILE="")
    assert "holds no delivery that was refused for its signature" in none


def test_a_bad_key_file_is_told(shell: Shell, tmp_path: Path) -> None:
    """The door does not start, commands end, `config` says it: never a key, no traceback."""
    bad = tmp_path / "bad"
    for text, words in ((None, "cannot be read"), ("c2hvcnQ=", "line 1: a key is 32 bytes")):
        if text is not None:
            bad.write_text(text)
        told = shell.fails(
            *("serve", "quarantine list", "quarantine replay x"), AMILI_DATA_KEY_FILE=bad
        )
        (config,) = shell.says("config", AMILI_DATA_KEY_FILE=bad)
        for said in (*told, config):
            assert f"AMILI_DATA_KEY_FILE: {bad}" in said
            assert words in said
            assert "c2hvcnQ" not in said


def test_a_key_file_that_others_can_read(settings: Settings, shell: Shell) -> None:
    """`config` and `doctor` say it; all goes on."""
    assert settings.data_key_file is not None
    settings.data_key_file.chmod(0o644)
    config, listed, examined = shell.run("config", "quarantine list", "doctor --json")
    assert "can be read by others" in config.stdout
    assert (listed.returncode, listed.stderr) == (0, "")
    (check,) = (
        each for each in json.loads(examined.stdout)["checks"] if each["name"] == "data key"
    )
    assert (check["result"], "can be read by others" in check["says"]) == ("warning", True)
