"""Silences count while they are meant to, end, and are announced once."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from backend.core.context import Scope, SystemScope
from backend.core.events import EventRecord
from backend.kit.wall_clock import Stretch, WeeklyWindow
from backend.managers.alerting import (
    FORGETTING,
    AlertingManager,
    KeptSilence,
    SilenceChangedError,
    SilenceDraft,
    SilenceInvalidError,
    SilenceNotFoundError,
    SilenceOverError,
    TooManySilencesError,
    read_matchers,
)
from backend.managers.alerting import _silence_calendar as silence_calendar
from backend.managers.alerting import _silences as silences
from backend.managers.alerting.errors import SilenceRangeError
from backend.managers.alerting.models import SilenceRow
from tests.support.errands import EVERYTHING
from tests.support.platform import App, TenantClient

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


class Quiet:
    """A tenant's silences."""

    def __init__(self, app: App, who: TenantClient) -> None:
        self.app = app
        self.database = app.platform.database
        self.silences = app.platform.of(AlertingManager).silences
        self.scope = Scope("user:ada", who.tenant.id)

    async def now(self) -> datetime:
        async with self.database.read(self.scope) as tx:
            return tx.now()

    async def draft(self, **more: Any) -> SilenceDraft:
        said: dict[str, Any] = {
            "matchers": read_matchers('team="db"'),
            "ends_at": await self.now() + HOUR,
            "reason": "it moves",
        }
        return SilenceDraft(**{**said, **more})

    async def create(self, **more: Any) -> KeptSilence:
        draft = await self.draft(**more)
        async with self.database.transaction(self.scope) as tx:
            return await self.silences.create(tx, draft)

    async def replace(
        self, one: KeptSilence, *, version: str | None = None, **more: Any
    ) -> KeptSilence:
        draft = await self.draft(**more)
        async with self.database.transaction(self.scope) as tx:
            return await self.silences.replace(tx, one.id, draft, expected_version=version)

    async def expire(self, one: KeptSilence) -> KeptSilence:
        async with self.database.transaction(self.scope) as tx:
            return await self.silences.expire(tx, one.id)

    async def times(self, begin: datetime, end: datetime) -> silence_calendar.SilenceCalendar:
        async with self.database.read(self.scope) as tx:
            within = Stretch(begin, end)
            reckoning = await silence_calendar.silences_in(tx, self.silences, within)
        return await reckoning.times()

    async def ids(self, **which: Any) -> Sequence[str]:
        async with self.database.read(self.scope) as tx:
            return [one.id for one in await self.silences.list(tx, **{"limit": 100, **which})]

    async def silenced(self, **labels: str) -> bool:
        async with self.database.read(self.scope) as tx:
            found = await self.silences.active(tx)
            return any(one.silences(labels, tx.now()) for one in found)

    async def pass_by(self, one: KeptSilence, gone: timedelta) -> None:
        """Let a silence have been made so much earlier."""
        async with self.database.transaction(self.scope) as tx:
            row = await tx.scalar(
                sa.select(SilenceRow).where(
                    SilenceRow.tenant_id == tx.tenant_id, SilenceRow.id == one.id
                )
            )
            row.starts_at -= gone
            row.ends_at -= gone
            row.due_at -= gone

    async def told(self) -> list[tuple[str, str]]:
        async with self.database.read(SystemScope(EVERYTHING)) as tx:
            rows = await tx.scalars(
                sa.select(EventRecord).where(EventRecord.tenant_id == self.scope.tenant_id)
            )
            return sorted((row.kind, row.subject) for row in rows)


@pytest.fixture
async def quiet(app: App) -> Quiet:
    return Quiet(app, await app.caller("owner"))


