"""Rules for the platform's own series, and the door to those of tenants.

Rollups are histograms, not percentiles (:mod:`backend.kit.histogram`).
"""

import contextlib
import logging
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import Database, DatabaseUnavailableError, ReadTx, SystemScope, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.telemetry import RequestRecord
from backend.kit.histogram import bucket_of, count_within, empty, quantile_ms
from backend.kit.turns import Turns
from backend.managers.metrics._derived import Derived
from backend.managers.metrics._folding import count_waiting, fold_all, roll_up_all, sweep
from backend.managers.metrics._hours import HOUR_SECONDS, fold_hours
from backend.managers.metrics._recording import Recording
from backend.managers.metrics._retention import Retention
from backend.managers.metrics.errands import ROLLUPS
from backend.managers.metrics.models import RequestHourRow, RollupRow
from backend.managers.metrics.settings import MetricsSettings

STEP_SECONDS: Final = 10
MAX_MINUTES: Final = 90 * 24 * 60
_STEPS: Final = ((360, STEP_SECONDS), (1440, 60))
"""Up to so many minutes a step of the series lasts so many seconds."""
_SERVER_ERROR: Final = 500
_CLIENT_ERROR: Final = 400
_MAX_GONE: Final = 100
"""Tenants that went last: while their data goes their clients are refused, and that is seen too."""
_MAX_WAITING: Final = 10_000
_KEEP: Final = timedelta(days=30)
_KEEP_HOURS: Final = timedelta(days=100)
_SWEPT: Final = 5000

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Window:
    """What was counted; also the shape of a stored row."""

    requests: int = 0
    errors: int = 0
    refusals: int = 0
    seconds_sum: float = 0.0
    buckets: list[int] = field(default_factory=empty)

    @property
    def error_rate(self) -> float | None:
        return self.errors / self.requests if self.requests else None

    def add(self, other: "_Window | RollupRow | RequestHourRow") -> None:
        """Count the other's requests as well."""
        self.requests += other.requests
        self.errors += other.errors
        self.refusals += other.refusals
        self.seconds_sum += other.seconds_sum
        self.buckets = [a + b for a, b in zip(self.buckets, other.buckets, strict=True)]


@dataclass(frozen=True, slots=True)
class Point:
    """One step of the series; without requests there is neither a quantile nor a rate."""

    at: datetime
    requests_per_second: float
    p95_ms: float | None
    error_rate: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """A window of time and the same figures over the whole of it."""

    points: Sequence[Point]
    requests_per_second: float
    p95_ms: float | None
    error_rate: float | None
    window_seconds: int
    step_seconds: int = STEP_SECONDS


@dataclass(frozen=True, slots=True)
class Served:
    """What one tenant's requests of a window came to."""

    tenant_id: str
    requests: int
    errors: int
    p95_ms: float | None
    error_rate: float | None


