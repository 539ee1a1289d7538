"""On-call schedules are kept, overridden, told as shifts and as a calendar."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.subject import Subject
from backend.kit.wall_clock import zone_named
from backend.managers.alerting import (
    FORGETTING,
    AlertingManager,
    KeptSchedule,
    Layer,
    OverrideDraft,
    OverrideInvalidError,
    ScheduleDraft,
    ScheduleExistsError,
    ScheduleNotFoundError,
    ShiftRangeError,
    TooManyOverridesError,
    TooManySchedulesError,
)
from backend.managers.alerting import _schedules as schedules
from backend.managers.alerting.models import OverrideRow
from tests.support.platform import App, TenantClient

DAY = timedelta(days=1)
ADA, BOB, EVE = "ada@example.test", "bob@example.test", "eve@example.test"


class Duty:
    """A tenant's schedules."""

    def __init__(self, app: App, who: TenantClient) -> None:
        self.database = app.platform.database
        self.schedules = app.platform.of(AlertingManager).schedules
        self.scope = Scope("user:ada", who.tenant.id)

    async def create(self, name: str = "db", *people: str, **more: Any) -> KeptSchedule:
        said: dict[str, Any] = {"every": 1, "unit": "days", "zone": zone_named("Europe/Paris")}
        layer = Layer(
            people or (ADA, BOB), datetime.fromisoformat("2026-01-01 09:00"), **{**said, **more}
        )
        async with self.database.transaction(self.scope) as tx:
            return await self.schedules.create(tx, ScheduleDraft(name=name, layers=[layer]))

    async def override(self, schedule: KeptSchedule, person: str, begin: timedelta, end: timedelta):
        async with self.database.transaction(self.scope) as tx:
            draft = OverrideDraft(
                person=person, begins_at=tx.now() + begin, ends_at=tx.now() + end, reason="away"
            )
            return await self.schedules.override(tx, schedule.id, draft)

    async def who(self, schedule_id: str, ahead: timedelta = timedelta()) -> str | None:
        async with self.database.read(self.scope) as tx:
            return await self.schedules.who(tx, schedule_id, tx.now() + ahead)


@pytest.fixture
async def duty(app: App) -> Duty:
    return Duty(app, await app.caller("owner"))


async def test_who_is_on_call_and_who_stands_in(app: App, duty: Duty) -> None:
    other = Duty(app, await app.caller("owner"))
    one = await duty.create()
    today = await duty.who(one.id)
    assert {today, await duty.who(one.id, DAY)} == {ADA, BOB}
    await duty.override(one, EVE, -DAY / 24, DAY / 24)
    away = await duty.override(one, "user:0199c0de-0000-7000-8000-000000000001", -DAY, DAY / 48)
    assert await duty.who(one.id) == "user:0199c0de-0000-7000-8000-000000000001"
    assert await duty.who(one.id, DAY / 30) == EVE
    assert await other.who(one.id) is None, "another tenant's"
    async with duty.database.transaction(duty.scope) as tx:
        await duty.schedules.remove_override(tx, one.id, away.id)
    assert await duty.who(one.id) == EVE
    async with duty.database.transaction(duty.scope) as tx:
        found = await duty.schedules.overrides(tx, one.id, limit=10)
        assert [each.person for each in found] == [EVE]
        await duty.schedules.remove(tx, one.id, expected_version=None)
    async with duty.database.read(duty.scope) as tx:
        assert await tx.scalar(sa.select(sa.func.count()).select_from(OverrideRow)) == 0
        with pytest.raises(ScheduleNotFoundError):
            await duty.schedules.overrides(tx, one.id, limit=10)
    assert await duty.who(one.id) is None


async def test_who_is_next_is_told(duty: Duty) -> None:
    async with duty.database.read(duty.scope) as tx:
        now = tx.now()
    await duty.create("turns")
    await duty.create("alone", ADA)
    async with duty.database.transaction(duty.scope) as tx:
        await duty.schedules.create(tx, ScheduleDraft(name="empty", layers=[]))
    async with duty.database.read(duty.scope) as tx:
        found = await duty.schedules.on_call(tx)
    alone, empty, turns = [await reckoning.now(one) for one, reckoning in found]
    assert (alone.person, alone.until, alone.next_person) == (ADA, None, None)
    assert (empty.person, empty.until) == (None, None)
    assert turns.until is not None
    assert now < turns.until <= now + DAY + timedelta(minutes=1)
    assert {turns.person, turns.next_person} == {ADA, BOB}