async def test_a_silence_counts_from_its_beginning_to_its_end(app: App, quiet: Quiet) -> None:
    other = Quiet(app, await app.caller("owner"))
    now = await quiet.now()
    one = await quiet.create()
    assert (one.state, one.counts_now, one.announced_at) == ("active", True, None)
    late = await quiet.create(starts_at=now + HOUR, ends_at=now + 2 * HOUR)
    assert (late.state, late.counts_now) == ("scheduled", False)
    early = await quiet.create(starts_at=now - HOUR)
    assert early.starts_at >= now, "what is past is not changed"
    assert await quiet.silenced(team="db")
    assert not await quiet.silenced(team="web")
    assert not await other.silenced(team="db"), "another tenant's"
    assert await quiet.ids(state="active") == [early.id, one.id]
    assert await quiet.ids(state="scheduled") == [late.id]
    over = await quiet.expire(one)
    assert (over.state, over.ended_by, over.counts_now) == ("expired", "user:ada", False)
    gone = await quiet.expire(late)
    assert gone.starts_at == gone.ends_at, "it never counted"
    await quiet.pass_by(early, 2 * HOUR)
    assert not await quiet.silenced(team="db")
    assert await quiet.ids(state="expired") == [early.id, late.id, one.id]
    with pytest.raises(SilenceOverError):
        await quiet.expire(one)
    with pytest.raises(SilenceOverError):
        await quiet.replace(early)
    with pytest.raises(SilenceNotFoundError):
        await other.expire(one)


async def test_a_silence_counts_in_its_windows(quiet: Quiet) -> None:
    day = (await quiet.now()).weekday()
    utc = ZoneInfo("UTC")
    today = WeeklyWindow(frozenset({day, (day + 1) % 7}), time(0), time(0), utc)
    others = WeeklyWindow(frozenset({(day + 3) % 7}), time(22), time(6), utc)
    one = await quiet.create(windows=[others])
    assert (one.state, one.counts_now) == ("active", False)
    assert not await quiet.silenced(team="db")
    one = await quiet.replace(one, windows=[others, today])
    assert one.counts_now
    assert one.windows == [others, today]
    assert await quiet.silenced(team="db")


async def test_silences_are_found_by_what_their_matchers_say(quiet: Quiet) -> None:
    one = await quiet.create(matchers=read_matchers('team="db", zone=~"eu-.+"'))
    two = await quiet.create(matchers=read_matchers('team="web", zone!="x"'))
    assert await quiet.ids(matchers=read_matchers("team=db")) == [one.id]
    assert await quiet.ids(matchers=read_matchers('team=~"db|web"')) == [two.id, one.id]
    assert await quiet.ids(matchers=read_matchers("team!=db"), limit=1) == [two.id]
    assert await quiet.ids(limit=1) == [two.id, one.id], "one more says that there are more"
    assert await quiet.ids(limit=1, before_id=two.id) == [one.id]


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ({"matchers": ()}, "matchers"),
        ({"matchers": read_matchers('team=~".*"')}, "matchers"),
        ({"matchers": read_matchers('team!="db", zone=""')}, "matchers"),
        ({"ends_at": timedelta(seconds=-1)}, "ends_at"),
        ({"ends_at": timedelta(days=367)}, "ends_at"),
    ],
)
async def test_what_would_silence_too_much_or_nothing_is_refused(
    quiet: Quiet, more: dict[str, Any], place: str
) -> None:
    if "ends_at" in more:
        more = {"ends_at": await quiet.now() + more["ends_at"]}
    with pytest.raises(SilenceInvalidError) as refused:
        await quiet.create(**more)
    assert refused.value.place == (place,)
    assert await quiet.ids() == []


async def test_what_has_begun_keeps_its_beginning(quiet: Quiet) -> None:
    now = await quiet.now()
    one = await quiet.create()
    with pytest.raises(SilenceInvalidError, match="has begun"):
        await quiet.replace(one, starts_at=now + HOUR / 2)
    same = await quiet.replace(one, starts_at=one.starts_at, reason="longer", version="1")
    assert (same.reason, same.version, same.starts_at) == ("longer", "2", one.starts_at)
    with pytest.raises(SilenceChangedError):
        await quiet.replace(one, version="1")
    late = await quiet.create(starts_at=now + HOUR, ends_at=now + 2 * HOUR)
    moved = await quiet.replace(late, starts_at=now - HOUR)
    assert (moved.state, moved.starts_at >= now) == ("active", True)


