"""Processes that share a database of tenants' series, and observations to record in it."""

from datetime import UTC, datetime

import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.database import Database, make_engine
from backend.managers.metrics import FORGETTING, Item, MetricsManager, MetricsSettings, _windows
from backend.managers.metrics._windows import Chunk
from backend.managers.metrics.models import ChunkRow
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
