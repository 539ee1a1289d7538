"""Silences: alerts that nobody is told of for a while, and why; maintenance is announced before."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.paging import newest
from backend.kit.wall_clock import Stretch, WeeklyWindow
from backend.managers.alerting._matching import Matcher, match_all, read_matchers
from backend.managers.alerting._rounds import Rounds
from backend.managers.alerting._routing import Silence
from backend.managers.alerting._standing import NEVER
from backend.managers.alerting._windows import read_windows, write_windows
from backend.managers.alerting.errands import ANNOUNCING
from backend.managers.alerting.errors import (
    SilenceChangedError,
    SilenceInvalidError,
    SilenceNotFoundError,
    SilenceOverError,
    TooManySilencesError,
)
from backend.managers.alerting.models import SilenceRow

_load: Final = Loader(SilenceRow, SilenceNotFoundError, SilenceChangedError)

SilenceKind = Literal["silence", "maintenance"]
SilenceState = Literal["scheduled", "active", "expired"]
MAX_SILENCES: Final = 1000
ANNOUNCE_SECONDS: Final = 15.0
LONGEST: Final = timedelta(days=366)
_KEPT: Final = timedelta(days=400)
_SWEPT: Final = 1000
_LOOKED_AT: Final = 2000
_TOLD: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceDraft:
    """What nobody is to be told of, and when.

    Attributes:
        matchers: Which alerts: at least one asks for something that has to be there.
        starts_at: None, or in the past: now; of a change: as it was.
        ends_at: A year later at most.
        windows: When of the week, within that; none: always.
        reason: Why.
        kind: A maintenance window is a silence that is announced.
        announce_hours: So long before it begins.
    """

    matchers: Sequence[Matcher]
    starts_at: datetime | None = None
    ends_at: datetime
    windows: Sequence[WeeklyWindow] = field(default=())
    reason: str
    kind: SilenceKind = "silence"
    announce_hours: int = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSilence:
    """A silence, as it is kept; one that is over is history.

    Attributes:
        state: It is yet to begin, it has begun, or it is over.
        counts_now: Whether it has begun and one of its windows is open.
        version: Changes with every change; for ``If-Match``.
        announced_at: When others were told that it comes; None: they were not yet.
        ended_by: Who ended it before its time; None: nobody.
    """

    id: str
    kind: SilenceKind
    matchers: Sequence[Matcher]
    starts_at: datetime
    ends_at: datetime
    windows: Sequence[WeeklyWindow]
    reason: str
    announce_hours: int
    announced_at: datetime | None
    state: SilenceState
    counts_now: bool
    version: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    ended_by: str | None

    @property
    def announces_at(self) -> datetime | None:
        """When others are to be told that it comes; None: they were, or never are."""
        if self.kind != "maintenance" or self.announced_at is not None:
            return None
        return self.starts_at - timedelta(hours=self.announce_hours)


class Silences:
    """A tenant's silences."""

    def __init__(self) -> None:
        self._rounds = Rounds(ANNOUNCING, SilenceRow.due_at)

    async def create(self, tx: Tx, draft: SilenceDraft) -> KeptSilence:
        """Have nobody told of some alerts for a while.

        Raises:
            SilenceInvalidError: It would silence everything, nothing, or for longer than a year.
            TooManySilencesError: A thousand are not over.
        """
        now = tx.now()
        _refuse_all(draft.matchers)
        count = sa.select(sa.func.count()).select_from(SilenceRow)
        live = count.where(SilenceRow.tenant_id == tx.tenant_id, SilenceRow.ends_at > now)
        # Two that are made at once may pass the bound together by one: it bounds lists and looks.
        if int(await tx.scalar(live)) >= MAX_SILENCES:
            raise TooManySilencesError(f"They are {MAX_SILENCES:,}: expire one")
        row = SilenceRow(
            tenant_id=tx.tenant_id,
            id=uuid7(),
            announced_at=None,
            revision=1,
            created_at=now,
            created_by=tx.scope.actor,
            ended_by=None,
        )
        _set(tx, row, draft, max(draft.starts_at or now, now), now)
        tx.session.add(row)
        tx.audit("silence.created", f"silence:{row.id}", **_told(row))
        tx.emit("silence.created", f"silence:{row.id}", **_told(row))
        return _value(row, now)

    async def get(self, tx: ReadTx, silence_id: str) -> KeptSilence:
        """One of them.

        Raises:
            SilenceNotFoundError: No such one in this tenant.
        """
        return _value(await _load(tx, silence_id), tx.now())

    async def list(
        self,
        tx: ReadTx,
        *,
        state: SilenceState | None = None,
        matchers: Sequence[Matcher] = (),
        limit: int,
        before_id: str | None = None,
    ) -> Sequence[KeptSilence]:
        """The newest first, one more than ``limit``; by matchers of the newest two thousand alone.

        Args:
            tx: The tenant's.
            state: As of now.
            matchers: Held against what its matchers say, as if those were labels: Alertmanager
                filters silences so.
            limit: How many.
            before_id: From after this one on.
        """
        now = tx.now()
        query = sa.select(SilenceRow).where(SilenceRow.tenant_id == tx.tenant_id)
        if state == "expired":
            query = query.where(SilenceRow.ends_at <= now)
        elif state is not None:
            begun = SilenceRow.starts_at <= now
            query = query.where(SilenceRow.ends_at > now, begun if state == "active" else ~begun)
        most = _LOOKED_AT if matchers else limit
        rows = await tx.scalars(newest(query, SilenceRow.id, most, before_id))
        found = (_value(row, now) for row in rows)
        return [one for one in found if match_all(matchers, _labels(one))][: limit + 1]

    async def read(self, tx: ReadTx, query: sa.Select[SilenceRow]) -> Sequence[KeptSilence]:
        """Those that a query finds, in its order."""
        now = tx.now()
        return [_value(row, now) for row in await tx.scalars(query)]

    async def active(self, tx: ReadTx) -> Sequence[Silence]:
        """Those that have begun and are not over, for whoever tells people of alerts."""
        now = tx.now()
        rows = await tx.scalars(
            sa.select(SilenceRow).where(
                SilenceRow.tenant_id == tx.tenant_id,
                SilenceRow.ends_at > now,
                SilenceRow.starts_at <= now,
            )
        )
        return [_silence(row) for row in rows]

    async def replace(
        self, tx: Tx, silence_id: str, draft: SilenceDraft, *, expected_version: str | None
    ) -> KeptSilence:
        """Change one that is not over; of one that has begun the beginning stays.

        Maintenance that was announced is announced again when it is to be at another time.

        Raises:
            SilenceNotFoundError: No such one in this tenant.
            SilenceOverError: It is over.
            SilenceChangedError: Somebody changed it meanwhile.
            SilenceInvalidError: As for :meth:`create`, or it has begun at another time.
        """
        now = tx.now()
        row = await _load_live(tx, silence_id, now, expected_version=expected_version)
        _refuse_all(draft.matchers)
        starts_at = draft.starts_at or row.starts_at
        if starts_at != row.starts_at:
            if row.starts_at <= now:
                raise SilenceInvalidError("It has begun: its beginning stays").at("starts_at")
            starts_at = max(starts_at, now)
        if (starts_at, draft.ends_at) != (row.starts_at, row.ends_at) and starts_at > now:
            row.announced_at = None
        _set(tx, row, draft, starts_at, now)
        row.revision += 1
        tx.audit("silence.changed", f"silence:{silence_id}", **_told(row))
        return _value(row, now)

    async def put(self, tx: Tx, silence_id: str | None, draft: SilenceDraft) -> KeptSilence:
        """Change the one with this id; where it is over, or none is named, make another.

        What it does not say stays as it was: windows, and whether it is announced. Of one that has
        begun the beginning does.

        Raises:
            SilenceNotFoundError: No such one in this tenant.
            SilenceInvalidError: As for :meth:`create`.
            TooManySilencesError: A thousand are not over.
        """
        if not silence_id:
            return await self.create(tx, draft)
        known = await self.get(tx, silence_id)
        if known.state == "expired":
            return await self.create(tx, draft)
        draft = replace(
            draft,
            starts_at=None if known.state == "active" else draft.starts_at,
            windows=known.windows,
            kind=known.kind,
            announce_hours=known.announce_hours,
        )
        return await self.replace(tx, silence_id, draft, expected_version=known.version)

    async def expire(self, tx: Tx, silence_id: str) -> KeptSilence:
        """End one now; it stays as history.

        Raises:
            SilenceNotFoundError: No such one in this tenant.
            SilenceOverError: It is over.
        """
        now = tx.now()
        row = await _load_live(tx, silence_id, now)
        row.starts_at, row.ends_at = min(row.starts_at, now), now
        row.ended_by, row.due_at = tx.scope.actor, NEVER
        row.updated_at, row.updated_by = now, tx.scope.actor
        row.revision += 1
        tx.audit("silence.expired", f"silence:{silence_id}")
        tx.emit("silence.expired", f"silence:{silence_id}", **_told(row))
        return _value(row, now)

    async def tell_due(self, database: Database) -> int:
        """Announce maintenance and tell of silences that are over, each once; how many it were."""

        async def one(scope: Scope) -> int:
            async with database.transaction(scope) as tx:
                return await _tell(tx)

        return sum(await self._rounds.run(database, one))

    async def sweep(self, tx: Tx) -> int:
        """Delete up to 1000 of all tenants that were over 400 days ago; returns how many."""
        return await tx.delete_some(
            SilenceRow, SilenceRow.ends_at <= tx.now() - _KEPT, limit=_SWEPT
        )


