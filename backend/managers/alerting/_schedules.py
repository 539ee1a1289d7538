"""On-call schedules as they are kept, and who is on call by them."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import sqlalchemy as sa

from backend.core.audit import Personal
from backend.core.database import Integrity, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.paging import newest
from backend.core.subject import Bite, Subject
from backend.kit.wall_clock import Stretch, zone_named
from backend.managers.alerting._on_call import Layer, Override, Schedule, Shift
from backend.managers.alerting._windows import read_windows, write_windows
from backend.managers.alerting.errors import (
    OverrideInvalidError,
    OverrideNotFoundError,
    ScheduleChangedError,
    ScheduleExistsError,
    ScheduleInUseError,
    ScheduleNotFoundError,
    ShiftRangeError,
    TooManyOverridesError,
    TooManySchedulesError,
)
from backend.managers.alerting.models import ChannelRow, OverrideRow, ScheduleRow

_load: Final = Loader(ScheduleRow, ScheduleNotFoundError, ScheduleChangedError)

MAX_SCHEDULES: Final = 100
MAX_LAYERS: Final = 10
MAX_PEOPLE: Final = 50
MAX_OVERRIDES: Final = 1000
MAX_RANGE: Final = timedelta(days=92)
FIRST_YEAR, LAST_YEAR = 2000, 2099
_FROM: Final = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
_UNTIL: Final = datetime(LAST_YEAR + 1, 1, 2, tzinfo=UTC)
_AHEAD: Final = timedelta(days=31)
"""How far it is looked for who is next."""
_LONGEST: Final = timedelta(days=366)
_KEPT: Final = timedelta(days=400)
_SWEPT: Final = 1000
_WATCHED: Final = 20
_BEFORE: Final = timedelta(days=1)
"""How far before a look it is looked for when a turn began."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleDraft:
    """Who is to take turns.

    Attributes:
        name: Unique in the tenant.
        layers: The last one that has somebody counts. People are ``user:<id>`` or e-mail addresses.
        announce_handover: Whether who begins and who ends is told by mail.
    """

    name: str
    layers: Sequence[Layer]
    announce_handover: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSchedule(ScheduleDraft):
    """A schedule, as it is kept; ``version`` is for ``If-Match``."""

    id: str
    version: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideDraft:
    """Somebody is to stand in for whoever it would be."""

    person: str
    begins_at: datetime
    ends_at: datetime
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOverride(OverrideDraft):
    """An override, as it is kept."""

    id: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnCall:
    """Who is on call now.

    Attributes:
        schedule_id: By which schedule.
        name: What it is called.
        person: Who; None: nobody.
        since: When this was looked up.
        until: When somebody else is, or nobody; None: not in the next 31 days.
        next_person: Who is then.
    """

    schedule_id: str
    name: str
    person: str | None
    since: datetime
    until: datetime | None
    next_person: str | None


