"""The price of giving a job away: rows that a caller's transaction commits, against bare ones."""

from datetime import UTC, datetime
from typing import Any, Final

import psycopg
import uvloop
from psycopg.types.json import Jsonb

from backend.core.clock import perf_counter
from backend.core.context import Scope
from backend.core.ids import uuid7
from backend.managers.orchestrator import OrchestratorManager
from scripts.benchmarks.jobs_worker import NOOP
from scripts.benchmarks.measure import Result, alternate
from scripts.benchmarks.stores import migrated, opened

SIZES: Final = {"single": 1, "bulk": 500}
FLOOR: Final = 0.4
_COLUMNS: Final = (
    "id uuid PRIMARY KEY, tenant_id uuid NOT NULL, kind text NOT NULL, args jsonb NOT NULL,"
    " state text NOT NULL, priority int NOT NULL, max_attempts int NOT NULL,"
    " backoff_seconds float8 NOT NULL, timeout_seconds float8 NOT NULL,"
    " run_at timestamptz NOT NULL, created_at timestamptz NOT NULL"
)
_INSERT: Final = "INSERT INTO bare_jobs VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


def run_case(case: str, rounds: int, count: int) -> Result:
    """Jobs a second by one connection on PostgreSQL (fsync on), a commit for each or for 500.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing.
    """
    size = SIZES[case]
    with migrated("postgresql") as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"CREATE TABLE bare_jobs ({_COLUMNS})".encode())
            connection.execute(b"CREATE INDEX ON bare_jobs (tenant_id, state, priority, run_at)")
        mine, theirs = alternate(
            rounds,
            lambda: uvloop.run(_submit(url, count, size)),
            lambda: uvloop.run(_insert(url, count, size)),
        )
    return Result("enqueue", case, mine, theirs, f"psycopg {psycopg.__version__}", "jobs/s", FLOOR)


async def _submit(url: str, count: int, size: int) -> float:
    scope, manager = Scope("bench", uuid7()), OrchestratorManager([NOOP])
    async with opened(url) as database:
        began = perf_counter()
        for _ in range(0, count, size):
            async with database.transaction(scope) as tx:
                if size == 1:
                    await manager.submit(tx, NOOP.name, args={})
                else:
                    await manager.submit_many(tx, NOOP.name, [{"args": {}} for _ in range(size)])
        return count / (perf_counter() - began)


async def _insert(url: str, count: int, size: int) -> float:
    tenant = uuid7()
    async with await psycopg.AsyncConnection.connect(url) as connection:
        began = perf_counter()
        for _ in range(0, count, size):
            async with connection.cursor() as cursor:
                if size == 1:
                    await cursor.execute(_INSERT.encode(), _row(tenant))
                else:
                    await cursor.executemany(_INSERT.encode(), [_row(tenant) for _ in range(size)])
            await connection.commit()
        return count / (perf_counter() - began)


def _row(tenant: str) -> tuple[Any, ...]:
    now = datetime.now(UTC)
    return uuid7(), tenant, NOOP.name, Jsonb({}), "queued", 0, 5, 1.0, 60.0, now, now