async def test_what_there_are_too_many_of_is_refused(
    duty: Duty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules, "MAX_SCHEDULES", 2)
    monkeypatch.setattr(schedules, "MAX_OVERRIDES", 1)
    one = await duty.create("a")
    with pytest.raises(ScheduleExistsError):
        await duty.create("a")
    two = await duty.create("b")
    with pytest.raises(TooManySchedulesError):
        await duty.create("c")
    async with duty.database.transaction(duty.scope) as tx:
        with pytest.raises(ScheduleExistsError):
            draft = ScheduleDraft(name="a", layers=[])
            await duty.schedules.replace(tx, two.id, draft, expected_version=None)
    await duty.override(one, EVE, DAY, 2 * DAY)
    with pytest.raises(TooManyOverridesError):
        await duty.override(one, EVE, DAY, 2 * DAY)
    await duty.override(two, EVE, DAY, 2 * DAY)


@pytest.mark.parametrize(("begin", "end"), [(2, 1), (-2, -1), (1, 368), (400_000, 400_001)])
async def test_overrides_that_make_no_sense_are_refused(duty: Duty, begin: int, end: int) -> None:
    one = await duty.create()
    with pytest.raises(OverrideInvalidError):
        await duty.override(one, EVE, begin * DAY, end * DAY)


async def test_shifts_are_of_92_days_at_most(duty: Duty) -> None:
    one = await duty.create()
    begin = datetime(2026, 3, 1, tzinfo=UTC)
    async with duty.database.read(duty.scope) as tx:
        _, reckoning = await duty.schedules.shifts(tx, one.id, begin, begin + 92 * DAY)
        for wrong in (
            (begin, begin),
            (begin, begin - DAY),
            (begin, begin + 92 * DAY + timedelta(microseconds=1)),
            (datetime(1, 1, 1, tzinfo=UTC), begin),
            (datetime(9999, 12, 30, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)),
        ):
            with pytest.raises(ShiftRangeError):
                await duty.schedules.shifts(tx, one.id, *wrong)
    shifts = await reckoning.shifts()
    assert len(shifts) == 93
    assert (shifts[0].begin, shifts[-1].end) == (begin, begin + 92 * DAY)
    assert {shift.end.hour for shift in shifts[:-1]} == {7, 8}, "nine o'clock stays nine o'clock"


async def test_a_person_who_is_erased_takes_no_more_turns(duty: Duty) -> None:
    user = "0199c0de-0000-7000-8000-000000000001"
    one = await duty.create("db", "Eve@Example.test", ADA, f"user:{user}", BOB)
    two = await duty.create("web", ADA)
    for person in (EVE, f"user:{user}", BOB):
        await duty.override(one, person, DAY, 2 * DAY)
    async with duty.database.transaction(duty.scope) as tx:
        done = await duty.schedules.erase(tx, Subject(user, EVE, "x", tx.now()))
    assert (done.changed, done.after) == ({"on_call_schedules": 1, "on_call_overrides": 2}, None)
    async with duty.database.read(duty.scope) as tx:
        found = await duty.schedules.get(tx, one.id)
        assert (found.layers[0].people, found.version) == ([ADA, BOB], "2")
        assert (await duty.schedules.get(tx, two.id)).version == "1"
        left = await duty.schedules.overrides(tx, one.id, limit=10)
    assert [each.person for each in left] == [BOB]


async def test_overrides_are_kept_for_four_hundred_days(duty: Duty) -> None:
    one = await duty.create()
    first = await duty.override(one, EVE, DAY, 2 * DAY)
    await duty.override(one, BOB, DAY, 2 * DAY)
    async with duty.database.transaction(duty.scope) as tx:
        row = await tx.scalar(
            sa.select(OverrideRow).where(
                OverrideRow.tenant_id == tx.tenant_id, OverrideRow.id == first.id
            )
        )
        row.ends_at = tx.now() - 401 * DAY
    async with duty.database.transaction(SystemScope(FORGETTING)) as tx:
        assert await duty.schedules.sweep(tx) == 1
    async with duty.database.read(duty.scope) as tx:
        (left,) = await duty.schedules.overrides(tx, one.id, limit=10)
    assert left.person == BOB


