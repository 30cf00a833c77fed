"""What every test stands on: real servers, a clean environment, and no silent omissions.

    redis_url          a clean Redis, shared by the session
    sqlite_url         a new SQLite file
    postgres_url       a new PostgreSQL database
    database_url       both of these, one test each
    own_redis          servers of one test alone, to stop, kill, pause and start again
    own_postgres
    tool               the path of a program, or the test is left out as "needs <program>"

With AMILI_TEST_REQUIRE_TOOLS=1, as in CI, a test that "needs" what is not here fails.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import FrameType

import hypothesis
import pytest

from service.embedded import EmbeddedRedis
from service.redis import connect
from tests import servers

REQUIRE_TOOLS = os.environ.get("AMILI_TEST_REQUIRE_TOOLS", "") not in ("", "0")
NEEDS = re.compile(r"^(?:Skipped: )?needs (?P<tool>.+)$")


# A slow machine is no fault: time is measured by the benchmark.
hypothesis.settings.register_profile("house", deadline=None)
hypothesis.settings.load_profile("house")


# --- the run --------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Let SIGTERM end the run in good order, so that its servers are stopped."""
    ours = os.getpid()

    def end(number: int, frame: FrameType | None) -> None:
        if os.getpid() != ours:  # a fork of ours that has not set its own handler
            os._exit(128 + number)
        pytest.exit("ended by SIGTERM", returncode=128 + number)

    signal.signal(signal.SIGTERM, end)


def pytest_unconfigure() -> None:
    """Leave nothing of ours in the temporary folder."""
    servers.forget_copies()


def needed(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Name the tool for whose lack this test was left out, or ''."""
    if report.outcome != "skipped" or not isinstance(report.longrepr, tuple):
        return ""
    match = NEEDS.match(report.longrepr[2])
    return match["tool"] if match else ""


def refuse_to_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip for lack of a tool into a failure where tools are required."""
    tool = needed(report)
    if tool and REQUIRE_TOOLS:
        report.outcome = "failed"
        report.longrepr = f"needs {tool}, and AMILI_TEST_REQUIRE_TOOLS says that it must be here"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge the skips of tests."""
    report = yield
    refuse_to_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge the skips of whole modules."""
    report = yield
    refuse_to_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not run here, and for lack of what."""
    skipped = terminalreporter.stats.get("skipped", [])
    lacking = Counter(tool for report in skipped if (tool := needed(report)))
    if lacking:
        terminalreporter.section("not run here")
        for tool, count in sorted(lacking.items()):
            terminalreporter.line(f"{tool}: {count} test{'s' if count > 1 else ''}")


# --- the test's surroundings ----------------------------------------------


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take this machine's own AMILI_ settings out of the test's sight."""
    for name in list(os.environ):
        if name.startswith("AMILI_"):
            monkeypatch.delenv(name)


@pytest.fixture
def tool() -> Callable[[str], str]:
    """Find a program, this Python's own first; a test without its program is left out, by name."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])

    def find(name: str) -> str:
        path = shutil.which(name, path=places)
        if path is None:
            pytest.skip(f"needs {name}")
        return path

    return find


# --- Redis ----------------------------------------------------------------


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of the session's Redis: use `redis_url`, which is clean."""
    if servers.REDIS_URL:
        yield servers.REDIS_URL
        return
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """Give the URL of a clean Redis; only its one database is flushed."""
    client = connect(redis_server)
    client.flushdb()
    yield redis_server
    client.flushdb()
    client.connection_pool.disconnect()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    """Start a Redis for this test alone."""
    with EmbeddedRedis(tmp_path / "own-redis") as server:
        yield server


# --- databases ------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Give the URL of the session's PostgreSQL: use `postgres_url`, which is empty."""
    if servers.POSTGRES_URL:
        yield servers.POSTGRES_URL
        return
    with servers.PostgresServer() as server:
        yield server.url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """Create a PostgreSQL database for this test alone."""
    with servers.fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def own_postgres() -> Iterator[servers.PostgresServer]:
    """Start a PostgreSQL server for this test alone."""
    with servers.PostgresServer() as server:
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Name a SQLite file for this test alone; nothing is created yet."""
    return f"sqlite:///{tmp_path / 'amili.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Run the test on SQLite and on PostgreSQL."""
    name = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(name)
    return url
