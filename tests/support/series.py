"""Processes that share a database of tenants' series, and observations to record in it."""

from datetime import UTC, datetime

import numpy as np
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, make_engine
from backend.managers.metrics import FORGETTING, Item, MetricsManager, MetricsSettings, _windows
from backend.managers.metrics._recording import labels_key
from backend.managers.metrics._windows import Chunk
from backend.managers.metrics.models import ChunkRow, SeriesRow
from tests.support.trail import audit_row

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SETTINGS = MetricsSettings(series_per_tenant=10, labels_per_series=2, label_characters=20)


class Process:
    """One of several that share a database: what it remembers is its own."""

    def __init__(self, world, database_url, settings):
        self.world = world
        self.metrics = MetricsManager(settings)
        self.database = Database(
            make_engine(database_url, pool_size=2), audit_row=audit_row, clock=lambda: world.now
        )

    async def record(self, *items, tenant_id=None):
        scope = Scope("client:a", tenant_id or self.world.tenant_id)
        return await self.metrics.recording.record(self.database, scope, items)

    async def sweep(self):
        gone = 0
        while True:
            async with self.database.transaction(SystemScope(FORGETTING)) as tx:
                some = await self.metrics.sweep_series(tx)
            gone += some
            if not some:
                return gone


class World:
    """Processes on one database, and a clock that only the test moves."""

    def __init__(self, database_url, tenant_id, settings=SETTINGS):
        self.now = NOON
        self.tenant_id = tenant_id
        self.processes = [Process(self, database_url, settings) for _ in range(3)]
        self.one, self.two, self.three = self.processes

    async def settle(self):
        """Fold and roll up all there is."""
        await self.one.metrics.fold(self.one.database)
        await self.one.metrics.roll_up(self.one.database)

    async def aclose(self):
        for process in self.processes:
            await process.database.aclose()

    async def rows(self, model, tenant_id=None):
        scope = Scope("a", tenant_id or self.tenant_id)
        async with self.one.database.read(scope) as tx:
            return await tx.scalars(sa.select(model).where(model.tenant_id == tx.tenant_id))

    async def windows(self, step, tenant_id=None):
        rows = [one for one in await self.rows(ChunkRow, tenant_id) if one.step_seconds == step]
        chunks = [Chunk(r.series_id, r.start_seconds, r.windows, r.buckets) for r in rows]
        return _windows.add_up([_windows.unpack(chunks, step)])


def counter(value=1.0, name="orders_total", at=None, **labels):
    return Item(name=name, kind="counter", value=value, labels=labels, at=at)


def gauge(value, name="queue_depth", at=None, **labels):
    return Item(name=name, kind="gauge", value=value, labels=labels, at=at)


def histogram(*values, name="duration_seconds", at=None, **labels):
    return Item(name=name, kind="histogram", values=list(values), labels=labels, at=at)


async def write_hours(database, tenant_id, values, *, name, kind, end, number=1001, **labels):
    """A series with a window an hour, the last of which ends at ``end``; NaN: no window.

    Written as the roll-up writes them: the API takes what is a day old at most.
    """
    values = np.asarray(values, float)
    measured = np.flatnonzero(~np.isnan(values))
    begins = int(end.timestamp()) - (len(values) - measured) * 3600
    windows = np.zeros(len(measured), _windows.WINDOW)
    windows["series"], windows["second"] = number, begins
    windows["last_ms"], windows["count"] = begins * 1000, 10
    windows["sum"] = values[measured] * (10 if kind == "gauge" else 1)
    for part in ("min", "max", "last"):
        windows[part] = values[measured]
    chunks = _windows.pack(_windows.Windows(windows, _windows.NOTHING.buckets), 3600)
    at = [datetime.fromtimestamp(one, UTC) for one in (int(begins[0]), int(begins[-1]) + 3599)]
    async with database.transaction(Scope("a", tenant_id)) as tx:
        row = {
            "tenant_id": tx.tenant_id, "id": number, "name": name, "kind": kind, "labels": labels,
            "labels_key": labels_key(labels), "created_at": at[0], "last_at": at[1],
            "observations": int(windows["count"].sum()), "total": float(windows["sum"].sum()),
            "last_value": float(values[measured[-1]]),
        }  # fmt: skip
        await tx.insert(SeriesRow, [row])
        await tx.insert(
            ChunkRow,
            [
                {"tenant_id": tx.tenant_id, "step_seconds": 3600, "series_id": number,
                 "start_seconds": one.start, "windows": one.windows, "buckets": b"",
                 "waiting": False}
                for one in chunks
            ],
        )  # fmt: skip