async def test_over_http(app: App) -> None:
    ada, vic = await app.caller("owner"), await app.caller("viewer")
    window = {"days": ["monday"], "from": "08:00", "until": "18:00", "zone": "Europe/Paris"}
    layer = {
        "people": [ADA, "user:0199c0de-0000-7000-8000-000000000001"], "start": "2026-01-05T09:00",
        "zone": "Europe/Paris", "every": 2, "unit": "weeks", "windows": [window],
    }  # fmt: skip
    made = await ada.http.post("/api/v1/on-call-schedules", json={"name": "db", "layers": [layer]})
    assert made.status_code == 201, made.text
    assert made.json()["layers"] == [layer]
    url = f"/api/v1/on-call-schedules/{made.json()['id']}"
    assert (await ada.http.get(url)).headers["ETag"] == made.headers["ETag"]
    assert (await ada.http.get("/api/v1/on-call-schedules")).json()["items"] == [made.json()]
    for wrong in (
        {"people": ["user:ada"]},
        {"people": ["nobody"]},
        {"start": "1026-01-05T09:00"},
        {"start": "2026-02-30T09:00"},
        {"zone": "posixrules/x"},
        {"every": 0},
        {"windows": [window] * 8},
    ):
        body = {"name": "w", "layers": [{**layer, **wrong}]}
        refused = await ada.http.post("/api/v1/on-call-schedules", json=body)
        assert refused.status_code == 422, wrong
        (said,) = refused.json()["errors"]
        assert said["pointer"].startswith(f"/body/layers/0/{next(iter(wrong))}")
    body = {"name": "db", "layers": [{**layer, "people": [ADA], "windows": []}]}
    changed = await ada.http.put(url, json=body, headers={"If-Match": made.headers["ETag"]})
    assert changed.headers["ETag"] == '"2"'
    late = await ada.http.delete(url, headers={"If-Match": made.headers["ETag"]})
    assert (late.status_code, late.json()["code"]) == (412, "alerting.schedule_changed")

    stands = {
        "person": EVE, "begins_at": "2099-01-02T08:00:00Z", "ends_at": "2099-01-03T08:00:00Z",
    }  # fmt: skip
    over = await ada.http.post(f"{url}/overrides", json=stands)
    assert over.status_code == 201, over.text
    asked = {"from": "2099-01-01T08:00:00Z", "until": "2099-01-04T08:00:00Z"}
    shifts = (await ada.http.get(f"{url}/shifts", params=asked)).json()["items"]
    assert [(one["person"], one["begins_at"]) for one in shifts] == [
        (ADA, "2099-01-01T08:00:00Z"), (EVE, "2099-01-02T08:00:00Z"), (ADA, "2099-01-03T08:00:00Z"),
    ]  # fmt: skip
    assert (await ada.http.get(f"{url}/shifts")).status_code == 422
    (now,) = (await ada.http.get("/api/v1/on-call")).json()["items"]
    assert (now["name"], now["person"], now["until"]) == ("db", ADA, None)

    calendar = await ada.http.get(f"{url}/calendar.ics")
    assert calendar.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert f"SUMMARY:db: {ADA}\r\n" in calendar.text
    assert (await ada.http.get(f"{url}/calendar.ics")).content == calendar.content

    (listed,) = (await ada.http.get(f"{url}/overrides")).json()["items"]
    assert listed == over.json()
    gone = f"{url}/overrides/{listed['id']}"
    assert (await ada.http.delete(gone)).status_code == 204
    assert (await ada.http.delete(gone)).json()["code"] == "alerting.override_not_found"
    assert (await vic.http.get(url)).status_code == 404, "another tenant's"
    assert (await vic.http.post("/api/v1/on-call-schedules", json=body)).status_code == 403
    assert (await ada.http.delete(url)).status_code == 204
    assert (await ada.http.get(url)).json()["code"] == "alerting.schedule_not_found"
    acts = [one.action for one in await ada.audit(app.platform)]
    assert [one for one in acts if one.startswith("on_call_")] == [
        "on_call_schedule.deleted", "on_call_override.deleted", "on_call_override.created",
        "on_call_schedule.changed", "on_call_schedule.created",
    ]  # fmt: skip