async def test_there_are_as_many_as_may_be(quiet: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "MAX_SILENCES", 2)
    one = await quiet.create()
    await quiet.create()
    with pytest.raises(TooManySilencesError):
        await quiet.create()
    await quiet.expire(one)
    await quiet.create()


async def test_maintenance_is_announced_once_and_its_end_told_once(quiet: Quiet) -> None:
    now = await quiet.now()
    later = {"starts_at": now + 30 * HOUR, "ends_at": now + 31 * HOUR}
    plain = await quiet.create(**later)
    one = await quiet.create(**later, kind="maintenance")
    await quiet.create(**later, kind="maintenance", announce_hours=1)

    async def tick() -> int:
        rounds = (quiet.silences.tell_due(quiet.database) for _ in range(4))
        return sum(await asyncio.gather(*rounds))

    assert await tick() == 0, "it is too early"
    for each in (plain, one):
        await quiet.pass_by(each, 7 * HOUR)
    assert await tick() == 1
    assert await tick() == 0
    async with quiet.database.read(quiet.scope) as tx:
        assert (await quiet.silences.get(tx, one.id)).announced_at is not None
    for each in (plain, one):
        await quiet.pass_by(each, 25 * HOUR)
    assert await tick() == 2
    assert await tick() == 0
    told = await quiet.told()
    assert [kind for kind, subject in told if subject == f"silence:{one.id}"] == [
        "maintenance.announced", "silence.created", "silence.expired",
    ]  # fmt: skip
    assert [kind for kind, subject in told if subject == f"silence:{plain.id}"] == [
        "silence.created", "silence.expired",
    ]  # fmt: skip


async def test_maintenance_that_is_moved_is_announced_anew(quiet: Quiet) -> None:
    now = await quiet.now()
    later: dict[str, Any] = {"starts_at": now + HOUR, "ends_at": now + 2 * HOUR}
    later["kind"] = "maintenance"
    one = await quiet.create(**later)
    assert await quiet.silences.tell_due(quiet.database) == 1
    one = await quiet.replace(one, **later, reason="another")
    assert one.announced_at is not None
    assert await quiet.silences.tell_due(quiet.database) == 0
    one = await quiet.replace(one, **{**later, "starts_at": now + HOUR / 2})
    assert one.announced_at is None
    assert await quiet.silences.tell_due(quiet.database) == 1
    await quiet.expire(one)
    assert await quiet.silences.tell_due(quiet.database) == 0


async def test_history_is_kept_for_four_hundred_days(quiet: Quiet) -> None:
    one, two = await quiet.create(), await quiet.create()
    await quiet.pass_by(one, timedelta(days=401))
    await quiet.pass_by(two, timedelta(days=399))
    async with quiet.database.transaction(SystemScope(FORGETTING)) as tx:
        assert await quiet.silences.sweep(tx) == 1
    assert await quiet.ids() == [two.id]


