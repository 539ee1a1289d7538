"""Rollups while the database is away: they wait, and come out whole."""

from datetime import UTC, datetime, timedelta

from backend.core.context import Scope
from backend.core.database import Database, make_engine
from backend.core.telemetry import RequestRecord
from backend.managers.metrics import MetricsManager
from tests.support.trail import audit_row

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def request(tenant_id, status=200):
    return RequestRecord(
        int(NOON.timestamp()) * 1_000_000_000, 0.01, "GET", "/", "/", status, tenant_id,
        "", "", "", "", "", "", forced=False, problem="",
    )  # fmt: skip


class TestFlush:
    async def test_keeps_windows_for_the_next_call(self, database_url, tenant_id, tmp_path, caplog):
        later = NOON + timedelta(seconds=10)
        database, away = (
            Database(make_engine(url, pool_size=1), audit_row=audit_row, clock=lambda: later)
            for url in (database_url, f"sqlite:///{tmp_path / 'no-such-folder' / 'away.db'}")
        )
        metrics = MetricsManager()
        metrics.observe([request(tenant_id), request(tenant_id, status=500)])
        assert await metrics.flush(away) == 0
        assert "rollups_wait_for_the_database" in caplog.messages
        # A late record of the same window joins those that wait.
        metrics.observe([request(tenant_id)])
        assert await metrics.flush(away) == 0
        assert await metrics.flush(database) == 1
        assert await metrics.flush(database) == 0
        async with database.read(Scope("a", tenant_id)) as tx:
            series = await metrics.read_series(tx, minutes=1)
        assert series.points[-1].requests_per_second == 0.3
        assert series.error_rate == 1 / 3
        await database.aclose()
        await away.aclose()
