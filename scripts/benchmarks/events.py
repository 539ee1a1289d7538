"""The price of an outbox: events emitted, numbered and delivered, against rows that only lie there.

Both sides write the same rows in the same transactions of a hundred and read them in the same
batches, over the same driver with the same durability. The reference has no scope, no order across
writers, no lease, and forgets how far it has read.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
import uvloop

from backend.core.audit import sequence
from backend.core.clock import perf_counter
from backend.core.context import Scope
from backend.core.cursors import EventConsumer, EventDispatcher
from backend.core.database import Id, Json, UtcTime
from backend.core.events import Event
from backend.core.ids import uuid7
from scripts.benchmarks.measure import BenchmarkError, Result, alternate
from scripts.benchmarks.stores import REFERENCE, migrated, opened

_KIND: Final = "email.accepted"
_TENANTS: Final = 10
_WRITTEN: Final = 100
_READ: Final = 200
_DATA: Final[dict[str, Any]] = {"recipients": {"accepted": 1}, "attempt": 1}
_DELIVERY_SECONDS: Final = 120.0

_ROWS: Final = sa.Table(
    "reference_rows",
    sa.MetaData(),
    sa.Column("tenant_id", Id(), primary_key=True),
    sa.Column("seq", sa.BigInteger(), primary_key=True),
    sa.Column("id", Id(), nullable=False),
    sa.Column("at", UtcTime(), nullable=False),
    sa.Column("kind", sa.Text(), nullable=False),
    sa.Column("subject", sa.Text(), nullable=False),
    sa.Column("actor", sa.Text(), nullable=False),
    sa.Column("data", Json, nullable=False),
)


def run_case(case: str, rounds: int, count: int) -> Result:
    """Events a second on PostgreSQL (fsync on) or SQLite (FULL), from first write to last read.

    Raises:
        BenchmarkError: PostgreSQL's programs are missing, or an event was not delivered once.
    """
    with migrated(case, _ROWS) as url:
        mine, theirs = alternate(
            rounds,
            lambda: uvloop.run(_measure_ours(url, count)),
            lambda: uvloop.run(_measure_reference(url, count)),
        )
    return Result("events", case, mine, theirs, REFERENCE, "events/s")


async def _measure_ours(url: str, count: int) -> float:
    tenants = [uuid7() for _ in range(_TENANTS)]
    seen: dict[str, list[int]] = {tenant: [] for tenant in tenants}
    delivered = asyncio.Event()

    async def consume(tenant_id: str, events: Sequence[Event]) -> None:
        seen[tenant_id] += [event.seq for event in events]
        if sum(map(len, seen.values())) >= count:
            delivered.set()

    # A cursor of its own a round: this one begins where the last round ended.
    consumer = EventConsumer(f"bench-{uuid7()}", consume, start="now", batch=_READ)
    async with opened(url, [_KIND]) as database, EventDispatcher(database, [consumer]).running():
        await asyncio.sleep(0.5)
        began = perf_counter()
        for start in range(0, count, _WRITTEN * _TENANTS):
            for tenant in tenants:
                async with database.transaction(Scope("bench", tenant)) as tx:
                    for number in range(start // _TENANTS, start // _TENANTS + _WRITTEN):
                        tx.emit(_KIND, f"email:{number}", **_DATA)
        while await sequence(database):
            pass
        async with asyncio.timeout(_DELIVERY_SECONDS):
            await delivered.wait()
        seconds = perf_counter() - began
    if any(seqs != list(range(1, count // _TENANTS + 1)) for seqs in seen.values()):
        raise BenchmarkError("an event was lost, doubled or out of order")
    return count / seconds


async def _measure_reference(url: str, count: int) -> float:
    tenants = [uuid7() for _ in range(_TENANTS)]
    async with opened(url, [_KIND]) as database:
        engine = database.engine
        began = perf_counter()
        for start in range(0, count, _WRITTEN * _TENANTS):
            for tenant in tenants:
                async with engine.begin() as connection:
                    first = start // _TENANTS
                    rows = [_row(tenant, n) for n in range(first, first + _WRITTEN)]
                    await connection.execute(sa.insert(_ROWS), rows)
        read = 0
        for tenant in tenants:
            last, more = 0, True
            while more:
                async with engine.connect() as connection:
                    found = await connection.execute(
                        sa.select(_ROWS)
                        .where(_ROWS.c.tenant_id == tenant, _ROWS.c.seq > last)
                        .order_by(_ROWS.c.seq)
                        .limit(_READ)
                    )
                    seqs = [row.seq for row in found.all()]
                read += len(seqs)
                more = bool(seqs)
                last = seqs[-1] if seqs else last
        seconds = perf_counter() - began
    if read != count:
        raise BenchmarkError(f"the reference read {read} of {count} rows")
    return count / seconds


def _row(tenant: str, number: int) -> dict[str, Any]:
    return {
        "tenant_id": tenant,
        "seq": number + 1,
        "id": uuid7(),
        "at": datetime.fromtimestamp(0, UTC),
        "kind": _KIND,
        "subject": f"email:{number}",
        "actor": "bench",
        "data": _DATA,
    }
