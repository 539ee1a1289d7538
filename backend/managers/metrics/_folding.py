"""Folding: what was recorded becomes windows of ten seconds, and those become longer ones.

Everything is done by ticks, a bounded bite a transaction, under the tenant's own lock: several
processes share the tenants out, and one that dies leaves a bite as if it had not begun. A batch
goes in the transaction that adds it to its windows, so it counts once. A longer window is not added
to but made anew of the whole chunk that it is made of, so making it twice changes nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final, cast

import numpy as np
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.managers.metrics import _windows
from backend.managers.metrics._recording import lock_tenant
from backend.managers.metrics._retention import keep_days_of
from backend.managers.metrics._windows import STEPS, Array, Chunk, Windows
from backend.managers.metrics.errands import WAITING
from backend.managers.metrics.models import BatchRow, ChunkRow, MetricTenantRow, SeriesRow

FOLD_SECONDS: Final = 5
ROLL_SECONDS: Final = 60
_ACTOR: Final = "system"
_BATCHES: Final = 100
_CHUNKS: Final = 500
_TENANTS: Final = 1000
_SWEPT: Final = 2000
_SWEEP_EVERY: Final = timedelta(hours=1)


async def fold_all(database: Database) -> int:
    """Add every waiting batch to its windows; returns how many batches."""
    async with database.read(SystemScope(WAITING)) as tx:
        tenants = await tx.scalars(sa.select(BatchRow.tenant_id).distinct().limit(_TENANTS))
    return sum([await _until_done(database, tenant, fold) for tenant in tenants])


async def roll_up_all(database: Database) -> int:
    """Make longer windows of all shorter ones that changed; returns how many chunks were read."""
    async with database.read(SystemScope(WAITING)) as tx:
        tenants = await tx.scalars(
            sa.select(ChunkRow.tenant_id)
            .where(ChunkRow.waiting.is_(True))
            .distinct()
            .limit(_TENANTS)
        )
    return sum([await _until_done(database, tenant, roll_up) for tenant in tenants])


async def count_waiting(tx: ReadTx) -> int:
    """Batches of all tenants that are in no window yet."""
    return cast("int", await tx.scalar(sa.select(sa.func.count()).select_from(BatchRow)))


async def _until_done(database: Database, tenant_id: str, work: Any) -> int:
    done = 0
    while True:
        async with database.transaction(Scope(_ACTOR, tenant_id)) as tx:
            some: int = await work(tx)
        done += some
        if not some:
            return done


async def fold(tx: Tx) -> int:
    """Add up to a hundred of the tenant's batches to its windows; returns how many.

    0 as well while another process does so.
    """
    row = await lock_tenant(tx)
    if row is None:
        return 0
    batches = (
        await tx.execute(
            sa.select(BatchRow.id, BatchRow.points)
            .where(BatchRow.tenant_id == tx.tenant_id)
            .order_by(BatchRow.id)
            .limit(_BATCHES)
        )
    ).all()
    if not batches:
        return 0
    points = np.frombuffer(b"".join(held for _, held in batches), _windows.POINT)
    # Of chunks that the sweep may have taken already nothing is made again.
    kept_from = tx.now() - timedelta(days=keep_days_of(row)[STEPS[0]])
    too_old = int(kept_from.timestamp() + _windows.span_of(STEPS[0])) * 1000
    points = points[points["at_ms"] >= too_old]
    series = await _series_of(tx, points)
    points = points[np.isin(points["series"], list(series))]
    histograms = [number for number, one in series.items() if one.kind == "histogram"]
    made = _windows.of_points(points, np.isin(points["series"], histograms))
    await _add(tx, made)
    await _add_totals(tx, made.windows, series)
    await tx.execute(
        sa.delete(BatchRow).where(
            BatchRow.tenant_id == tx.tenant_id, BatchRow.id.in_([one for one, _ in batches])
        )
    )
    return len(batches)


async def roll_up(tx: Tx) -> int:
    """Make longer windows of up to 500 of the tenant's chunks; returns how many were read.

    Shorter windows first, so that what a tick has begun reaches the longest in the same tick. 0 as
    well while another process does so.
    """
    if await lock_tenant(tx) is None:
        return 0
    for step, longer in pairwise(STEPS):
        rows = await tx.execute(_chunks(tx, step).where(ChunkRow.waiting.is_(True)).limit(_CHUNKS))
        sources = [Chunk(*row) for row in rows]
        if sources:
            await _replace(tx, sources, step, longer)
            await _mark_done(tx, sources, step)
            return len(sources)
    return 0


def _chunks(tx: ReadTx, step: int) -> Any:
    return sa.select(
        ChunkRow.series_id, ChunkRow.start_seconds, ChunkRow.windows, ChunkRow.buckets
    ).where(ChunkRow.tenant_id == tx.tenant_id, ChunkRow.step_seconds == step)


async def _add(tx: Tx, made: Windows) -> None:
    """Add windows of the shortest length to what is kept."""
    step = STEPS[0]
    known = await _known(tx, made.windows, step)
    await _write(tx, _windows.add_up([_windows.unpack(known, step), made]), step, known)


async def _replace(tx: Tx, sources: Sequence[Chunk], step: int, longer: int) -> None:
    """Put what whole chunks come to in the place of all windows that they cover."""
    made = _windows.add_up([_windows.unpack(sources, step)], longer)
    known = await _known(tx, made.windows, longer)
    kept = _windows.unpack(known, longer)
    starts = [(one.series, one.start) for one in sources]
    span = _windows.span_of(step)
    rest = Windows(
        kept.windows[~_windows.covered(kept.windows, starts, span)],
        kept.buckets[~_windows.covered(kept.buckets, starts, span)],
    )
    await _write(tx, _windows.add_up([rest, made]), longer, known)


async def _known(tx: Tx, windows: Array, step: int) -> list[Chunk]:
    """The chunks that these windows lie in, as far as they are there."""
    span = _windows.span_of(step)
    starts = windows["second"] - windows["second"] % span
    wanted = set(zip(windows["series"].tolist(), starts.tolist(), strict=True))
    rows = await tx.execute(
        _chunks(tx, step).where(
            ChunkRow.series_id.in_({series for series, _ in wanted}),
            ChunkRow.start_seconds.in_({start for _, start in wanted}),
        )
    )
    return [Chunk(*row) for row in rows if (row[0], row[1]) in wanted]


async def _write(tx: Tx, windows: Windows, step: int, known: Sequence[Chunk]) -> None:
    there = {(one.series, one.start) for one in known}
    new, changed = [], []
    for one in _windows.pack(windows, step):
        values = {"windows": one.windows, "buckets": one.buckets, "waiting": step != STEPS[-1]}
        if (one.series, one.start) in there:
            changed.append(_key(tx, one, step) | values)
        else:
            where = {"step_seconds": step, "series_id": one.series, "start_seconds": one.start}
            new.append({"tenant_id": tx.tenant_id, **where, **values})
    await tx.insert(ChunkRow, new)
    await tx.update_each(ChunkRow, changed, unchanged=lambda _: ())


async def _mark_done(tx: Tx, sources: Sequence[Chunk], step: int) -> None:
    rows = [_key(tx, one, step) | {"waiting": False} for one in sources]
    await tx.update_each(ChunkRow, rows, unchanged=lambda _: ())


def _key(tx: Tx, chunk: Chunk, step: int) -> dict[str, Any]:
    return {
        "key_tenant_id": tx.tenant_id,
        "key_step_seconds": step,
        "key_series_id": chunk.series,
        "key_start_seconds": chunk.start,
    }


async def _series_of(tx: Tx, points: Array) -> dict[int, Any]:
    rows = await tx.execute(
        sa.select(
            SeriesRow.id,
            SeriesRow.kind,
            SeriesRow.last_at,
            SeriesRow.observations,
            SeriesRow.total,
            SeriesRow.last_value,
        ).where(
            SeriesRow.tenant_id == tx.tenant_id,
            SeriesRow.id.in_(np.unique(points["series"]).tolist()),
        )
    )
    return {row.id: row for row in rows}


async def _add_totals(tx: Tx, windows: Array, series: dict[int, Any]) -> None:
    """What each series came to since it is there, and its newest value."""
    # One window a series: all of time.
    whole = windows.copy()
    whole["second"] = 0
    rows = []
    for one in _windows.add_up([Windows(whole, _windows.NOTHING.buckets)]).windows:
        known = series[int(one["series"])]
        at = datetime.fromtimestamp(int(one["last_ms"]) / 1000, known.last_at.tzinfo)
        newer = known.last_value is None or at >= known.last_at
        rows.append(
            {
                "key_tenant_id": tx.tenant_id,
                "key_id": known.id,
                "last_at": max(at, known.last_at),
                "observations": known.observations + int(one["count"]),
                "total": known.total + float(one["sum"]),
                "last_value": float(one["last"]) if newer else known.last_value,
            }
        )
    await tx.update_each(SeriesRow, rows, unchanged=lambda _: ())


async def sweep(tx: Tx) -> int:
    """Forget a bite of one tenant's old windows and silent series; 0 once each was looked at.

    Windows stay that a longer one does not know yet.
    """
    row: MetricTenantRow | None = await tx.scalar(
        sa.select(MetricTenantRow)
        .where(MetricTenantRow.swept_at <= tx.now() - _SWEEP_EVERY)
        .order_by(MetricTenantRow.swept_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    if row is None:
        return 0
    async with tx.within(row.tenant_id) as own:
        gone = await _forget_windows(own, keep_days_of(row))
        silent = await _forget_series(own, keep_days_of(row)[STEPS[-1]])
    if silent:
        row.series -= silent
        row.generation += 1
    if not gone + silent:
        row.swept_at = tx.now()
    return 1 + gone + silent


async def _forget_windows(tx: Tx, keep: dict[int, int]) -> int:
    gone = 0
    for step in STEPS:
        # A day more for what is made of others: what came in late must find it whole.
        days = keep[step] + (step != STEPS[0])
        oldest = int((tx.now() - timedelta(days=days)).timestamp())
        gone += await tx.delete_some(
            ChunkRow,
            ChunkRow.tenant_id == tx.tenant_id,
            ChunkRow.step_seconds == step,
            ChunkRow.start_seconds < oldest - _windows.span_of(step),
            ChunkRow.waiting.is_(False),
            limit=_SWEPT,
        )
    return gone


async def _forget_series(tx: Tx, days: int) -> int:
    """Series that have been silent for so long that none of their windows is left."""
    return await tx.delete_some(
        SeriesRow,
        SeriesRow.tenant_id == tx.tenant_id,
        SeriesRow.last_at
        < tx.now() - timedelta(days=days, seconds=2 * _windows.span_of(STEPS[-1])),
        limit=_SWEPT,
    )
