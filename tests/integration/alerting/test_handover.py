"""Who begins to be on call and who ends is told by mail, once for each change."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.subject import Subject
from backend.managers.alerting import AlertingManager
from backend.managers.alerting._alerts import Firing
from backend.managers.alerting._handover import Change, Standing
from backend.managers.alerting.models import ScheduleRow
from tests.support.platform import App, TenantClient

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
ADA, BOB, EVE = "ada@example.test", "bob@example.test", "eve@example.test"


class Desk:
    """A tenant with a schedule whose hand-overs are announced."""

    def __init__(self, app: App, who: TenantClient) -> None:
        self.http = who.http
        self.database = app.platform.database
        self.alerting = app.platform.of(AlertingManager)
        self.scope = Scope("user:ada", who.tenant.id)
        self.schedule: dict[str, Any] = {}

    def body(self, *people: str, begun: timedelta = HOUR, **more: Any) -> dict[str, Any]:
        start = datetime.now(UTC) - begun
        layer = {"people": people, "start": f"{start:%Y-%m-%dT%H:%M}", "zone": "UTC"}
        return {"name": "Database", "layers": [layer], "announce_handover": True, **more}

    async def create(self, *people: str, **more: Any) -> None:
        made = await self.http.post("/api/v1/on-call-schedules", json=self.body(*people, **more))
        self.schedule = made.raise_for_status().json()
        await self.tick()

    async def put(self, *people: str, **more: Any) -> None:
        path = f"/api/v1/on-call-schedules/{self.schedule['id']}"
        (await self.http.put(path, json=self.body(*people, **more))).raise_for_status()

    async def override(self, person: str, begin: timedelta, end: timedelta) -> str:
        now = datetime.now(UTC)
        said = {
            "person": person,
            "begins_at": (now + begin).isoformat(),
            "ends_at": (now + end).isoformat(),
        }
        path = f"/api/v1/on-call-schedules/{self.schedule['id']}/overrides"
        return str((await self.http.post(path, json=said)).raise_for_status().json()["id"])

    async def tick(self) -> int:
        """Look, as several workers do at once."""
        looks = (self.alerting.handovers.run(self.database) for _ in range(3))
        return sum(await asyncio.gather(*looks))

    async def row(self, **change: Any) -> ScheduleRow:
        async with self.database.transaction(self.scope) as tx:
            row: ScheduleRow = await tx.scalar(
                sa.select(ScheduleRow).where(
                    ScheduleRow.tenant_id == tx.tenant_id, ScheduleRow.id == self.schedule["id"]
                )
            )
            for name, value in change.items():
                setattr(row, name, value)
            return row

    async def told(self) -> Sequence[tuple[str, str]]:
        """Whom mails went to and their subjects, the oldest first."""
        found = (await self.http.get("/api/v1/emails")).raise_for_status().json()["items"]
        return [(one["to"][0], one["subject"]) for one in reversed(found)]


BEGINS, ENDS = "You are on call: Database", "You are not on call any more: Database"


@pytest.fixture
async def desk(app: App) -> Desk:
    return Desk(app, await app.caller("owner"))


async def test_who_stands_in_and_whose_turn_is_over_are_told_once(desk: Desk) -> None:
    await desk.create(ADA)
    assert await desk.told() == [], "who is on call already is not told"
    override = await desk.override(EVE, -HOUR, HOUR)
    assert await desk.tick() == 2
    assert await desk.tick() == 0
    assert sorted(await desk.told()) == [(ADA, ENDS), (EVE, BEGINS)]
    path = f"/api/v1/on-call-schedules/{desk.schedule['id']}/overrides/{override}"
    (await desk.http.delete(path)).raise_for_status()
    assert await desk.tick() == 2
    assert await desk.tick() == 0
    assert sorted(await desk.told())[1:3] == [(ADA, BEGINS), (EVE, ENDS)]


async def test_a_turn_that_begins_is_told_when_it_does(desk: Desk) -> None:
    await desk.create(ADA, BOB)
    row = await desk.row()
    assert (row.handed_to, row.handovers) == (ADA, 0)
    assert row.handover_due_at is not None
    assert row.handover_due_at > datetime.now(UTC) + 6 * DAY
    await desk.row(handed_to=BOB, handover_due_at=datetime.now(UTC) - HOUR)
    assert await desk.tick() == 2
    assert sorted(await desk.told()) == [(ADA, BEGINS), (BOB, ENDS)]


async def test_what_was_undone_before_anybody_looked_is_not_told(desk: Desk) -> None:
    await desk.create(ADA)
    override = await desk.override(EVE, -HOUR, HOUR)
    path = f"/api/v1/on-call-schedules/{desk.schedule['id']}/overrides/{override}"
    (await desk.http.delete(path)).raise_for_status()
    await desk.override(EVE, HOUR, 2 * HOUR)
    assert await desk.tick() == 0
    row = await desk.row()
    assert row.handover_due_at is not None
    assert abs(row.handover_due_at - datetime.now(UTC) - HOUR) < HOUR / 2


async def test_nobody_is_told_unless_the_schedule_says_so(desk: Desk) -> None:
    await desk.create(ADA, announce_handover=False)
    await desk.override(EVE, -HOUR, HOUR)
    assert await desk.tick() == 0
    assert (await desk.row()).handover_due_at is None
    await desk.put(ADA)
    assert await desk.tick() == 0, "who is on call when it begins to be told"
    assert (await desk.row()).handed_to == EVE
    await desk.put(ADA, announce_handover=False)
    assert (await desk.row()).handover_due_at is None


async def test_other_people_are_told_that_they_take_turns(desk: Desk) -> None:
    await desk.create(ADA)
    await desk.put(BOB)
    assert await desk.tick() == 2
    await desk.put()
    assert await desk.tick() == 1
    assert (await desk.told())[-1] == (BOB, ENDS)


async def test_who_is_no_member_is_not_told(desk: Desk) -> None:
    await desk.create(ADA)
    await desk.override("user:0199c0de-0000-7000-8000-000000000001", -HOUR, HOUR)
    assert await desk.tick() == 1
    assert await desk.told() == [(ADA, ENDS)]


async def test_who_is_erased_is_not_kept(desk: Desk) -> None:
    await desk.create(ADA, BOB)
    async with desk.database.transaction(desk.scope) as tx:
        await desk.alerting.schedules.erase(tx, Subject(None, ADA, "x", tx.now()))
    assert (await desk.row()).handed_to is None
    assert await desk.tick() == 1
    assert await desk.told() == [(BOB, BEGINS)]


async def test_says_what_fires_and_until_when(desk: Desk) -> None:
    await desk.create(ADA)
    said = {"severity": "critical", "summary": "It is full"}
    made = [
        (await desk.http.post("/api/v1/alerts", json={**said, "name": name})).json()
        for name in ("Disk", "Import")
    ]
    path = f"/api/v1/alerts/{made[-1]['id']}/acknowledge"
    (await desk.http.post(path, json={})).raise_for_status()
    await desk.override(EVE, -HOUR, HOUR)
    assert await desk.tick() == 2
    found = (await desk.http.get("/api/v1/emails")).json()["items"]
    (mail,) = (one for one in found if one["subject"] == BEGINS)
    text = (await desk.http.get(f"/api/v1/emails/{mail['id']}/content")).json()["text"]
    assert "Firing: 2, not acknowledged: 1" in text
    assert text.index("Disk (critical), NOT ACKNOWLEDGED: It is full") < text.index("- Import")
    assert f"Before you: {ADA}" in text
    assert "until 20" in text


def test_times_are_told_by_the_clocks_of_the_schedule() -> None:
    paris = ZoneInfo("Europe/Paris")
    change = Change(
        schedule="Database",
        before=ADA,
        now=BOB,
        begins_at=datetime(2026, 3, 28, 8, tzinfo=UTC),
        until=datetime(2026, 3, 29, 7, tzinfo=UTC),
        zone=paris,
    )
    subject, text = change.begins(Standing(Firing(0, 0, 0, 0), [], ""))
    assert subject == BEGINS
    assert text == (
        "You are on call by Database since 2026-03-28 09:00 CET (Europe/Paris), until "
        "2026-03-29 09:00 CEST (Europe/Paris).\nBefore you: ada@example.test\n\nNothing fires.\n"
    )