class Schedules:
    """A tenant's on-call schedules."""

    async def create(self, tx: Tx, draft: ScheduleDraft) -> KeptSchedule:
        """Have people take turns.

        Raises:
            ScheduleExistsError: The name is taken.
            TooManySchedulesError: There are a hundred.
        """
        count = sa.select(sa.func.count()).select_from(ScheduleRow)
        of_tenant = count.where(ScheduleRow.tenant_id == tx.tenant_id)
        if int(await tx.scalar(of_tenant)) >= MAX_SCHEDULES:
            raise TooManySchedulesError(f"They are {MAX_SCHEDULES}: delete one")
        row = {
            "tenant_id": tx.tenant_id,
            "id": uuid7(),
            "name": draft.name,
            "layers": _write_layers(draft.layers),
            **_looked(draft, Schedule(draft.layers), tx.now()),
            "handovers": 0,
            "revision": 1,
            "created_at": tx.now(),
            "created_by": tx.scope.actor,
            "updated_at": tx.now(),
            "updated_by": tx.scope.actor,
        }
        if not await tx.insert_new(ScheduleRow, row, conflict=["tenant_id", "name"]):
            raise ScheduleExistsError().at("name")
        tx.audit("on_call_schedule.created", f"on_call_schedule:{row['id']}", name=draft.name)
        return await self.get(tx, str(row["id"]))

    async def get(self, tx: ReadTx, schedule_id: str) -> KeptSchedule:
        """One of them.

        Raises:
            ScheduleNotFoundError: No such one in this tenant.
        """
        return _value(await _load(tx, schedule_id))

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[KeptSchedule]:
        """The newest first, one more than ``limit``."""
        query = sa.select(ScheduleRow).where(ScheduleRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, ScheduleRow.id, limit, before_id))
        return [_value(row) for row in rows]

    async def replace(
        self, tx: Tx, schedule_id: str, draft: ScheduleDraft, *, expected_version: str | None
    ) -> KeptSchedule:
        """Have other people take turns, or otherwise; overrides stay.

        Raises:
            ScheduleNotFoundError: No such one in this tenant.
            ScheduleChangedError: Somebody changed it meanwhile.
            ScheduleExistsError: Another one has the name.
        """
        row = await _load(tx, schedule_id, expected_version=expected_version, lock=True)
        looked: Mapping[str, Any] = {"handover_due_at": tx.now()}
        if row.announce_handover != draft.announce_handover:
            over = await _overrides(tx, _moment(tx.now()), schedule_id)
            schedule = Schedule(draft.layers, over.get(schedule_id, ()))
            looked = _looked(draft, schedule, tx.now())
        elif not draft.announce_handover:
            looked = {}
        try:
            async with tx.savepoint():
                row.name, row.layers = draft.name, _write_layers(draft.layers)
                for name, value in looked.items():
                    setattr(row, name, value)
                row.updated_at, row.updated_by = tx.now(), tx.scope.actor
                row.revision += 1
        except Integrity as exc:
            raise ScheduleExistsError().at("name") from exc
        tx.audit("on_call_schedule.changed", f"on_call_schedule:{schedule_id}", name=draft.name)
        return _value(row)

    async def remove(self, tx: Tx, schedule_id: str, *, expected_version: str | None) -> None:
        """Delete a schedule and its overrides: nobody is on call by it any more.

        Raises:
            ScheduleNotFoundError: No such one in this tenant.
            ScheduleChangedError: Somebody changed it meanwhile.
            ScheduleInUseError: A channel leads to who is on call by it.
        """
        row = await _load(tx, schedule_id, expected_version=expected_version, lock=True)
        using = await tx.scalars(
            sa.select(ChannelRow.name)
            .where(ChannelRow.tenant_id == tx.tenant_id, ChannelRow.schedule_id == schedule_id)
            .order_by(ChannelRow.name)
        )
        if using:
            raise ScheduleInUseError(f"By {', '.join(using)}")
        await tx.execute(
            sa.delete(OverrideRow)
            .where(OverrideRow.tenant_id == tx.tenant_id, OverrideRow.schedule_id == schedule_id)
            .execution_options(synchronize_session=False)
        )
        tx.audit("on_call_schedule.deleted", f"on_call_schedule:{schedule_id}", name=row.name)
        await tx.session.delete(row)

    async def override(self, tx: Tx, schedule_id: str, draft: OverrideDraft) -> KeptOverride:
        """Have somebody stand in for whoever it would be.

        Raises:
            ScheduleNotFoundError: No such schedule in this tenant.
            OverrideInvalidError: It is over already, or lasts longer than a year.
            TooManyOverridesError: The schedule has a thousand that are not over.
        """
        schedule = await _load(tx, schedule_id, lock=True)
        if draft.ends_at <= max(draft.begins_at, tx.now()):
            raise OverrideInvalidError("It would be over before it counts").at("ends_at")
        if draft.ends_at - draft.begins_at > _LONGEST:
            raise OverrideInvalidError(f"It lasts {_LONGEST.days} days at most").at("ends_at")
        if draft.begins_at < _FROM or draft.ends_at >= _UNTIL:
            raise OverrideInvalidError(f"It lies in the years {FIRST_YEAR} to {LAST_YEAR}")
        count = sa.select(sa.func.count()).select_from(OverrideRow)
        live = count.where(*_overrides_of(tx, schedule_id), OverrideRow.ends_at > tx.now())
        if int(await tx.scalar(live)) >= MAX_OVERRIDES:
            raise TooManyOverridesError(f"They are {MAX_OVERRIDES:,}: delete one")
        row = OverrideRow(
            tenant_id=tx.tenant_id,
            schedule_id=schedule_id,
            id=uuid7(),
            person=draft.person,
            begins_at=draft.begins_at,
            ends_at=draft.ends_at,
            reason=draft.reason,
            created_at=tx.now(),
            created_by=tx.scope.actor,
        )
        tx.session.add(row)
        _look_again(tx, schedule)
        tx.audit(
            "on_call_override.created",
            f"on_call_override:{row.id}",
            schedule=schedule_id,
            person=_personal(row.person),
            begins_at=row.begins_at.isoformat(),
            ends_at=row.ends_at.isoformat(),
        )
        return _override(row)

    async def overrides(
        self, tx: ReadTx, schedule_id: str, *, limit: int, before_id: str | None = None
    ) -> Sequence[KeptOverride]:
        """A schedule's, the newest first, one more than ``limit``.

        Raises:
            ScheduleNotFoundError: No such schedule in this tenant.
        """
        await _load(tx, schedule_id)
        query = sa.select(OverrideRow).where(*_overrides_of(tx, schedule_id))
        rows = await tx.scalars(newest(query, OverrideRow.id, limit, before_id))
        return [_override(row) for row in rows]

    async def remove_override(self, tx: Tx, schedule_id: str, override_id: str) -> None:
        """Have nobody stand in any more.

        Raises:
            OverrideNotFoundError: The schedule has no such one.
        """
        schedule: ScheduleRow | None = await tx.scalar(_load.one(tx, schedule_id).with_for_update())
        row: OverrideRow | None = await tx.scalar(
            sa.select(OverrideRow)
            .where(*_overrides_of(tx, schedule_id), OverrideRow.id == override_id)
            .with_for_update()
        )
        if row is None or schedule is None:
            raise OverrideNotFoundError
        _look_again(tx, schedule)
        tx.audit(
            "on_call_override.deleted",
            f"on_call_override:{override_id}",
            schedule=schedule_id,
            person=_personal(row.person),
        )
        await tx.session.delete(row)

    async def who(self, tx: ReadTx, schedule_id: str, instant: datetime) -> str | None:
        """Who is on call at an instant; None: nobody, or there is no such schedule."""
        row: ScheduleRow | None = await tx.scalar(_load.one(tx, schedule_id))
        if row is None:
            return None
        over = await _overrides(tx, _moment(instant), schedule_id)
        return Schedule(_read_layers(row.layers), over.get(schedule_id, ())).person_at(instant)

    async def shifts(
        self, tx: ReadTx, schedule_id: str, begin: datetime, end: datetime
    ) -> "tuple[KeptSchedule, Reckoning]":
        """A schedule, and how it is worked out who is on call in a stretch of time.

        Raises:
            ScheduleNotFoundError: No such one in this tenant.
            ShiftRangeError: The stretch is none, longer than 92 days, or beyond the calendar.
        """
        if begin < _FROM or end >= _UNTIL:
            raise ShiftRangeError(f"It lies in the years {FIRST_YEAR} to {LAST_YEAR}")
        if not begin < end <= begin + MAX_RANGE:
            raise ShiftRangeError(f"It ends after it begins, and {MAX_RANGE.days} days at most")
        found = await self.get(tx, schedule_id)
        within = Stretch(begin, end)
        over = await _overrides(tx, within, schedule_id)
        return found, Reckoning(Schedule(found.layers, over.get(schedule_id, ())), within)

    async def changed_at(self, tx: ReadTx, schedule: KeptSchedule) -> datetime:
        """When a schedule or what overrides it was changed last, as far as that is known."""
        newest_at = sa.select(sa.func.max(OverrideRow.created_at)).where(
            *_overrides_of(tx, schedule.id)
        )
        return max(schedule.updated_at, await tx.scalar(newest_at) or schedule.updated_at)

    async def on_call(self, tx: ReadTx) -> "Sequence[tuple[KeptSchedule, Reckoning]]":
        """Each schedule by its name, and how it is worked out who is on call from now on."""
        rows = await tx.scalars(sa.select(ScheduleRow).where(ScheduleRow.tenant_id == tx.tenant_id))
        now = tx.now()
        within = Stretch(now, now + _AHEAD)
        over = await _overrides(tx, within)
        found = sorted(map(_value, rows), key=lambda one: one.name)
        return [
            (one, Reckoning(Schedule(one.layers, over.get(one.id, ())), within)) for one in found
        ]

    async def due_handovers(self, tx: ReadTx) -> "Sequence[tuple[Watched, Reckoning]]":
        """Schedules of which it is time to look who is on call, a few, those that are due first."""
        now = tx.now()
        rows = await tx.scalars(
            sa.select(ScheduleRow)
            .where(ScheduleRow.tenant_id == tx.tenant_id, ScheduleRow.handover_due_at <= now)
            .order_by(ScheduleRow.handover_due_at)
            .limit(_WATCHED)
        )
        found: list[tuple[Watched, Reckoning]] = []
        for row in rows:
            due_at = row.handover_due_at or now
            within = Stretch(max(due_at, now - _AHEAD) - _BEFORE, now + _AHEAD)
            over = await _overrides(tx, within, row.id)
            kept = _value(row)
            watched = Watched(kept, due_at, row.handed_to, row.handovers)
            schedule = Schedule(kept.layers, over.get(row.id, ()))
            found.append((watched, Reckoning(schedule, within)))
        return found

    async def note_handover(
        self, tx: Tx, watched: "Watched", person: str | None, next_at: datetime
    ) -> bool:
        """Write down who is on call and when it is to be looked next; False: it changed meanwhile.

        Args:
            tx: The tenant's.
            watched: As :meth:`due_handovers` has it.
            person: Who is on call now.
            next_at: When to look next.
        """
        row: ScheduleRow | None = await tx.scalar(_load.one(tx, watched.kept.id).with_for_update())
        if row is None or (row.handover_due_at, row.handovers, str(row.revision)) != (
            watched.due_at,
            watched.number,
            watched.kept.version,
        ):
            return False
        row.handovers += row.handed_to != person
        row.handed_to, row.handover_due_at = person, next_at
        return True

    async def sweep(self, tx: Tx) -> int:
        """Delete up to 1000 overrides of all tenants that were over 400 days ago; how many."""
        return await tx.delete_some(
            OverrideRow, OverrideRow.ends_at <= tx.now() - _KEPT, limit=_SWEPT
        )

    async def erase(self, tx: Tx, who: Subject) -> Bite:
        """A person takes no more turns, and stands in for nobody."""
        names = {f"user:{who.user_id}"} if who.user_id is not None else set()
        if who.address is not None:
            names.add(who.address.lower())
        rows: Sequence[ScheduleRow] = await tx.scalars(
            sa.select(ScheduleRow).where(ScheduleRow.tenant_id == tx.tenant_id).with_for_update()
        )
        changed = 0
        for row in rows:
            left = [
                {**one, "people": [each for each in one["people"] if each.lower() not in names]}
                for one in row.layers
            ]
            if left != row.layers:
                row.layers, row.revision, changed = left, row.revision + 1, changed + 1
            if (row.handed_to or "").lower() in names:
                row.handed_to = None
            _look_again(tx, row)
        gone = await tx.execute(
            sa.delete(OverrideRow)
            .where(
                OverrideRow.tenant_id == tx.tenant_id,
                sa.func.lower(OverrideRow.person).in_(names),
            )
            .execution_options(synchronize_session=False)
        )
        deleted = cast("sa.CursorResult[Any]", gone).rowcount
        return Bite(
            len(rows) + deleted,
            {ScheduleRow.__tablename__: changed, OverrideRow.__tablename__: deleted},
        )


