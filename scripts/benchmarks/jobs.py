"""The price of a durable job: jobs that do nothing, drained by one worker process.

Both sides find the same backlog waiting and are measured from the first start to the last end as
their own tables tell it, so neither is charged for its start-up or its idle polls.
"""

import asyncio
import contextlib
import json
import statistics
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import procrastinate
import psycopg
import sqlalchemy as sa
import uvloop

from backend.core.clock import monotonic, perf_counter
from backend.core.context import Scope, SystemScope
from backend.core.database import Database, make_engine
from backend.core.events import event_maker
from backend.core.ids import uuid7
from backend.core.signals import PostgresCarrier, Signals
from backend.managers.orchestrator import COUNT, GraphDraft, Job, OrchestratorManager, TaskDraft
from backend.rooms import HOUSE
from scripts.benchmarks import jobs_pgqueuer
from scripts.benchmarks.jobs_finished import OWNER_URL, fill_finished
from scripts.benchmarks.jobs_reference import TASK, TIMED_TASK, make_app
from scripts.benchmarks.jobs_worker import NOOP, TIMED
from scripts.benchmarks.measure import BenchmarkError, Result, alternate, read_picked_up
from scripts.benchmarks.processes import installation, started, wait_until
from scripts.installation import Installation, run_module
from tests.support.postgres import MISSING, SUPERUSER, PostgresServer, find_programs
from tests.support.trail import audit_row

_CHUNK: Final = 500
_CONCURRENCIES: Final = (5, 20, 50)
_DRAIN_SECONDS: Final = 300.0
_POLL_SECONDS: Final = 0.2
_FLOOR: Final = 0.8
PROCRASTINATE_FLOOR: Final = 6.0
_FINISHED_FLOOR: Final = 0.85
_GRAPH_FLOOR: Final = 5.0
_STEPS: Final = 9
_ACROSS: Final = 21
FINISHED: Final = 10_000_000
FEW: Final = 10_000
_PICKUP_FLOOR: Final = 0.5
_APART_SECONDS: Final = 0.1
_COUNT_OPEN: Final = (
    "SELECT (SELECT count(*) FROM jobs WHERE state = 'ready')"
    " + (SELECT count(*) FROM jobs WHERE state = 'running')"
)
_WORKER: Final = "scripts.benchmarks.jobs_worker"
_READY: Final = "worker_ready"


class Backlog(NamedTuple):
    """How many jobs each side is given; rates, so they need not be equal."""

    ours: int
    reference: int


