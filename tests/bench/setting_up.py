"""What the benchmark needs and the product does not, in a folder of its own: `.venv-bench`.

Contestants come from `requirements.lock`; wrk and Debian's `webhook` are unpacked from their
packages, without root and without installing. What cannot be had here is a skip line in the table.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from tests.bench.stage import CHECKOUT

HOME = CHECKOUT / ".venv-bench"
LOCKS = {
    "contestants": Path(__file__).with_name("requirements.lock"),
    # Asks for an older redis-py than Celery takes.
    "arq": Path(__file__).with_name("requirements-arq.lock"),
}
PYTHON = HOME / "contestants" / "bin" / "python"
PYTHON_OF_ARQ = HOME / "arq" / "bin" / "python"
DEBIAN = HOME / "debian"
#: Debian's packages, and a library that one of them needs.
PACKAGES = {"wrk": ("wrk", "libluajit-5.1-2"), "webhook": ("webhook",)}
SECONDS = 600


@dataclass(frozen=True)
class Program:
    """A program that is not ours, and how it is started."""

    path: Path
    environment: dict[str, str]


def ensure_environments() -> None:
    """Build the contestants' environments unless they stand; `lack` says which could not be."""
    for name, lock in LOCKS.items():
        if lack(name):
            try:
                build(HOME / name, lock)
            except (OSError, subprocess.SubprocessError) as exc:
                print(f"{name}: not installed: {exc}", file=sys.stderr)  # noqa: T201
            else:
                stamp(name).write_text(digest(name))


def lack(name: str) -> str:
    """Say that an environment is not what its lock asks for; '' when it is."""
    if stamp(name).exists() and stamp(name).read_text() == digest(name):
        return ""
    return f"{LOCKS[name].name} could not be installed here"


def stamp(name: str) -> Path:
    """Name the file that tells what an environment was built from."""
    return HOME / name / "lock.sha256"


def digest(name: str) -> str:
    """Sum up an environment's lock, and where it stands: its scripts hold absolute paths."""
    return hashlib.sha256(LOCKS[name].read_bytes() + str(HOME / name).encode()).hexdigest()


def build(home: Path, lock: Path) -> None:
    """Build one environment from its lock."""
    print(f"Installing {lock.name} into {home}; this happens once.", file=sys.stderr)  # noqa: T201
    venv.create(home, clear=True, with_pip=True)
    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    words = [*pip, "-qq", "install", "--require-hashes", "-r", str(lock)]
    subprocess.run(words, check=True, timeout=SECONDS)


def program(name: str) -> Program | None:
    """Find a program: on PATH, or in Debian's package; None when neither can be had."""
    if found := shutil.which(name):
        return Program(Path(found), {})
    path = DEBIAN / "usr" / "bin" / name
    if not path.exists() and not unpack(PACKAGES[name]):
        return None
    libraries = sorted({str(each.parent) for each in DEBIAN.glob("usr/lib/**/*.so*")})
    environment = {"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}
    return Program(path, environment) if path.exists() else None


def unpack(packages: tuple[str, ...]) -> bool:
    """Unpack Debian's packages; False where there is no Debian, or no way to its packages."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return False
    DEBIAN.mkdir(parents=True, exist_ok=True)
    for package in packages:
        got = subprocess.run(
            ["apt-get", "download", "-qq", package],
            cwd=DEBIAN,
            timeout=SECONDS,
            check=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if got.returncode:
            return False
        for archive in DEBIAN.glob(f"{package}_*.deb"):
            words = ["dpkg-deb", "-x", str(archive), str(DEBIAN)]
            subprocess.run(words, check=True, timeout=SECONDS)
            archive.unlink()
    return True


def versions() -> dict[str, str]:
    """Read the versions of the contestants from their locks."""
    found: dict[str, str] = {}
    for lock in LOCKS.values():
        for line in lock.read_text().splitlines():
            name, pinned, rest = line.partition("==")
            if pinned and " ;" not in rest:
                found.setdefault(name, rest.removesuffix(" \\"))
    return found
