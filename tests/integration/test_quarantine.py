"""The quarantine at a real door: refused deliveries kept sealed, and replayed through it."""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.amili import signing, webhooks
from service.amili.contract import Contract
from service.domain.quarantine import Caps
from service.errors import MalformedDelivery, StoreUnavailable
from service.intake.quarantine import MOST_WAITING, Quarantine, network_of
from service.sealing import Sealer
from service.settings import Settings
from service.store.database import Database
from service.telemetry.metrics import Metrics
from tests.doors import (
    SECRET,
    DoorThread,
    Reply,
    drained,
    event,
    eventually,
    migrated,
    opened_database,
    rows,
    settings_for,
    signed,
)

TIMESTAMPED = Contract(signature_scheme="timestamped")
SEALER = Sealer([b"k" * 32])
HEADERS = [("content-type", "application/json"), ("x-odd", "\xff")]


def write_keys(path: Path, *keys: str) -> Path:
    """Write a key file."""
    path.write_text("\n".join(keys))
    path.chmod(0o600)
    return path


def a_key() -> str:
    """Make a key."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def settings(redis_url: str, database_url: str, tmp_path: Path) -> Settings:
    """Migrate a database, and set a key file; files would be kept, too, were there none."""
    migrated(database_url, tmp_path)
    keys = write_keys(tmp_path / "keys", a_key())
    return settings_for(
        redis_url, database_url, tmp_path / "data", data_key_file=keys, capture_refused=5
    )


def but(settings: Settings, **other: Any) -> Settings:
    """Change some settings."""
    return settings.model_copy(update=other)


def entries(door: DoorThread, count: int) -> list[dict[str, Any]]:
    """Wait until so many are kept; return them, newest first."""
    eventually(lambda: len(listed(door)) == count)
    return listed(door)


def listed(door: DoorThread) -> list[dict[str, Any]]:
    """Return what is in quarantine."""
    found: list[dict[str, Any]] = door.get("/quarantine?limit=200").json["data"]
    return found


def replay(door: DoorThread, entry: dict[str, Any], key: str | None = None) -> Reply:
    """Replay one entry by the API."""
    return door.post(f"/quarantine/{entry['quarantineId']}/replay", key=key)


def refused_with(settings: Settings, *bodies: bytes) -> None:
    """Let a door refuse deliveries that are signed by another secret."""
    with DoorThread(settings) as door:
        for body in bodies:
            assert door.deliver(body, **signed(body, "former")).status == 401


class TestKept:
    def test_each_with_its_cause(self, settings: Settings) -> None:
        """Whatever is refused is kept with why, sealed, while the answers are as ever."""
        body = event(data={"debtor": "Kari Nordmann"})
        with capture_logs() as logs, DoorThread(settings, TIMESTAMPED) as door:
            old = signing.sign(
                body, SECRET, contract=TIMESTAMPED, now=time.time() - 9999, message_id=""
            )
            now = signing.sign(b"{", SECRET, contract=TIMESTAMPED, now=time.time(), message_id="")
            assert door.deliver(body, **old).status == 401
            assert door.deliver(b"{", **now).status == 400
            assert door.deliver(body, X_Webhook_Signature="t=1,v1=" + "00" * 32).status == 401
            assert door.ask("POST", "/webhooks/amili", body, {"Content-Type": "application/json"})
            found = entries(door, 4)
            assert door.counted("amili_quarantined_total") == 4
            assert door.counted("amili_quarantine_entries") == 4
        reasons = {each["reason"] for each in found}
        assert reasons == {"too_old", "malformed", "no_secret_matched", "no_header"}
        assert {each["bodyBytes"] for each in found} == {len(body), 1}
        assert "Kari" not in json.dumps([*logs, *found], default=str)
        assert not (settings.data_dir / "refused").exists()
        with opened_database(settings) as database, database.engine.connect() as connection:
            raw = connection.exec_driver_sql("SELECT sealed FROM quarantine").scalars().all()
        assert len(raw) == 4
        assert not any(b"Kari" in bytes(each) or b"json" in bytes(each) for each in raw)

    def test_a_retry_is_one_entry(self, settings: Settings) -> None:
        """The same delivery again and again, at two doors, is one row that counts."""
        body, wrong = event(), signed(b"other")
        with DoorThread(settings) as one, DoorThread(settings) as two:
            for door in (one, two, one, two):
                assert door.deliver(body, **wrong).status == 401
            eventually(lambda: [each["times"] for each in listed(one)] == [4])
            assert entries(two, 1) == listed(one)

    def test_caps(self, settings: Settings) -> None:
        """Of a flood the newest stay, and what was refused for another reason stays too."""
        small = but(settings, quarantine_entries=4)
        bodies = [event() for _ in range(9)]
        with DoorThread(small) as door:
            assert door.deliver(b"{", **signed(b"{")).status == 400
            entries(door, 1)
            for number, body in enumerate(bodies):
                door.deliver(body, **signed(b"other"))
                eventually(lambda n=number: door.counted("amili_quarantined_total") == n + 2)  # type: ignore[misc]
            found = listed(door)
        assert [each["reason"] for each in found] == ["no_secret_matched"] * 3 + ["malformed"]

    def test_no_flood_drives_out_what_is_proven(self, settings: Settings) -> None:
        """Much that is Amili's and could not be read stays, however little a stranger has there."""
        small = but(settings, quarantine_entries=6)
        proven = [b"{%d" % number for number in range(5)]
        with DoorThread(small) as door:
            for body in proven:
                assert door.deliver(body, **signed(body)).status == 400
            entries(door, 5)
            for number in range(8):
                door.deliver(event(), **signed(b"other"))
                eventually(lambda n=number: door.counted("amili_quarantined_total") == n + 6)  # type: ignore[misc]
            found = listed(door)
        assert [each["reason"] for each in found] == ["no_secret_matched"] + ["malformed"] * 5

    def test_cap_of_bytes(self, settings: Settings) -> None:
        """What is larger than the whole quarantine may be is dropped, and counted."""
        small = but(settings, quarantine_megabytes=1, max_body_bytes=3 * 1024 * 1024)
        with DoorThread(small) as door:
            for _ in range(4):
                half = secrets.token_bytes(400 * 1024)
                assert door.deliver(half, **signed(b"other")).status == 401
            assert door.deliver(b"x" * 2_000_000, **signed(b"other")).status == 401
            eventually(lambda: door.counted("amili_quarantined_total") == 4)
            assert len(listed(door)) == 2
            assert door.counted("amili_quarantine_dropped_total", reason="too_large") == 1

    def test_rate_of_a_source(self, settings: Settings) -> None:
        """Of one source only so many are kept in a minute; the answers stay what they were."""
        slow = but(settings, quarantine_per_minute=3, refused_per_minute=1000)
        with DoorThread(slow) as door:
            answers = [door.deliver(event(), **signed(b"other")).status for _ in range(10)]
            entries(door, 3)
            assert door.counted("amili_quarantine_dropped_total", reason="rate") == 7
        assert answers == [401] * 10

    def test_without_a_table(self, redis_url: str, sqlite_url: str, tmp_path: Path) -> None:
        """Where the database takes nothing the answers are the same; what is lost is counted."""
        keys = write_keys(tmp_path / "keys", a_key())
        bare = settings_for(redis_url, sqlite_url, tmp_path, data_key_file=keys)
        with DoorThread(bare) as door:
            assert door.deliver(event(), **signed(b"other")).status == 401
            assert door.deliver(event()).status == 202
            eventually(lambda: door.counted("amili_quarantine_dropped_total", reason="store") == 1)

    def test_off(self, settings: Settings) -> None:
        """With no entries allowed nothing is kept anywhere."""
        with DoorThread(but(settings, quarantine_entries=0)) as door:
            assert door.deliver(event(), **signed(b"other")).status == 401
        with DoorThread(settings) as door:
            assert listed(door) == []
        assert not (settings.data_dir / "refused").exists()