def run_case(
    case: str, rounds: int, backlog: Backlog, *, label: str = "", floor: float | None = None
) -> Result:
    """Jobs a second on PostgreSQL (fsync on) or SQLite (FULL); the reference has PostgreSQL only.

    Args:
        case: The database.
        rounds: Alternating runs of each side.
        backlog: What each is given.
        label: Of the case, if not the database's name.
        floor: Of the ratio.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or a job did not end well.
    """
    with _both(case) as (platform, url):
        other = _Reference(url, platform)
        # Its best setting, by its own figures on this machine.
        best = max(_CONCURRENCIES, key=lambda n: other.measure(backlog.reference // 3, n))
        mine, theirs = alternate(
            rounds,
            lambda: _measure_ours(platform, backlog.ours),
            lambda: other.measure(backlog.reference, best),
        )
    name = f"procrastinate {procrastinate.__version__} on PostgreSQL (concurrency {best})"
    return Result("jobs", label or case, mine, theirs, name, "jobs/s", floor)


def run_workers(workers: int, rounds: int, count: int) -> Result:
    """Jobs a second by workers that stand ready when all of them come, on PostgreSQL.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or a job did not end well.
    """
    with _both() as (platform, url):
        other = jobs_pgqueuer.Queue(url, platform.env, platform.logs)
        mine, theirs = alternate(
            rounds,
            lambda: _measure_ready(platform, count, workers),
            lambda: other.measure(count, workers),
        )
    return Result(
        "jobs", f"pgqueuer-{workers}w", mine, theirs, jobs_pgqueuer.NAME, "jobs/s", _FLOOR
    )


def run_finished(rounds: int, count: int, finished: int) -> Result:
    """Jobs a second by a worker that stands ready, beside so many that have ended and beside none.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or a job did not end well.
    """
    if find_programs() is None:
        raise BenchmarkError(MISSING)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(PostgresServer(fsync=True))
        full, new = (
            stack.enter_context(installation(settings=_settings(server, name)))[0]
            for name in ("full", "new")
        )
        began = monotonic()
        fill_finished(full.env[OWNER_URL], scope := Scope("bench", uuid7()), finished)
        server.checkpoint()
        sys.stderr.write(f"    {finished:,} finished jobs in {monotonic() - began:,.0f} s\n")
        mine, theirs = alternate(
            rounds,
            lambda: _measure_ready(full, count, 1, scope),
            lambda: _measure_ready(new, count, 1, scope),
        )
    name = "the same without any that have ended"
    return Result("jobs", "finished-10M", mine, theirs, name, "jobs/s", _FINISHED_FLOOR)


def run_pickup(rounds: int, count: int) -> Result:
    """How soon an idle worker on PostgreSQL begins what comes alone: a rate by its 95th percentile.

    From the caller's call to the handler's first line, by one clock: the tables of the two tell
    different stories. Ours has a job made when it is called for, the reference's when the server
    has heard of it; and the reference's begins when its worker asks, ours when it has it.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or a job was not begun.
    """
    with _both() as (platform, url):
        other = _Reference(url, platform)
        mine, theirs = alternate(
            rounds,
            lambda: _measure_pickup(platform, count),
            lambda: other.measure_pickup(count, platform.logs / "procrastinate.log"),
        )
    name = f"procrastinate {procrastinate.__version__}"
    return Result("pickup", "postgresql", mine, theirs, name, "pick-ups/s at p95", _PICKUP_FLOOR)


def run_graph(rounds: int) -> Result:
    """Tasks a second of a graph of 200, which nine times spreads out and comes together again.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or not all of a graph succeeded.
    """
    with _both() as (platform, url):
        mine, theirs = alternate(
            rounds,
            lambda: _measure_graph(platform, _spread()),
            lambda: _measure_dbos(platform, url, _spread()),
        )
    name = f"DBOS {version('dbos')}"
    return Result("graph", "graph-200", mine, theirs, name, "tasks/s", _GRAPH_FLOOR)


def _spread() -> dict[str, list[str]]:
    """Names, each with those that it waits for."""
    graph: dict[str, list[str]] = {"begin": []}
    last = "begin"
    for step in range(_STEPS):
        parts = [f"part-{step}-{number}" for number in range(_ACROSS)]
        graph |= {name: [last] for name in parts}
        last = f"gather-{step}"
        graph[last] = parts
    graph["end"] = [last]
    return graph


@contextlib.contextmanager
def _both(case: str = "postgresql") -> Iterator[tuple[Installation, str]]:
    """Our installation, and the address of an empty database for the reference."""
    if find_programs() is None:
        raise BenchmarkError(MISSING)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(PostgresServer(fsync=True))
        settings = _settings(server) if case == "postgresql" else {}
        platform, _ = stack.enter_context(installation(settings=settings))
        yield platform, server.create_database("theirs").owner_url


def _settings(server: PostgresServer, name: str = "ours") -> dict[str, str]:
    made = server.create_database(name)
    return {
        "DATABASE__URL": made.url,
        "DATABASE__OWNER_URL": made.owner_url,
        # Two workers cannot have the same port.
        "TELEMETRY__WORKER_METRICS_PORT": "0",
    }


def _picked_up(log: Path, count: int) -> float:
    """A rate by the 95th percentile of what the handlers of a worker say."""
    wait_until(lambda: len(read_picked_up(log)) >= count, f"the start of {count} jobs")
    seconds = read_picked_up(log)
    if len(seconds) != count:
        raise BenchmarkError(f"{count} jobs were begun {len(seconds)} times")
    return 1 / statistics.quantiles(seconds, n=20)[-1]


# --- ours -----------------------------------------------------------------------------------------


def _measure_pickup(platform: Installation, count: int) -> float:
    scope = Scope("bench", uuid7())
    manager = OrchestratorManager([TIMED])

    async def submit() -> None:
        carrier = PostgresCarrier(platform.database_url)
        async with _open(platform, Signals(carrier)) as database, database.signals.running():
            for _ in range(count):
                called_at = perf_counter()
                async with database.transaction(scope) as tx:
                    await manager.submit(tx, TIMED.name, args={"called_at": called_at})
                await asyncio.sleep(_APART_SECONDS)

    log = platform.logs / "worker.log"
    log.unlink(missing_ok=True)
    with started(_WORKER, [], platform.env, log):
        wait_until(lambda: _READY in log.read_text(), "our worker's start")
        uvloop.run(submit())
        return _picked_up(log, count)


def _measure_ready(
    platform: Installation, count: int, workers: int, scope: Scope | None = None
) -> float:
    scope = scope or Scope("bench", uuid7())
    manager = OrchestratorManager([NOOP])
    with contextlib.ExitStack() as stack:
        logs = [platform.logs / f"worker-{number}.log" for number in range(workers)]
        for log in logs:
            log.unlink(missing_ok=True)
            stack.enter_context(started(_WORKER, [], platform.env, log))
        wait_until(lambda: all(_READY in log.read_text() for log in logs), "our workers' start")
        uvloop.run(_submit(platform, scope, manager, count, at_once=True))
        _wait_for_the_end(platform, manager, count)
    return uvloop.run(_rate(platform, scope, manager, count))


def _measure_graph(platform: Installation, depends_on: Mapping[str, Sequence[str]]) -> float:
    """From the graph's row to its end."""
    scope = Scope("bench", uuid7())
    manager = OrchestratorManager([NOOP])
    tasks = [TaskDraft(name, NOOP.name, {}, before) for name, before in depends_on.items()]

    async def submit() -> str:
        carrier = PostgresCarrier(platform.database_url)
        async with _open(platform, Signals(carrier)) as database, database.signals.running():
            async with database.transaction(scope) as tx:
                made, _ = await manager.graphs.submit(tx, GraphDraft("bench", tasks))
            # The signal leaves after the commit.
            await asyncio.sleep(_APART_SECONDS)
        return made.id

    async def took(graph_id: str) -> float | None:
        async with _open(platform) as database, database.read(scope) as view:
            graph = await manager.graphs.get(view, graph_id)
        if graph.state not in ("running", "succeeded"):
            raise BenchmarkError(f"our graph is {graph.state}")
        ended = graph.finished_at
        return None if ended is None else (ended - graph.created_at).total_seconds()

    log = platform.logs / "worker.log"
    log.unlink(missing_ok=True)
    with started(_WORKER, [], platform.env, log):
        wait_until(lambda: _READY in log.read_text(), "our worker's start")
        graph_id = uvloop.run(submit())
        wait_until(
            lambda: uvloop.run(took(graph_id)) is not None,
            "the graph's end",
            _DRAIN_SECONDS,
            every=_POLL_SECONDS,
        )
    seconds = uvloop.run(took(graph_id))
    if seconds is None:
        raise BenchmarkError("our graph goes on again")
    return len(tasks) / seconds


def _measure_dbos(
    platform: Installation, url: str, depends_on: Mapping[str, Sequence[str]]
) -> float:
    said = run_module("scripts.benchmarks.jobs_dbos", [url, json.dumps(depends_on)], platform.env)
    told = json.loads(said.splitlines()[-1])
    if told["ended"] != len(depends_on):
        raise BenchmarkError(f"DBOS ended {told['ended']} of {len(depends_on)} tasks")
    return float(told["ended"] / told["seconds"])


def _measure_ours(platform: Installation, count: int) -> float:
    scope = Scope("bench", uuid7())
    manager = OrchestratorManager([NOOP])
    uvloop.run(_submit(platform, scope, manager, count))
    with started(_WORKER, [], platform.env, platform.logs / "worker.log"):
        _wait_for_the_end(platform, manager, count)
    return uvloop.run(_rate(platform, scope, manager, count))


def _wait_for_the_end(platform: Installation, manager: OrchestratorManager, count: int) -> None:
    url = sa.make_url(platform.database_url)
    if url.get_backend_name() == "postgresql":
        # As of the references, by one plain statement: to open the platform's database takes a
        # processor for longer than a claim, and those who are measured have two.
        address = f"postgresql://{SUPERUSER}@{url.host}:{url.port}/{url.database}"

        def count_open() -> int:
            with psycopg.connect(address, autocommit=True) as connection:
                return int((connection.execute(_COUNT_OPEN).fetchone() or (0,))[0])
    else:

        def count_open() -> int:
            return uvloop.run(_count_open(platform, manager))

    wait_until(
        lambda: not count_open(),
        f"the end of {count} jobs",
        _DRAIN_SECONDS,
        every=_POLL_SECONDS,
    )


async def _ended(
    platform: Installation, scope: Scope, manager: OrchestratorManager, count: int
) -> Sequence[Job]:
    async with _open(platform) as database, database.read(scope) as view:
        # One more comes, if the tenant has had some before.
        return (await manager.list_jobs(view, limit=count))[:count]


async def _rate(
    platform: Installation, scope: Scope, manager: OrchestratorManager, count: int
) -> float:
    jobs = await _ended(platform, scope, manager, count)
    begun = [job.started_at for job in jobs if job.started_at]
    ended = [job.finished_at for job in jobs if job.finished_at and job.state == "succeeded"]
    if len(ended) != count:
        raise BenchmarkError(f"{len(ended)} of {count} jobs succeeded")
    return count / (max(ended) - min(begun)).total_seconds()


@contextlib.asynccontextmanager
async def _open(platform: Installation, signals: Signals | None = None) -> AsyncIterator[Database]:
    database = Database(
        make_engine(platform.database_url, pool_size=1),
        signals=signals,
        audit_row=audit_row,
        event_row=event_maker(HOUSE.events),
    )
    try:
        yield database
    finally:
        await database.aclose()


async def _submit(
    platform: Installation,
    scope: Scope,
    manager: OrchestratorManager,
    count: int,
    *,
    at_once: bool = False,
) -> None:
    sizes = [min(_CHUNK, count - start) for start in range(0, count, _CHUNK)]
    async with _open(platform) as database:
        for some in [sizes] if at_once else [[size] for size in sizes]:
            async with database.transaction(scope) as tx:
                for size in some:
                    await manager.submit_many(tx, NOOP.name, [{"args": {}} for _ in range(size)])


async def _count_open(platform: Installation, manager: OrchestratorManager) -> int:
    async with _open(platform) as database, database.read(SystemScope(COUNT)) as view:
        return sum((await manager.count_unfinished(view)).values())


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

    def measure_pickup(self, count: int, log: Path) -> float:
        self._query("TRUNCATE procrastinate_jobs, procrastinate_events CASCADE")
        arguments = [self._url, "--concurrency", "20", "--stay"]
        log.unlink(missing_ok=True)
        with started("scripts.benchmarks.jobs_reference", arguments, self._env, log):
            wait_until(
                lambda: self._query(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
                )[0],
                "its worker's start",
            )
            uvloop.run(self._submit_apart(count))
            return _picked_up(log, count)

    async def _submit_apart(self, count: int) -> None:
        app = make_app(self._url)
        async with app.open_async():
            for _ in range(count):
                await app.tasks[TIMED_TASK].defer_async(called_at=perf_counter())
                await asyncio.sleep(_APART_SECONDS)

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
