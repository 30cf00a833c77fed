"""Refused again and again: limited by source, kept for a look, and the good pass."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from service.amili.contract import Contract
from service.errors import ConfigError
from service.settings import Settings
from tests.doors import DoorThread, event, migrated, settings_for, signed


@pytest.fixture
def settings(redis_url: str, sqlite_url: str, tmp_path: Path) -> Settings:
    """Migrate a SQLite; three refusals a minute, and the last two are kept."""
    migrated(sqlite_url, tmp_path)
    return settings_for(
        redis_url, sqlite_url, tmp_path / "data", refused_per_minute=3, capture_refused=2
    )


def test_limit_replaces_only_401(settings: Settings) -> None:
    """After three refusals 429; whatever is signed well still has its own answer."""
    body = event()
    with DoorThread(settings) as door:
        wrong = signed(b"another body")
        assert door.deliver(body, **wrong).status == 401
        assert door.deliver(b"{", **signed(b"{")).status == 400  # authentic: not counted
        assert [door.deliver(body, **wrong).status for _ in range(4)] == [401, 401, 429, 429]
        limited = door.deliver(body, **wrong)
        assert limited.is_problem
        assert int(limited.headers["retry-after"]) > 0
        assert door.deliver(body).status == 202
        assert door.deliver(b"{", **signed(b"{")).status == 400
        assert door.deliver(body, Content_Type="text/plain").status == 415
        assert door.deliver(body, **wrong).status == 429
        assert door.deliver(event()).status == 202
        assert door.counted("amili_webhooks_total", outcome="bad_signature") == 3
        assert door.counted("amili_webhooks_total", outcome="limited") == 4
        assert door.counted("amili_signature_failures_total", reason="no_secret_matched") == 7


def test_capture(settings: Settings) -> None:
    """The last two refused deliveries of each reason lie in the data folder, for its owner only."""
    bodies = [b"\0\xff%d" % number for number in range(4)]
    with DoorThread(settings) as door:
        for body in bodies:
            door.deliver(body, **signed(b"other"))
        door.deliver(event())
        door.deliver(b"{", **signed(b"{"))
    folder = settings.data_dir / "refused"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = sorted(folder.iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    found = [path.read_bytes() for path in files if path.suffix == ".body"]
    assert found == [bodies[2], bodies[3], b"{"]
    reasons = [path.read_text() for path in files if path.suffix == ".json"]
    assert reasons == ['{"reason": "no_secret_matched"}'] * 2 + ['{"reason": "malformed"}']
    headers = next(path for path in files if path.suffix == ".headers").read_text()
    assert "content-type: application/json" in headers.splitlines()
    assert any(line.startswith("x-webhook-signature: ") for line in headers.splitlines())


def test_capture_in_the_way_of_nothing(settings: Settings) -> None:
    """Where nothing can be kept the answers are the same."""
    settings.data_dir.mkdir(exist_ok=True)
    (settings.data_dir / "refused").write_text("a file in the way")
    with DoorThread(settings) as door:
        assert door.deliver(event(), **signed(b"other")).status == 401
        assert door.deliver(b"{", **signed(b"{")).status == 400
        assert door.deliver(event()).status == 202


def test_rotation(redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
    """While two secrets are set each of them proves, and no third."""
    migrated(sqlite_url, tmp_path)
    settings = settings_for(redis_url, sqlite_url, tmp_path)
    settings = Settings(**{**settings.model_dump(), "webhook_secrets": "old, new"})
    body = event()
    with DoorThread(settings) as door:
        assert door.deliver(body, **signed(body, "old")).status == 202
        assert door.deliver(body, **signed(body, "new")).status == 202
        assert door.deliver(body, **signed(body, "old, new")).status == 401


def test_secret_that_the_scheme_cannot_use(redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
    """A secret in the wrong form keeps the door shut at its start, not at each delivery."""
    settings = settings_for(redis_url, sqlite_url, tmp_path)
    settings = Settings(**{**settings.model_dump(), "webhook_secrets": "good, whsec_not*base64"})
    contract = Contract(signature_scheme="standard-webhooks")
    with pytest.raises(ConfigError, match="AMILI_WEBHOOK_SECRETS"):
        DoorThread(settings, contract)


def test_no_secret(redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
    """Without a secret there is no door."""
    settings = settings_for(redis_url, sqlite_url, tmp_path)
    settings = Settings(**{**settings.model_dump(), "webhook_secrets": " , "})
    with pytest.raises(ConfigError, match="AMILI_WEBHOOK_SECRETS"):
        DoorThread(settings)