async def _tell(tx: Tx) -> int:
    now = tx.now()
    # Whoever changes the row first tells: of two processes the other one finds it changed.
    due = (SilenceRow.tenant_id == tx.tenant_id, SilenceRow.due_at <= now)
    announced = (
        sa.update(SilenceRow)
        .where(*due, SilenceRow.ends_at > now)
        .values(announced_at=now, due_at=SilenceRow.ends_at)
    )
    over = sa.update(SilenceRow).where(*due, SilenceRow.ends_at <= now).values(due_at=NEVER)
    told = 0
    for kind, change in (("maintenance.announced", announced), ("silence.expired", over)):
        rows = await tx.scalars(
            change.returning(SilenceRow).execution_options(synchronize_session=False)
        )
        for row in sorted(rows, key=lambda one: one.id):
            tx.emit(kind, f"silence:{row.id}", **_told(row))
            told += 1
    return told


def _set(tx: Tx, row: SilenceRow, draft: SilenceDraft, starts_at: datetime, now: datetime) -> None:
    if draft.ends_at <= max(starts_at, now):
        raise SilenceInvalidError("It would be over before it counts").at("ends_at")
    if draft.ends_at - starts_at > LONGEST:
        raise SilenceInvalidError(f"It lasts {LONGEST.days} days at most").at("ends_at")
    row.kind = draft.kind
    row.matchers = ", ".join(map(str, draft.matchers))
    row.starts_at, row.ends_at = starts_at, draft.ends_at
    row.windows = write_windows(draft.windows)
    row.reason = draft.reason
    row.announce_hours = draft.announce_hours
    row.updated_at, row.updated_by = now, tx.scope.actor
    row.due_at = draft.ends_at
    if draft.kind == "maintenance" and row.announced_at is None:
        row.due_at = starts_at - timedelta(hours=draft.announce_hours)


