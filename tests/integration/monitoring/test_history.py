"""How the platform was: looks are kept, outages too, and what nobody looked at is told apart."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from backend.core.context import SystemScope
from backend.core.database import Database, make_engine
from backend.managers.monitoring import HISTORY, Health, HealthHistory, MonitoringManager
from backend.managers.monitoring._history import HealthBook
from tests.support.platform import App
from tests.support.trail import audit_row

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
WELL = Health("database", ok=True, required=True, milliseconds=1.0, detail="postgresql")
GONE = Health("database", ok=False, required=True, milliseconds=1.0, detail="it does not answer")
NO_MAIL = Health("mail_server", ok=False, required=False, milliseconds=1.0, detail="refused")


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def database(database_url: str, clock: Clock) -> AsyncIterator[Database]:
    made = Database(make_engine(database_url, pool_size=2), audit_row=audit_row, clock=clock)
    yield made
    await made.aclose()


async def read(database: Database, hours: int = 1) -> HealthHistory:
    async with database.read(SystemScope(HISTORY)) as tx:
        return await HealthBook().read(tx, hours=hours, checks=["database", "workers"])


async def look(
    book: HealthBook, clock: Clock, database: Database, *found: Sequence[Health]
) -> None:
    """One look every ten seconds, and a flush after each."""
    for one in found:
        book.note(clock.now, one)
        clock.now += timedelta(seconds=10)
        await book.flush(database)


class TestWindow:
    async def test_without_a_look_nothing_is_known(self, database: Database) -> None:
        found = await read(database)
        assert (found.uptime, found.measured, found.incidents) == (None, 0.0, [])
        assert {point.status for point in found.points} == {"not_measured"}
        assert [(one.name, one.uptime) for one in found.checks] == [
            ("database", None),
            ("workers", None),
        ]

    async def test_tells_the_worst_of_each_minute_and_the_share_of_looks(
        self, database: Database, clock: Clock
    ) -> None:
        book = HealthBook()
        await look(book, clock, database, *[[WELL]] * 6)
        await look(book, clock, database, *[[WELL, NO_MAIL]] * 3, *[[GONE, NO_MAIL]] * 3)
        await look(book, clock, database, *[[WELL]] * 6)
        found = await read(database)
        assert (found.since, found.until) == (clock.now - timedelta(hours=1), clock.now)
        assert [(point.status, point.failing) for point in found.points[-4:]] == [
            ("not_measured", []),
            ("ready", []),
            ("not_ready", ["database", "mail_server"]),
            ("ready", []),
        ]
        assert found.uptime == 1 - 3 / 18
        assert found.measured == 3 / 60
        assert [(one.name, one.uptime) for one in found.checks] == [
            ("database", 1 - 3 / 18),
            ("mail_server", 1 - 6 / 18),
            ("workers", 1.0),
        ]
        minute = timedelta(minutes=1)
        assert [
            (one.name, one.started_at, one.ended_at, one.detail) for one in found.incidents
        ] == [
            ("mail_server", NOON + minute, NOON + 2 * minute, "refused"),
            ("database", NOON + minute, NOON + 2 * minute, "it does not answer"),
        ]

    async def test_an_incident_lasts_until_it_is_over(
        self, database: Database, clock: Clock
    ) -> None:
        book = HealthBook()
        await look(book, clock, database, *[[GONE]] * 6, *[[WELL]] * 6, *[[GONE]] * 18)
        incidents = (await read(database)).incidents
        assert [(one.started_at - NOON, one.ended_at) for one in incidents] == [
            (timedelta(minutes=2), None),
            (timedelta(0), NOON + timedelta(minutes=1)),
        ]
        # Whoever stopped looking does not know that it is over.
        clock.now += timedelta(minutes=10)
        assert (await read(database)).incidents[0].ended_at is None

    async def test_beyond_a_day_it_is_told_by_the_hour(
        self, database: Database, clock: Clock
    ) -> None:
        book = HealthBook()
        await look(book, clock, database, *[[WELL]] * 6, [GONE], *[[WELL]] * 11)
        clock.now += timedelta(hours=2)
        found = await read(database, hours=48)
        assert found.step_seconds == 3600
        assert len(found.points) == 48
        assert [point.status for point in found.points].count("not_ready") == 1
        assert found.uptime == 1 - 1 / 18
        assert found.measured == 1 / 48

    async def test_what_fails_is_told_before_its_minute_is_over(
        self, database: Database, clock: Clock
    ) -> None:
        book = HealthBook()
        await look(book, clock, database, [WELL], [NO_MAIL])
        async with database.read(SystemScope(HISTORY)) as tx:
            last = await book.read_last(tx)
        assert last is not None
        assert (last.status, last.failing) == ("degraded", ["mail_server"])
        await look(book, clock, database, *[[WELL]] * 4)
        assert (await read(database)).points[-1].status == "degraded"

    async def test_processes_add_up(self, database: Database, clock: Clock) -> None:
        books = [HealthBook(), HealthBook()]
        for book, seen in zip(books, (WELL, GONE), strict=True):
            clock.now = NOON
            await look(book, clock, database, *[[seen]] * 6)
        assert (await read(database)).uptime == 0.5


class TestOutage:
    async def test_is_kept_until_it_can_be_written(
        self, database: Database, clock: Clock, tmp_path, caplog: pytest.LogCaptureFixture
    ) -> None:
        nowhere = f"sqlite:///{tmp_path / 'no-such-folder' / 'away.db'}"
        away = Database(make_engine(nowhere, pool_size=1), audit_row=audit_row, clock=clock)
        book = HealthBook()
        await look(book, clock, away, *[[GONE]] * 30)
        assert "health_waits_for_the_database" in caplog.messages
        await look(book, clock, database, *[[WELL]] * 6)
        found = await read(database)
        assert found.uptime == 1 - 30 / 36
        assert [one.ended_at for one in found.incidents] == [NOON + timedelta(minutes=5)]
        await away.aclose()

    async def test_no_more_than_a_day_waits(self, clock: Clock, tmp_path) -> None:
        nowhere = f"sqlite:///{tmp_path / 'no-such-folder' / 'away.db'}"
        away = Database(make_engine(nowhere, pool_size=1), audit_row=audit_row, clock=clock)
        book = HealthBook()
        for _ in range(26 * 60):
            book.note(clock.now, [GONE])
            clock.now += timedelta(minutes=1)
        assert await book.flush(away) == 0
        assert len(book._open) == 24 * 60
        assert min(book._open) == int((NOON + timedelta(hours=2)).timestamp()) // 60
        await away.aclose()


class TestSweep:
    async def test_minutes_go_after_a_day_and_hours_stay(
        self, database: Database, clock: Clock
    ) -> None:
        await look(HealthBook(), clock, database, *[[GONE]] * 6)
        clock.now += timedelta(hours=26)
        async with database.transaction(SystemScope(HISTORY)) as tx:
            assert await HealthBook().sweep(tx) == 2
            assert await HealthBook().sweep(tx) == 0
        assert (await read(database, hours=48)).uptime == 0.0
        clock.now += timedelta(days=401)
        async with database.transaction(SystemScope(HISTORY)) as tx:
            assert await HealthBook().sweep(tx) == 2


class TestRoutes:
    async def test_viewers_see_that_and_administrators_why(self, app: App) -> None:
        monitoring, database = app.platform.of(MonitoringManager), app.platform.database
        await monitoring.probe(database)
        viewer = await app.caller("viewer")
        found = (await viewer.http.get("/api/v1/status", params={"hours": 1})).json()
        # Port 9 of this machine: no mail server is there.
        checks = {check["name"]: check for check in found["checks"]}
        assert found["status"] == "degraded"
        assert (checks["database"]["ok"], checks["mail_server"]["ok"]) == (True, False)
        assert {check["detail"] for check in found["checks"]} == {None}
        assert len(found["points"]) == 60
        refused = await viewer.http.get("/api/v1/platform/status")
        assert refused.status_code == 403

    @pytest.mark.parametrize("hours", ["0", "2161", "x"])
    async def test_refuses_what_is_no_window(self, app: App, hours: str) -> None:
        viewer = await app.caller("viewer")
        answer = await viewer.http.get("/api/v1/status", params={"hours": hours})
        assert answer.status_code == 422

    async def test_is_kept_when_the_process_ends(self, app: App) -> None:
        monitoring, database = app.platform.of(MonitoringManager), app.platform.database
        await monitoring.probe(database)
        async with monitoring.serving(database):
            pass
        async with database.read(SystemScope(HISTORY)) as tx:
            rows = await monitoring.read_history(tx, hours=1)
        assert rows.since < rows.until
        assert not monitoring._history._open