class MetricsManager:
    """Collects request records in memory, writes closed windows, reads series."""

    def __init__(self, settings: MetricsSettings | None = None, turns: Turns | None = None) -> None:
        settings = settings or MetricsSettings()
        self.turns = turns or Turns()
        self.recording = Recording(settings)
        self.derived = Derived(self.recording)
        self.retention = Retention(settings)
        self._open: dict[tuple[int, str], _Window] = {}
        self._gone: deque[str] = deque(maxlen=_MAX_GONE)
        self._process = f"{socket.gethostname()}:{os.getpid()}:{uuid7()[-4:]}"

    def observe(self, records: Sequence[RequestRecord]) -> None:
        """Add finished requests to their windows; a consumer of the telemetry queue.

        What the console reads counts nowhere; what a person does by it is the tenant's.
        """
        for record in records:
            if record.looks_on or record.tenant_id in self._gone:
                # Somebody has the overview open: it would draw its own polling as traffic.
                continue
            step = record.started_ns // (STEP_SECONDS * 1_000_000_000)
            key = step, record.tenant_id or PLATFORM_TENANT
            window = self._open.get(key)
            if window is None:
                window = self._open[key] = _Window()
            window.requests += 1
            window.seconds_sum += record.seconds
            window.buckets[bucket_of(record.seconds)] += 1
            if record.status >= _SERVER_ERROR:
                window.errors += 1
            elif record.status >= _CLIENT_ERROR:
                window.refusals += 1

    def leave(self, tenant_id: str) -> None:
        """Count nothing of a tenant whose data goes: a window written later would outlive it."""
        self._gone.append(tenant_id)
        self.recording.leave(tenant_id)
        self._open = {key: window for key, window in self._open.items() if key[1] != tenant_id}

    async def flush(self, database: Database, *, everything: bool = False) -> int:
        """Write windows that have ended (or all, at shutdown); returns how many rows.

        A late record of a written window opens a second row of it under the next process stamp,
        so nothing is overwritten. While the database is away windows wait for the next call, the
        newest ten thousand of them.
        """
        current = int(database.clock().timestamp() // STEP_SECONDS)
        ready = [key for key in self._open if everything or key[0] < current]
        taken = {key: self._open.pop(key) for key in ready}
        if not taken:
            return 0
        try:
            async with database.transaction(SystemScope(ROLLUPS)) as tx:
                await tx.insert(RollupRow, [self._row(*each) for each in taken.items()])
        except DatabaseUnavailableError:
            logger.warning("rollups_wait_for_the_database", extra={"windows": len(taken)})
            for key in sorted(taken)[-_MAX_WAITING:]:
                self._open.setdefault(key, _Window()).add(taken[key])
            return 0
        return len(taken)

    def _row(self, key: tuple[int, str], window: _Window) -> dict[str, Any]:
        step, tenant_id = key
        return {
            "window_at": datetime.fromtimestamp(step * STEP_SECONDS, UTC),
            "tenant_id": tenant_id,
            "process": f"{self._process}:{uuid7()[-6:]}",
            "requests": window.requests,
            "errors": window.errors,
            "refusals": window.refusals,
            "seconds_sum": window.seconds_sum,
            "buckets": window.buckets,
        }

    async def read_series(self, tx: ReadTx, *, minutes: int) -> Series:
        """The tenant's requests over the last ``minutes``, one point a step, gaps as None.

        A step is ten seconds up to six hours, a minute up to a day, and an hour beyond.
        """
        size = next((step for most, step in _STEPS if minutes <= most), HOUR_SECONDS)
        end = int(tx.now().timestamp() // size)
        begin = end - minutes * 60 // size
        since = datetime.fromtimestamp(begin * size, UTC)
        by_step: dict[int, _Window] = {}
        total = _Window()

        def add(at: datetime, row: RollupRow | RequestHourRow) -> None:
            for window in (by_step.setdefault(int(at.timestamp() // size), _Window()), total):
                window.add(row)

        if size == HOUR_SECONDS:
            hours = await tx.scalars(
                sa.select(RequestHourRow)
                .where(RequestHourRow.tenant_id == tx.tenant_id, RequestHourRow.hour_at >= since)
                .order_by(RequestHourRow.hour_at)
            )
            for hour in hours:
                add(hour.hour_at, hour)
                # What no hour was made of yet is read as it was written.
                since = hour.hour_at + timedelta(seconds=HOUR_SECONDS)
        rows = await tx.scalars(
            sa.select(RollupRow).where(
                RollupRow.tenant_id == tx.tenant_id, RollupRow.window_at >= since
            )
        )
        for row in rows:
            add(row.window_at, row)
        seconds = minutes * 60
        return Series(
            points=[_point(step, size, by_step.get(step, _Window())) for step in range(begin, end)],
            requests_per_second=total.requests / seconds,
            p95_ms=quantile_ms(total.buckets, 0.95),
            error_rate=total.error_rate,
            window_seconds=seconds,
            step_seconds=size,
        )

    async def fold_hours(self, database: Database) -> int:
        """Make the hours of requests that are over; returns how many."""
        return await fold_hours(database)

    async def list_busy(self, tx: ReadTx, *, minutes: int, limit: int) -> Sequence[Served]:
        """What tenants asked for in the last ``minutes``, the slowest on the mean first.

        Whose slowest twentieth lasts a second has a mean of a twentieth of one at least: so the
        slowest by the mean are looked at, and their quantiles alone are read.

        Args:
            tx: Under :data:`~backend.managers.metrics.errands.ROLLUPS`.
            minutes: Up to an hour: rows are of ten seconds each.
            limit: So many tenants at most, of those that ask at all.
        """
        since = tx.now() - timedelta(minutes=minutes)
        # First the window's rows: to group them by tenant SQLite would go through all there are.
        recent = (
            sa.select(RollupRow.tenant_id, RollupRow.requests, RollupRow.seconds_sum)
            .where(RollupRow.window_at >= since, RollupRow.tenant_id != PLATFORM_TENANT)
            .cte("recent")
            .prefix_with("MATERIALIZED")
        )
        asked = sa.func.sum(recent.c.requests)
        found = await tx.scalars(
            sa.select(recent.c.tenant_id)
            .group_by(recent.c.tenant_id)
            .having(asked > 0)
            .order_by((sa.func.sum(recent.c.seconds_sum) / asked).desc(), recent.c.tenant_id)
            .limit(limit)
        )
        windows: dict[str, _Window] = {tenant_id: _Window() for tenant_id in found}
        for row in await tx.scalars(
            sa.select(RollupRow).where(
                RollupRow.tenant_id.in_(list(windows)), RollupRow.window_at >= since
            )
        ):
            windows[row.tenant_id].add(row)
        return [
            Served(
                tenant_id, one.requests, one.errors, quantile_ms(one.buckets, 0.95), one.error_rate
            )
            for tenant_id, one in windows.items()
        ]

    async def count_requests(self, tx: ReadTx, *, minutes: int) -> tuple[int, int, int]:
        """Requests of all tenants, those that failed, and how many tenants asked."""
        row = (
            await tx.execute(
                sa.select(
                    sa.func.coalesce(sa.func.sum(RollupRow.requests), 0),
                    sa.func.coalesce(sa.func.sum(RollupRow.errors), 0),
                    sa.func.count(sa.distinct(RollupRow.tenant_id)),
                ).where(
                    RollupRow.window_at >= tx.now() - timedelta(minutes=minutes),
                    RollupRow.tenant_id != PLATFORM_TENANT,
                )
            )
        ).one()
        return int(row[0]), int(row[1]), int(row[2])

    async def count_served(
        self, tx: ReadTx, *, since: datetime, until: datetime, step: int, within_ms: float | None
    ) -> Mapping[int, tuple[int, int]]:
        """How many of the tenant's requests were served, of how many, by the step's first second.

        Args:
            tx: The tenant's.
            since: The first moment, where a step begins.
            until: The first moment after.
            step: Its length in seconds, of which ten are a part.
            within_ms: Served is what lasted so long at most, within a histogram's 12 %; None: what
                the platform did not fail at (5xx).
        """
        rows = await tx.scalars(
            sa.select(RollupRow).where(
                RollupRow.tenant_id == tx.tenant_id,
                RollupRow.window_at >= since,
                RollupRow.window_at < until,
            )
        )
        found: dict[int, _Window] = {}
        for row in rows:
            second = int(row.window_at.timestamp())
            found.setdefault(second - second % step, _Window()).add(row)
        return {
            second: (
                one.requests - one.errors
                if within_ms is None
                else count_within(one.buckets, within_ms / 1000),
                one.requests,
            )
            for second, one in found.items()
        }

    async def fold(self, database: Database) -> int:
        """Add to their windows what tenants have recorded; returns how many batches."""
        return await fold_all(database)

    async def roll_up(self, database: Database) -> int:
        """Make longer windows of shorter ones that changed; returns how many chunks were read."""
        return await roll_up_all(database)

    async def count_waiting(self, tx: ReadTx) -> Mapping[str, int]:
        """How many batches are in no window yet."""
        return {"": await count_waiting(tx)}

    async def sweep_series(self, tx: Tx) -> int:
        """Forget a bite of one tenant's old windows and of its silent series."""
        return await sweep(tx)

    @asynccontextmanager
    async def serving(self, database: Database) -> AsyncIterator[None]:
        """Write at the end what was collected since the last flush."""
        try:
            yield
        finally:
            # A database that is gone keeps its silence: nobody is left to be told.
            with contextlib.suppress(Exception):
                await self.flush(database, everything=True)

    async def sweep(self, tx: Tx) -> int:
        """Forget up to 5000 windows older than thirty days, and hours than a hundred; how many."""
        kept = tx.now() - _KEEP_HOURS
        hour, window = RequestHourRow.hour_at, RollupRow.window_at
        gone = await tx.delete_some(RequestHourRow, hour < kept, limit=_SWEPT, by=hour)
        kept = tx.now() - _KEEP
        return gone + await tx.delete_some(RollupRow, window < kept, limit=_SWEPT, by=window)


def _point(step: int, size: int, window: _Window) -> Point:
    return Point(
        at=datetime.fromtimestamp(step * size, UTC),
        requests_per_second=window.requests / size,
        p95_ms=quantile_ms(window.buckets, 0.95),
        error_rate=window.error_rate,
    )