def _refuse_all(matchers: Sequence[Matcher]) -> None:
    # As Alertmanager has it: what an alert without any label meets silences far more than it says.
    if match_all(matchers, {}):
        raise SilenceInvalidError("At least one matcher has to ask for a label that is there").at(
            "matchers"
        )


def _told(row: SilenceRow) -> dict[str, Any]:
    return {
        "kind": row.kind,
        "matchers": row.matchers[:_TOLD],
        "starts_at": row.starts_at.isoformat(),
        "ends_at": row.ends_at.isoformat(),
    }


def _labels(silence: KeptSilence) -> dict[str, str]:
    return {one.name: one.value for one in silence.matchers}


async def _load_live(
    tx: Tx, silence_id: str, now: datetime, *, expected_version: str | None = None
) -> SilenceRow:
    row = await _load(tx, silence_id, expected_version=expected_version, lock=True)
    if row.ends_at <= now:
        raise SilenceOverError
    return row


def _silence(row: SilenceRow) -> Silence:
    return Silence(
        id=row.id,
        matchers=read_matchers(row.matchers),
        stretch=Stretch(row.starts_at, row.ends_at),
        windows=read_windows(row.windows),
    )


def _value(row: SilenceRow, now: datetime) -> KeptSilence:
    silence = _silence(row)
    state: SilenceState = "active" if row.starts_at <= now else "scheduled"
    return KeptSilence(
        id=row.id,
        kind=row.kind,  # type: ignore[arg-type]  # drafts have no others
        matchers=silence.matchers,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        windows=silence.windows,
        reason=row.reason,
        announce_hours=row.announce_hours,
        announced_at=row.announced_at,
        state=state if row.ends_at > now else "expired",
        counts_now=silence.is_on(now),
        version=str(row.revision),
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        ended_by=row.ended_by,
    )