class TestReplayed:
    def test_after_a_secret_fix(self, settings: Settings) -> None:
        """With the right secret it is taken as it came, leaves, and is worked on once."""
        body = event(id="event-1")
        refused_with(settings, body)
        fixed = Settings(**{**settings.model_dump(), "webhook_secrets": f"{SECRET},former"})
        with DoorThread(fixed) as door:
            (entry,) = entries(door, 1)
            first = replay(door, entry, key="k")
            assert first.status == 202
            assert first.json == {
                "quarantineId": entry["quarantineId"],
                "status": "accepted",
                "eventId": "event-1",
            }
            assert listed(door) == []
            again = replay(door, entry, key="k")
            assert (again.status, again.json) == (202, first.json)
            assert replay(door, entry, key="other").status == 404
            assert replay(door, entry).status == 404
            assert door.deliver(body, **signed(body, "former")).status == 202  # Amili's own retry
        drained(settings)
        (row,) = rows(settings)
        assert (row.event_id, row.state, row.attempts) == ("event-1", "received", 0)

    def test_many_operators_at_once(self, settings: Settings) -> None:
        """Six replays of one entry under one key leave one event and no entry."""
        refused_with(settings, event(id="event-1"))
        fixed = Settings(**{**settings.model_dump(), "webhook_secrets": "former"})
        with DoorThread(fixed) as door:
            (entry,) = entries(door, 1)
            with ThreadPoolExecutor(6) as pool:
                replies = [*pool.map(lambda _: replay(door, entry, key="k"), range(6))]
            assert {reply.status for reply in replies} == {202}
            assert {reply.json["eventId"] for reply in replies} == {"event-1"}
            assert listed(door) == []
        drained(settings)
        assert [row.event_id for row in rows(settings)] == ["event-1"]

    def test_still_refused(self, settings: Settings) -> None:
        """Without a fix it stays, with the reason, is kept no second time and uses no key."""
        refused_with(settings, event())
        with DoorThread(settings) as door:
            (entry,) = entries(door, 1)
            for _ in range(2):
                reply = replay(door, entry, key="k")
                assert (reply.status, reply.is_problem) == (422, True)
                assert "no_secret_matched" in reply.json["detail"]
            (after,) = listed(door)
            assert after["triedAt"] is not None
            assert {**after, "triedAt": None} == entry
            assert door.counted("amili_signature_failures_total") == 0

    def test_only_age_is_ignored(self, settings: Settings) -> None:
        """Proven but too old is accepted on replay; old and forged is refused as before."""
        body, forged = event(id="old"), event(id="forged")
        with DoorThread(settings, TIMESTAMPED) as door:
            for each, secret in ((body, SECRET), (forged, "another")):
                old = signing.sign(each, secret, contract=TIMESTAMPED, now=1000, message_id="")
                assert door.deliver(each, **old).status == 401
            found = {each["reason"]: each for each in entries(door, 2)}
            assert replay(door, found["too_old"]).json["eventId"] == "old"
            assert replay(door, found["no_secret_matched"]).status == 422
        drained(settings)
        assert [row.event_id for row in rows(settings)] == ["old"]

    def test_after_a_parser_fix(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        """What our reader refused wrongly is taken when it reads it; the headers are the same."""
        body = event(eventType=None, id="no-type")
        headers = {"X_Amili_Event": "CASE_UPDATED", "IdempotencyKey": "idem-1"}

        def strict(raw: bytes, header: str | None = None) -> Any:
            raise MalformedDelivery

        with DoorThread(settings) as door:
            with monkeypatch.context() as patched:
                patched.setattr(webhooks, "envelope", strict)
                assert door.deliver(body, **headers).status == 400
            assert webhooks.envelope is not strict
            (entry,) = entries(door, 1)
            assert replay(door, entry).status == 202
        drained(settings)
        (row,) = rows(settings)
        assert (row.type, row.idempotency_key) == ("CASE_UPDATED", "idem-1")

    def test_what_was_stored_meanwhile(self, settings: Settings) -> None:
        """A body that came in by Amili's own retry is stored once, and the entry leaves."""
        body = event()
        refused_with(settings, body)
        fixed = Settings(**{**settings.model_dump(), "webhook_secrets": "former"})
        with DoorThread(fixed) as door:
            assert door.deliver(body, **signed(body, "former")).status == 202
            drained(settings)
            (entry,) = entries(door, 1)
            assert replay(door, entry).status == 202
            assert listed(door) == []
        drained(settings)
        assert len(rows(settings)) == 1

    def test_rotation(self, settings: Settings, tmp_path: Path) -> None:
        """Under a new key the old entries open while the former key stands below it, else not."""
        refused_with(settings, event(id="event-1"))
        old = (tmp_path / "keys").read_text()
        fixed = Settings(**{**settings.model_dump(), "webhook_secrets": "former"})
        write_keys(tmp_path / "keys", new := a_key())
        with DoorThread(fixed) as door:
            (entry,) = entries(door, 1)
            lacking = replay(door, entry)
            assert (lacking.status, lacking.is_problem) == (503, True)
            assert "AMILI_DATA_KEY_FILE lacks the key" in lacking.json["detail"]
        with DoorThread(but(fixed, data_key_file=None)) as door:
            assert "is not set" in replay(door, entry).json["detail"]
            assert listed(door) == [entry]
        write_keys(tmp_path / "keys", new, old)
        with DoorThread(fixed) as door:
            assert replay(door, entry).json["eventId"] == "event-1"

    def test_ids_that_no_entry_has(self, settings: Settings) -> None:
        """Whatever is no id of an entry is 404."""
        with DoorThread(settings) as door:
            for name in ("none", "%00", "x" * 300, "%F0%9F%A6%8A"):
                assert door.post(f"/quarantine/{name}/replay").status == 404
            assert door.get("/quarantine", token="wrong").status == 401
            assert door.get("/quarantine?after=x").status == 400


class Blocked(Database):
    """A database that answers nobody until it is let go."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"sqlite:///{folder / 'never.db'}")
        self.let_go = threading.Event()
        self.entered = threading.Event()
        self.groups: list[Sequence[Any]] = []

    def run(self, work: Any, tries: int = 5) -> Any:
        """Wait, and take the rows from the call without a database."""
        self.entered.set()
        assert self.let_go.wait(30)
        self.groups.append(work.keywords["found"])


class Failing(Blocked):
    """A database that is away."""

    def run(self, work: Any, tries: int = 5) -> Any:
        """Fail."""
        raise StoreUnavailable


def counts(metrics: Metrics) -> dict[str, float]:
    """Return what was dropped, by cause."""
    samples = (s for family in metrics.quarantine_dropped.collect() for s in family.samples)
    return {s.labels["reason"]: s.value for s in samples if s.name.endswith("_total")}


class TestFlood:
    def test_a_database_that_hangs(self, tmp_path: Path) -> None:
        """Ten thousand refusals return at once, a bounded number waits, all others are counted."""
        database, metrics = Blocked(tmp_path), Metrics()
        keeper = Quarantine(database, SEALER, metrics, Caps(10**6, 10**9), 10**6)
        keeper.keep(HEADERS, b"first", "no_header", "192.0.2.1")
        assert database.entered.wait(30)  # its thread hangs now
        for number in range(10_000):
            keeper.keep(HEADERS, b"%d" % number, "no_header", "192.0.2.1")
        assert counts(metrics) == {"full": 10_000 - MOST_WAITING}
        database.let_go.set()
        keeper.close()
        assert sum(len(group) for group in database.groups) == MOST_WAITING + 1
        database.close()

    def test_large_bodies(self, tmp_path: Path) -> None:
        """What waits is bounded in bytes, too."""
        database, metrics = Blocked(tmp_path), Metrics()
        keeper = Quarantine(database, SEALER, metrics, Caps(10**6, 10**9), 10**6)
        keeper.keep(HEADERS, b"first", "no_header", "192.0.2.1")
        assert database.entered.wait(30)
        for _ in range(20):
            keeper.keep(HEADERS, b"x" * 1024 * 1024, "no_header", "192.0.2.1")
        assert counts(metrics) == {"full": 12}
        database.let_go.set()
        keeper.close()
        database.close()

    def test_a_source_is_limited_for_itself(self, tmp_path: Path) -> None:
        """One source's flood leaves another's few; neighbours in an IPv6 network are one source."""
        database, metrics = Blocked(tmp_path), Metrics()
        database.let_go.set()
        keeper = Quarantine(database, SEALER, metrics, Caps(10**6, 10**9), 5)
        for number in range(100):
            keeper.keep(HEADERS, b"%d" % number, "no_header", f"2001:db8::{number:x}")
        keeper.keep(HEADERS, b"good", "no_secret_matched", "192.0.2.7")
        keeper.close()
        kept = [one for group in database.groups for one in group]
        assert len(kept) == 6
        assert len({one.source for one in kept}) == 2
        assert not any("192.0" in one.source or "2001" in one.source for one in kept)
        assert counts(metrics) == {"rate": 95}
        database.close()

    def test_strangers_leave_room_for_what_is_proven(self, tmp_path: Path) -> None:
        """A flood through the proxy that Amili comes through drops none of Amili's own."""
        database, metrics = Blocked(tmp_path), Metrics()
        keeper = Quarantine(database, SEALER, metrics, Caps(10**6, 10**9), MOST_WAITING + 50)
        keeper.keep(HEADERS, b"first", "no_header", "192.0.2.1")
        assert database.entered.wait(30)
        for number in range(1000):
            keeper.keep(HEADERS, b"%d" % number, "no_secret_matched", "192.0.2.1")
        for number in range(MOST_WAITING):
            keeper.keep(HEADERS, b"{%d" % number, "malformed", "192.0.2.1")
        keeper.keep(HEADERS, b"late", "malformed", "192.0.2.2")
        database.let_go.set()
        keeper.close()
        kept = [one.reason for group in database.groups for one in group]
        assert kept.count("malformed") == MOST_WAITING
        assert kept.count("no_secret_matched") == MOST_WAITING
        assert counts(metrics) == {"rate": 1000 - (MOST_WAITING + 49), "full": 49 + 1}
        database.close()

    def test_a_database_that_is_away(self, tmp_path: Path) -> None:
        """What cannot be written is dropped and counted, and the thread lives on."""
        database, metrics = Failing(tmp_path), Metrics()
        keeper = Quarantine(database, SEALER, metrics, Caps(10**6, 10**9), 10**6)
        keeper.keep(HEADERS, b"one", "no_header", "")
        eventually(lambda: counts(metrics) == {"store": 1})
        keeper.keep(HEADERS, b"two", "no_header", "")
        keeper.close()
        assert counts(metrics) == {"store": 2}
        database.close()

    @pytest.mark.parametrize(
        ("source", "network"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("fe80::1%eth0", "fe80::/64"),
            ("not:an:address", "not:an:address"),
            ("", ""),
        ],
    )
    def test_networks(self, source: str, network: str) -> None:
        """Addresses are one source where one host may choose among them."""
        assert network_of(source) == network


def test_restart(settings: Settings) -> None:
    """What was refused just before a door stops is kept, and the next door shows it."""
    refused_with(settings, *(event() for _ in range(20)))
    with DoorThread(settings) as door:
        assert len(listed(door)) == 20
