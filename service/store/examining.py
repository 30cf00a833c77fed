"""What `doctor` asks of the database itself: its file, its durability, who holds a lease."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import make_url, select, text

from service.errors import ConfigError
from service.store.database import Database, Tx
from service.store.schema import leases, organizations

#: SQLite's `synchronous` that survives a power cut: FULL and EXTRA.
SQLITE_FULL = (2, 3)


def sqlite_file(url: str) -> Path | None:
    """Name the file of a SQLite URL; None for others. Raises ConfigError for what is no URL."""
    try:
        parsed = make_url(url)
    except Exception as exc:
        raise ConfigError("AMILI_DATABASE_URL: not a database URL") from exc
    is_file = parsed.get_backend_name() == "sqlite" and parsed.database
    return Path(str(parsed.database)) if is_file else None


def weak_commits(database: Database) -> str:
    """Name the setting by which a commit could be lost in a crash; '' when there is none."""
    with database.read() as tx:
        if tx.is_sqlite:
            level = int(tx.execute(text("PRAGMA synchronous")).scalar_one())
            return "" if level in SQLITE_FULL else f"synchronous is {level}"
        for name in ("synchronous_commit", "fsync"):
            if str(tx.execute(text(f"SHOW {name}")).scalar_one()) == "off":
                return f"{name} is off"
    return ""


def is_held(tx: Tx, lease: str) -> bool:
    """Tell whether somebody holds this lease now."""
    asked = select(leases.c.until).where(leases.c.name == lease)
    until = tx.execute(asked).scalar_one_or_none()
    return until is not None and until > tx.now


def first_organization(tx: Tx) -> str | None:
    """Return the organization that was named first by a webhook, if any was."""
    asked = select(organizations.c.organization_id).order_by(organizations.c.first_seen_at)
    found: str | None = tx.execute(asked.limit(1)).scalar_one_or_none()
    return found