@dataclass(frozen=True, slots=True)
class Watched:
    """A schedule of which people are told when they begin and end.

    Attributes:
        kept: Which.
        due_at: Since when it is time to look.
        person: Who was on call at the last look.
        number: How many changes there were before.
    """

    kept: KeptSchedule
    due_at: datetime
    person: str | None
    number: int


@dataclass(frozen=True, slots=True)
class Reckoning:
    """What is left to do when the database has been asked; of many short turns it takes a while."""

    schedule: Schedule
    within: Stretch

    async def shifts(self) -> Sequence[Shift]:
        """Whose time it is in all of the stretch."""
        return await asyncio.to_thread(self.schedule.shifts, self.within)

    async def now(self, kept: KeptSchedule) -> OnCall:
        """Who is on call when the stretch begins, and until when."""
        first, *rest = await self.shifts()
        return OnCall(
            schedule_id=kept.id,
            name=kept.name,
            person=first.person,
            since=first.begin,
            until=first.end if rest else None,
            next_person=rest[0].person if rest else None,
        )


async def _overrides(
    tx: ReadTx, within: Stretch, schedule_id: str | None = None
) -> Mapping[str, Sequence[Override]]:
    """Those that count somewhere in a stretch, by schedule, in the order of their making."""
    query = sa.select(OverrideRow).where(
        OverrideRow.tenant_id == tx.tenant_id,
        OverrideRow.ends_at > within.begin,
        OverrideRow.begins_at < within.end,
    )
    if schedule_id is not None:
        query = query.where(OverrideRow.schedule_id == schedule_id)
    found: dict[str, list[Override]] = {}
    for row in await tx.scalars(query.order_by(OverrideRow.id)):
        one = Override(Stretch(row.begins_at, row.ends_at), row.person)
        found.setdefault(row.schedule_id, []).append(one)
    return found


