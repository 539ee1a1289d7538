"""Runs Alembic from code: up, down, and the grants the run-time role needs afterwards."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

_FOLDER: Final = Path(__file__).parent
_LOCK: Final = 7_264_113_377  # any constant of ours
_SAID_AT_INSERTION: Final = "tenant_id, id, at, actor, action, target, data, request_id, mac"


def sync_url(url: str) -> sa.URL:
    """The same database through a synchronous driver; Alembic needs no event loop."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    return parsed.set(drivername="sqlite")


def _config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["url"] = sync_url(url)
    return config


@contextmanager
def _alone(url: str) -> Iterator[None]:
    """Hold off all other migrations of this database, from before the first look at it.

    A lock inside the migration's transaction comes too late: two that switch a new SQLite file to
    its journal at once fail without waiting, and so do two that grant rights on one table.
    """
    parsed = sync_url(url)
    if parsed.get_backend_name() == "sqlite":
        with Path(f"{parsed.database}.migrating").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    engine = sa.create_engine(parsed, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        # Of the session: closing the connection lets it go, however this ends.
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        yield


def upgrade(url: str, revision: str = "head", *, role: str | None = None) -> None:
    """Migrate up, then grant ``role`` its rights (PostgreSQL). Concurrent calls wait."""
    with _alone(url):
        command.upgrade(_config(url), revision)
        if role is not None:
            _grant(url, role)


def downgrade(url: str, revision: str) -> None:
    """Migrate down, to ``base`` or a revision. Concurrent calls wait."""
    with _alone(url):
        command.downgrade(_config(url), revision)


def current_and_head(url: str) -> tuple[str | None, str | None]:
    """The revision the database is at, and the newest this release knows."""
    engine = sa.create_engine(sync_url(url))
    try:
        with engine.connect() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
    finally:
        engine.dispose()
    return current, ScriptDirectory.from_config(_config(url)).get_current_head()


def head() -> str:
    """The newest revision this release knows."""
    return str(ScriptDirectory.from_config(_config("sqlite://")).get_current_head())


def _grant(owner_url: str, role: str) -> None:
    """Let the run-time role read and write rows, and nothing else; PostgreSQL only.

    It may append to the audit trail, but no record that has a place in the chain already, and set
    that place once; it may take back no head, no node of the tree and no checkpoint. Of records it
    may delete those that retention has let go. The triggers hold the owner to all that as well.
    """
    engine = sa.create_engine(sync_url(owner_url))
    try:
        with engine.begin() as connection:
            name = connection.dialect.identifier_preparer.quote(role)
            for statement in (
                f"GRANT USAGE ON SCHEMA public TO {name}",
                f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {name}",
                f"REVOKE INSERT, UPDATE ON audit_records FROM {name}",
                f"GRANT INSERT ({_SAID_AT_INSERTION}) ON audit_records TO {name}",
                f"GRANT UPDATE (seq, chain_hash) ON audit_records TO {name}",
                f"REVOKE DELETE ON audit_heads, audit_tiles, audit_retentions FROM {name}",
                f"REVOKE UPDATE, DELETE ON audit_checkpoints FROM {name}",
                f"GRANT UPDATE (published_at, handed) ON audit_checkpoints TO {name}",
                f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {name}",
            ):
                connection.execute(sa.text(statement))
    finally:
        engine.dispose()
