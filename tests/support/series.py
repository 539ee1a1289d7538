"""Processes that share a database of tenants' series, and observations to record in it."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
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


async def write_hours(
    database: Database,
    tenant_id: str,
    values: npt.ArrayLike,
    *,
    name: str,
    kind: str,
    end: datetime,
    number: int = 1001,
    **labels: str,
) -> None:
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
    row = _row(number, name, kind, labels, windows) | {"last_value": float(values[measured[-1]])}
    found = _windows.Windows(windows, _windows.NOTHING.buckets)
    await _write(database, tenant_id, [row], found)


async def write_histograms(
    database: Database,
    tenant_id: str,
    values: npt.NDArray[np.float64],
    *,
    name: str,
    end: datetime,
    number: int,
) -> None:
    """Series of histograms, labelled ``shop``, each as :func:`write_hours` writes one.

    ``values`` has a row a series, of a row an hour, of what was observed in it.
    """
    series, hours, each = values.shape
    begins = int(end.timestamp()) - (hours - np.arange(hours)) * 3600
    points = np.empty(values.size, _windows.POINT)
    points["series"] = np.repeat(np.arange(number, number + series), hours * each)
    points["at_ms"] = np.tile(np.repeat(begins, each), series) * 1000
    points["value"] = values.ravel()
    found = _windows.of_points(points, np.ones(len(points), bool), 3600)
    rows = [
        _row(
            number + one, name, "histogram", {"shop": str(one)},
            found.windows[found.windows["series"] == number + one],
        )
        for one in range(series)
    ]  # fmt: skip
    await _write(database, tenant_id, rows, found)


def _row(number, name, kind, labels, windows):
    first, last = int(windows["second"][0]), int(windows["second"][-1]) + 3599
    return {
        "id": number, "name": name, "kind": kind, "labels": labels,
        "labels_key": labels_key(labels), "created_at": datetime.fromtimestamp(first, UTC),
        "last_at": datetime.fromtimestamp(last, UTC), "observations": int(windows["count"].sum()),
        "total": float(windows["sum"].sum()), "last_value": None,
    }  # fmt: skip


async def _write(database, tenant_id, rows, windows):
    async with database.transaction(Scope("a", tenant_id)) as tx:
        await tx.insert(SeriesRow, [{"tenant_id": tx.tenant_id, **row} for row in rows])
        await tx.insert(
            ChunkRow,
            [
                {"tenant_id": tx.tenant_id, "step_seconds": 3600, "series_id": one.series,
                 "start_seconds": one.start, "windows": one.windows, "buckets": one.buckets,
                 "waiting": False}
                for one in _windows.pack(windows, 3600)
            ],
        )  # fmt: skip
