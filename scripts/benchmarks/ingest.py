"""The price of taking in: log lines and observations, from a request's bytes to rows on disk.

The rooms are asked as their data routes ask them, a thousand a batch, several callers at once. The
reference writes the same rows by SQLAlchemy Core in transactions of a thousand, over the same
driver and database with the same durability. It is handed its rows, where ours are read, checked
and rid of secrets first; and it has no scope, no number of its own and no budget.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
import sqlalchemy as sa
import uvloop

from backend.core.clock import perf_counter, system_clock
from backend.core.context import Scope
from backend.core.database import Base, Id, Json, UtcTime, make_engine
from backend.core.ids import uuid7
from backend.core.row_security import TENANT_SETTING
from backend.kit.outbound import Outbound
from backend.kit.turns import Turns
from backend.managers.logging import LoggingManager, LoggingSettings
from backend.managers.metrics import MetricsManager, MetricsSettings
from backend.managers.metrics.data_plane import MetricsIn
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.stores import REFERENCE, migrated, opened
from tests.support.lines import log_lines

FLOOR: Final = 0.5
_BATCH: Final = 1000
_CALLERS: Final = 4
_SERIES: Final = 200
_NO_BUDGET: Final = 10**15

_POINTS: Final = sa.Table(
    "reference_points",
    sa.MetaData(),
    sa.Column("tenant_id", Id(), primary_key=True),
    sa.Column("id", Id(), primary_key=True),
    sa.Column("name", sa.Text(), nullable=False),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("labels", Json, nullable=False),
    sa.Column("at", UtcTime(), nullable=False),
    sa.Column("value", sa.Float(), nullable=False),
)

Rows = Sequence[Mapping[str, Any]]


def run_logs(case: str, rounds: int, count: int) -> Result:
    """Log lines a second on PostgreSQL (fsync on) or SQLite (FULL), their words' index written.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or a line was not kept.
    """
    bodies = _bodies(count, lambda rng, at: log_lines(rng, _BATCH, at))
    with migrated(case) as url:
        mine, theirs = alternate(
            rounds,
            lambda: uvloop.run(_log(url, bodies)),
            lambda: uvloop.run(_insert_lines(url, bodies)),
        )
    return Result("ingest-logs", case, mine, theirs, REFERENCE, "lines/s", FLOOR)


def run_metrics(case: str, rounds: int, count: int) -> Result:
    """Observations a second, from the first request until all of them are in their windows.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or an observation was not recorded.
    """
    bodies = _bodies(count, lambda rng, _: msgspec.json.encode({"items": _items(rng)}))
    with migrated(case, _POINTS) as url:
        mine, theirs = alternate(
            rounds,
            lambda: uvloop.run(_record(url, bodies)),
            lambda: uvloop.run(_insert_points(url, bodies)),
        )
    return Result("ingest-metrics", case, mine, theirs, REFERENCE, "observations/s", FLOOR)


def _bodies(count: int, make: Callable[[random.Random, datetime], bytes]) -> list[bytes]:
    rng = random.Random(9)  # noqa: S311 - the same on every run
    began = system_clock() - timedelta(minutes=5)
    return [make(rng, began + timedelta(seconds=n)) for n in range(-(-count // _BATCH))]


def _items(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "name": f"orders_{number % 4}_total",
            "kind": "counter",
            "value": rng.random(),
            "labels": {"shop": f"shop-{number}", "country": "de"},
        }
        for number in rng.choices(range(_SERIES), k=_BATCH)
    ]


async def _at_once(
    work: Callable[[Any], Awaitable[None]], parts: Iterable[Any], callers: int = _CALLERS
) -> None:
    """Do each part of the work, so many at once."""
    left = iter(parts)

    async def call() -> None:
        for part in left:
            await work(part)

    await asyncio.gather(*(call() for _ in range(callers)))


# --- ours -------------------------------------------------------------------------------------


async def _log(url: str, bodies: Sequence[bytes]) -> float:
    logs = LoggingManager(LoggingSettings(day_bytes=_NO_BUDGET), Turns(), Outbound())
    scope = Scope("bench", uuid7())
    kept = 0
    async with opened(url) as database:

        async def send(body: bytes) -> None:
            nonlocal kept
            batch = await logs.read(database, scope, body)
            await database.together(
                scope, lambda tx: logs.add(tx, batch), size_bytes=batch.size_bytes
            )
            kept += len(batch.rows)

        began = perf_counter()
        await _at_once(send, bodies)
        seconds = perf_counter() - began
    if kept != len(bodies) * _BATCH:
        raise BenchmarkError(f"{kept} of {len(bodies) * _BATCH} lines were kept")
    return kept / seconds


async def _record(url: str, bodies: Sequence[bytes]) -> float:
    metrics = MetricsManager(MetricsSettings())
    scope = Scope("bench", uuid7())
    read = msgspec.json.Decoder(MetricsIn).decode
    recorded = 0
    async with opened(url) as database:

        async def send(body: bytes) -> None:
            nonlocal recorded
            done = await metrics.recording.record(database, scope, read(body).items)
            recorded += done.accepted

        began = perf_counter()
        await _at_once(send, bodies)
        folded = await metrics.fold(database)
        seconds = perf_counter() - began
    if (recorded, folded) != (len(bodies) * _BATCH, len(bodies)):
        raise BenchmarkError(f"{recorded} observations recorded, {folded} batches folded")
    return recorded / seconds


# --- the reference ----------------------------------------------------------------------------


async def _insert_lines(url: str, bodies: Sequence[bytes]) -> float:
    logs = LoggingManager(LoggingSettings(day_bytes=_NO_BUDGET), Turns(), Outbound())
    tenant_id = uuid7()
    async with opened(url) as database:
        read = [(await logs.read(database, Scope("bench", tenant_id), one)).rows for one in bodies]
    batches = [
        [{**row, "seq": number * _BATCH + at + 1} for at, row in enumerate(rows)]
        for number, rows in enumerate(read)
    ]
    tables = Base.metadata.tables
    head = {"tenant_id": tenant_id, "seq": 0, "refused": 0, "day": 0, "day_bytes": 0}
    # Whose lines these are: what keeps the words' index asks.
    await _insert(url, tenant_id, tables["log_heads"], [[head]])
    return await _insert(url, tenant_id, tables["log_records"], batches)


async def _insert_points(url: str, bodies: Sequence[bytes]) -> float:
    tenant_id, at = uuid7(), system_clock()
    batches = [
        [
            {"tenant_id": tenant_id, "id": uuid7(), "at": at, **item}
            for item in msgspec.json.decode(body)["items"]
        ]
        for body in bodies
    ]
    return await _insert(url, tenant_id, _POINTS, batches)


async def _insert(url: str, tenant_id: str, table: sa.Table, batches: Sequence[Rows]) -> float:
    """Rows a second, a transaction a batch, by as many writers as the database lets write."""
    if url.startswith("postgresql"):
        # Said once a connection: no transaction pays for the wall that ours has.
        url += f"?options=-c%20{TENANT_SETTING}%3D{tenant_id}"
    engine = make_engine(url)
    statement = sa.insert(table)

    async def write(rows: Rows) -> None:
        async with engine.begin() as connection:
            await connection.execute(statement, rows)

    try:
        began = perf_counter()
        # SQLite's writers would only wait for each other.
        await _at_once(write, batches, 1 if url.startswith("sqlite") else _CALLERS)
        seconds = perf_counter() - began
    finally:
        await engine.dispose()
    return sum(map(len, batches)) / seconds
