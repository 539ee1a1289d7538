"""The price of a durable job: jobs that do nothing, drained by one worker process.

Both sides find the same backlog waiting and are measured from the first start to the last end as
their own tables tell it, so neither is charged for its start-up or its idle polls.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

import procrastinate
import psycopg
import uvloop

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.core.ids import uuid7
from backend.managers.orchestrator import COUNT, Job, OrchestratorManager
from backend.rooms import HOUSE
from scripts.benchmarks.jobs_reference import TASK, make_app
from scripts.benchmarks.jobs_worker import NOOP
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.processes import installation, started, wait_until
from scripts.installation import Installation, run_module
from tests.support.postgres import MISSING, PostgresServer, find_programs
from tests.support.trail import audit_row

_CHUNK: Final = 500
_CONCURRENCIES: Final = (5, 20, 50)
_DRAIN_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.2


class Backlog(NamedTuple):
    """How many jobs each side is given; rates, so they need not be equal."""

    ours: int
    reference: int


def run_case(case: str, rounds: int, backlog: Backlog) -> Result:
    """Jobs a second on PostgreSQL (fsync on) or SQLite (FULL); the reference has PostgreSQL only.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or a job did not end well.
    """
    if find_programs() is None:
        raise BenchmarkError(MISSING)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(PostgresServer(fsync=True))
        settings = {}
        if case == "postgresql":
            made = server.create_database("ours")
            settings = {"DATABASE__URL": made.url, "DATABASE__OWNER_URL": made.owner_url}
        platform, _ = stack.enter_context(installation(settings=settings))
        other = _Reference(server.create_database("theirs").owner_url, platform)
        # Its best setting, by its own figures on this machine.
        best = max(_CONCURRENCIES, key=lambda n: other.measure(backlog.reference // 3, n))
        mine, theirs = alternate(
            rounds,
            lambda: _measure_ours(platform, backlog.ours),
            lambda: other.measure(backlog.reference, best),
        )
    name = f"procrastinate {procrastinate.__version__} on PostgreSQL (concurrency {best})"
    return Result("jobs", case, mine, theirs, name, "jobs/s")


# --- ours -----------------------------------------------------------------------------------------


def _measure_ours(platform: Installation, count: int) -> float:
    scope = Scope("bench", uuid7())
    manager = OrchestratorManager([NOOP])
    uvloop.run(_submit(platform, scope, manager, count))
    log = platform.logs / "worker.log"
    with started("scripts.benchmarks.jobs_worker", [], platform.env, log):
        wait_until(
            lambda: not uvloop.run(_count_open(platform, manager)),
            f"the end of {count} jobs",
            _DRAIN_SECONDS,
            every=_POLL_SECONDS,
        )
    jobs = uvloop.run(_ended(platform, scope, manager, count))
    begun = [job.started_at for job in jobs if job.started_at]
    ended = [job.finished_at for job in jobs if job.finished_at and job.state == "succeeded"]
    if len(ended) != count:
        raise BenchmarkError(f"{len(ended)} of {count} jobs succeeded")
    return count / (max(ended) - min(begun)).total_seconds()


@contextlib.asynccontextmanager
async def _open(platform: Installation) -> AsyncIterator[Database]:
    database = Database(
        make_engine(platform.database_url, pool_size=1),
        audit_row=audit_row,
        event_row=event_maker(HOUSE.events),
    )
    try:
        yield database
    finally:
        await database.aclose()


async def _submit(
    platform: Installation, scope: Scope, manager: OrchestratorManager, count: int
) -> None:
    async with _open(platform) as database:
        for start in range(0, count, _CHUNK):
            async with database.transaction(scope) as tx:
                size = min(_CHUNK, count - start)
                await manager.submit_many(tx, NOOP.name, [{"args": {}} for _ in range(size)])


async def _count_open(platform: Installation, manager: OrchestratorManager) -> int:
    async with _open(platform) as database, database.read(SystemScope(COUNT)) as tx:
        return sum((await manager.count_waiting(tx)).values())


async def _ended(
    platform: Installation, scope: Scope, manager: OrchestratorManager, count: int
) -> Sequence[Job]:
    async with _open(platform) as database, database.read(scope) as tx:
        return await manager.list_jobs(tx, limit=count)


# --- the reference --------------------------------------------------------------------------------


class _Reference:
    """Procrastinate in a database of its own on the same server."""

    def __init__(self, url: str, platform: Installation) -> None:
        self._url = url
        self._env = platform.env
        with make_app(url).open() as app:
            app.schema_manager.apply_schema()

    def measure(self, count: int, concurrency: int) -> float:
        """Jobs a second, from the first job's start to the last one's success."""
        # Emptied, so that every round finds what the first one found.
        self._query("TRUNCATE procrastinate_jobs, procrastinate_events CASCADE")
        uvloop.run(self._submit(count))
        run_module(
            "scripts.benchmarks.jobs_reference",
            [self._url, "--concurrency", str(concurrency)],
            self._env,
        )
        ended, seconds = self._query(
            "SELECT count(*) FILTER (WHERE type = 'succeeded'),"
            " extract(epoch FROM max(at) FILTER (WHERE type = 'succeeded')"
            " - min(at) FILTER (WHERE type = 'started'))::float8 FROM procrastinate_events",
        )
        if ended != count:
            raise BenchmarkError(f"procrastinate ended {ended} of {count} jobs")
        return float(count / seconds)

    async def _submit(self, count: int) -> None:
        app = make_app(self._url)
        async with app.open_async():
            for start in range(0, count, _CHUNK):
                size = min(_CHUNK, count - start)
                await app.tasks[TASK].batch_defer_async(*({} for _ in range(size)))

    def _query(self, statement: str) -> Sequence[Any]:
        with psycopg.connect(self._url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return (cursor.fetchone() or ()) if cursor.description else ()
