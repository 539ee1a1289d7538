"""Databases of the benchmarks that ask the rooms themselves, and not a process over HTTP."""

import contextlib
import tempfile
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from backend.core.clock import Clock, system_clock
from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.migrations import runner
from scripts.benchmarks.measure import BenchmarkError
from tests.support.postgres import MISSING, PostgresServer, find_programs
from tests.support.trail import audit_row

REFERENCE: Final = "SQLAlchemy Core"


@contextlib.contextmanager
def migrated(case: str, *tables: sa.Table) -> Iterator[str]:
    """A migrated database that the owner uses, with the reference's tables beside.

    Args:
        case: ``postgresql`` (fsync on) or ``sqlite`` (FULL).
        tables: Of the reference.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing.
    """
    with contextlib.ExitStack() as stack:
        if case == "postgresql":
            if find_programs() is None:
                raise BenchmarkError(MISSING)
            server = stack.enter_context(PostgresServer(fsync=True))
            url = server.create_database("bench").owner_url
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="email-sender-bench-"))
            url = f"sqlite:///{Path(folder) / 'bench.db'}"
        runner.upgrade(url)
        engine = sa.create_engine(runner.sync_url(url))
        for table in tables:
            table.create(engine)
        engine.dispose()
        yield url


@contextlib.asynccontextmanager
async def opened(
    url: str, kinds: Collection[str] = (), clock: Clock = system_clock
) -> AsyncIterator[Database]:
    """The database, for events of these kinds, at this clock's time."""
    database = Database(
        make_engine(url), audit_row=audit_row, event_row=event_maker(kinds), clock=clock
    )
    try:
        yield database
    finally:
        await database.aclose()