def _overrides_of(tx: ReadTx, schedule_id: str) -> Sequence[sa.ColumnElement[bool]]:
    return (OverrideRow.tenant_id == tx.tenant_id, OverrideRow.schedule_id == schedule_id)


def _moment(instant: datetime) -> Stretch:
    return Stretch(instant, instant + timedelta(microseconds=1))


def _looked(draft: ScheduleDraft, schedule: Schedule, now: datetime) -> Mapping[str, Any]:
    """As it is when the option is set: who is on call already is told of the next change."""
    announces = draft.announce_handover
    return {
        "announce_handover": announces,
        "handover_due_at": now if announces else None,
        "handed_to": schedule.person_at(now) if announces else None,
    }


def _look_again(tx: Tx, row: ScheduleRow) -> None:
    """Have it be looked at once whether somebody else is on call."""
    if row.announce_handover:
        row.handover_due_at = tx.now()


def _personal(person: str) -> Personal:
    return Personal(person, person) if person.startswith("user:") else Personal.address(person)


def _read_layers(written: Sequence[Mapping[str, Any]]) -> Sequence[Layer]:
    return [
        Layer(
            people=one["people"],
            start=datetime.fromisoformat(one["start"]),
            zone=zone_named(one["zone"]),
            every=one["every"],
            unit=one["unit"],
            windows=read_windows(one["windows"]),
        )
        for one in written
    ]


def _write_layers(layers: Sequence[Layer]) -> list[dict[str, Any]]:
    return [write_layer(one) for one in layers]


def write_layer(layer: Layer) -> dict[str, Any]:
    """A layer as the API and the tables have it."""
    return {
        "people": [*layer.people],
        "start": layer.start.isoformat(timespec="minutes"),
        "zone": layer.zone.key,
        "every": layer.every,
        "unit": layer.unit,
        "windows": write_windows(layer.windows),
    }


def _value(row: ScheduleRow) -> KeptSchedule:
    return KeptSchedule(
        id=row.id,
        name=row.name,
        layers=_read_layers(row.layers),
        announce_handover=row.announce_handover,
        version=str(row.revision),
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )


def _override(row: OverrideRow) -> KeptOverride:
    return KeptOverride(
        id=row.id,
        person=row.person,
        begins_at=row.begins_at,
        ends_at=row.ends_at,
        reason=row.reason,
        created_at=row.created_at,
        created_by=row.created_by,
    )