async def test_the_calendar_tells_what_recurs_each_time(quiet: Quiet) -> None:
    now = await quiet.now()
    zone = ZoneInfo("Europe/Paris")
    nightly = [WeeklyWindow(frozenset(range(7)), time(23), time(1), zone)]
    often = await quiet.create(ends_at=now + 40 * DAY, windows=nightly)
    once = await quiet.create(
        starts_at=now + HOUR, ends_at=now + 2 * HOUR, kind="maintenance", announce_hours=1
    )
    await quiet.create(starts_at=now + 50 * DAY, ends_at=now + 51 * DAY)
    found = await quiet.times(now, now + 7 * DAY)
    assert found.complete
    told = [one for one in found.times if one.silence.id == once.id]
    assert [(one.stretch.begin, one.stretch.end) for one in told] == [(now + HOUR, now + 2 * HOUR)]
    assert told[0].silence.announces_at == now
    nights = [one.stretch for one in found.times if one.silence.id == often.id]
    assert len(found.times) == len(nights) + 1
    assert len(nights) in {7, 8}
    assert all(one.end - one.begin <= 2 * HOUR for one in nights)
    whole = sum((one.end - one.begin for one in nights), timedelta())
    assert abs(whole - 14 * HOUR) < timedelta(seconds=1)
    other = Quiet(quiet.app, await quiet.app.caller("owner"))
    assert not (await other.times(now, now + 7 * DAY)).times, "another tenant's"


@pytest.mark.parametrize("days", [0, -1, 43])
async def test_the_calendar_is_of_six_weeks_at_most(quiet: Quiet, days: int) -> None:
    now = await quiet.now()
    with pytest.raises(SilenceRangeError):
        await quiet.times(now, now + days * DAY)


async def test_the_calendar_says_that_there_is_more(
    quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = await quiet.now()
    for _ in range(3):
        await quiet.create()
    monkeypatch.setattr(silence_calendar, "MAX_TIMES", 2)
    found = await quiet.times(now, now + DAY)
    assert (len(found.times), found.complete) == (2, False)
    monkeypatch.setattr(silence_calendar, "MAX_SILENCES", 1)
    found = await quiet.times(now, now + DAY)
    assert (len(found.times), found.complete) == (1, False)


async def test_over_http(app: App) -> None:
    ada, vic = await app.caller("owner"), await app.caller("viewer")
    window = {
        "days": ["saturday", "sunday"], "from": "22:00", "until": "06:00", "zone": "Europe/Paris",
    }  # fmt: skip
    body: dict[str, Any] = {
        "matchers": '{team=db,zone=~"eu-\\\\d"}',
        "starts_at": "2099-01-02T21:00:00+01:00",
        "ends_at": "2099-02-02T22:00:00Z",
        "reason": "it moves",
        "kind": "maintenance",
        "announce_hours": 48,
        "windows": [window],
    }
    made = await ada.http.post("/api/v1/silences", json=body)
    assert made.status_code == 201, made.text
    one = made.json()
    assert one["matchers"] == 'team="db", zone=~"eu-\\\\d"'
    assert (one["starts_at"], one["state"]) == ("2099-01-02T20:00:00Z", "scheduled")
    assert one["windows"] == [window]
    url = f"/api/v1/silences/{one['id']}"
    assert (await ada.http.get(url)).json() == one
    found = await ada.http.get("/api/v1/silences", params={"matchers": "team=db"})
    assert found.json()["items"] == [one]
    changed = await ada.http.put(url, json=body, headers={"If-Match": made.headers["ETag"]})
    assert changed.headers["ETag"] == '"2"'
    refused = await ada.http.put(url, json=body, headers={"If-Match": made.headers["ETag"]})
    assert (refused.status_code, refused.json()["code"]) == (412, "alerting.silence_changed")
    for wrong in (
        {"windows": [{**window, "zone": "Mars/Base"}]},
        {"windows": [{**window, "days": []}]},
        {"matchers": "team"},
        {"matchers": 'team=~".*"'},
        {"ends_at": "2100-02-02T22:00:00Z"},
    ):
        assert (await ada.http.post("/api/v1/silences", json={**body, **wrong})).status_code == 422
    assert (await vic.http.post("/api/v1/silences", json=body)).status_code == 403
    over = await ada.http.post(f"{url}/expire")
    assert (over.status_code, over.json()["state"]) == (200, "expired")
    again = await ada.http.post(f"{url}/expire")
    assert (again.status_code, again.json()["code"]) == (409, "alerting.silence_over")
    found = await ada.http.get("/api/v1/silences", params={"state": "active"})
    assert found.json()["items"] == []
