"""The outbox: what happened, for whoever wants to know, in the transaction that made it happen.

A request only appends (its rows commit with its change and take no shared lock). Within a second
the sequencer (:func:`backend.core.audit.sequence`) gives committed rows a gap-free ``seq`` per
tenant; readers follow that order and never see a row without it. Who reads by name and at least
once is a cursor (:mod:`backend.core.cursors`); who only looks keeps the last ``seq`` it saw.

Rows go when every cursor is past them, but not before a stream that broke had time to come back,
and at the latest when a bound is reached, read or not.
"""

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, cast

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.core.database import Base, Id, ReadTx, RowMaker, TenantOwned, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7, uuid7_at
from backend.core.json_rows import BulkInsert

logger = logging.getLogger(__name__)

EVENTS: Final = "events"
"""The signal that there are newly numbered events: of one tenant, or with no payload of many."""

_encode: Final = json.JSONEncoder(allow_nan=False).encode
_MAX_DATA_BYTES: Final = 8192
_MAX_SIGNALS: Final = 64
_NUMBERED_LATE: Final = 1000
_MAX_TENANTS_A_SWEEP: Final = 20
# SQLite keeps no statistics of an index that was empty when they were gathered, and takes it for
# one as large as its table.
_WAITING: Final = "INDEXED BY ix_events_unsequenced"


class EventRecord(TenantOwned, Base):
    """One thing that happened to ``subject``."""

    __tablename__ = "events"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str]
    subject: Mapped[str]
    actor: Mapped[str]
    data: Mapped[dict[str, Any]]
    seq: Mapped[int | None]

    __table_args__ = (
        # Partial: a row enters it once, when it is numbered, and the sequencer's index it leaves.
        sa.Index(
            "ix_events_tenant_id_seq",
            "tenant_id",
            "seq",
            unique=True,
            sqlite_where=sa.text("seq IS NOT NULL"),
            postgresql_where=sa.text("seq IS NOT NULL"),
        ),
        # The sequencer's alone, which serves tenants in the order in which they came.
        sa.Index(
            "ix_events_unsequenced",
            "id",
            sqlite_where=sa.text("seq IS NULL"),
            postgresql_where=sa.text("seq IS NULL"),
        ),
    )


class EventHead(TenantOwned, Base):
    """The last number given to one tenant's events; locked while the next ones are given."""

    __tablename__ = "event_heads"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    seq: Mapped[int]
    dropped_unread: Mapped[int]


class EventCursor(TenantOwned, Base):
    """How far one named reader is with one tenant.

    Nobody may take it before ``free_at``: it is leased until then, or waits after a failure. The
    row of the platform's own tenant says that the name is known at all.
    """

    __tablename__ = "event_cursors"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int]
    fence: Mapped[int]
    holder: Mapped[str]
    free_at: Mapped[datetime]
    failures: Mapped[int]
    error: Mapped[str]


_ADD: Final = BulkInsert(EventRecord, ("id", "at", "kind", "subject", "actor", "data"))

OUTBOX: Final = Errand("core.events", tables_of(EventRecord, EventHead, EventCursor))
"""Reading all tenants' events by cursors, watching those, and forgetting what was read."""

PLATFORM_EVENTS: Final = Errand(
    "core.platform_events", tables_of(EventRecord, EventHead), of_platform=True, confined=True
)
"""Following the platform's own events."""


class Event(NamedTuple):
    """One numbered event; ``seq`` is its place among its tenant's, without gaps."""

    seq: int
    id: str
    at: datetime
    kind: str
    subject: str
    actor: str
    data: Mapping[str, Any]


class UnknownEventError(RuntimeError):
    """An event that no room declares: nobody could be permitted to read it."""


def event_maker(kinds: Collection[str]) -> RowMaker:
    """What :meth:`Tx.emit` builds its rows with, for a house that declares these kinds."""
    known = frozenset(kinds)

    def event_row(
        tx: Tx, kind: str, subject: str, tenant_id: str | None, data: dict[str, Any]
    ) -> tuple[BulkInsert, dict[str, Any]]:
        if kind not in known:
            raise UnknownEventError(f"no room declares the event {kind!r}")
        _refuse_unfit(data)
        return _ADD, {
            "tenant_id": tenant_id or tx.tenant_id,
            "id": uuid7(),
            "at": tx.now(),
            "kind": kind,
            "subject": subject,
            "actor": tx.scope.actor,
            "data": data,
        }

    return event_row


def _refuse_unfit(data: Mapping[str, Any]) -> None:
    text = _encode(data)
    if len(text) > _MAX_DATA_BYTES:
        msg = "event data over 8 KiB"
        raise ValueError(msg)
    if "\\u0000" in text:
        msg = "event data holds U+0000, which PostgreSQL cannot keep"
        raise ValueError(msg)


# --- numbering, by the sequencer --------------------------------------------------------------


async def lock_heads(
    tx: Tx, model: type[Any], tenants: Sequence[str], first: Mapping[str, Any]
) -> dict[str, Any]:
    """The tenants' heads, locked in one order so that sequencers queue; new ones begin as said."""
    query = sa.select(model).where(model.tenant_id.in_(tenants)).order_by(model.tenant_id)
    found = {head.tenant_id: head for head in await tx.scalars(query.with_for_update())}
    if missing := [tenant for tenant in tenants if tenant not in found]:
        for tenant in missing:
            await tx.insert_new(model, {"tenant_id": tenant, **first}, conflict=["tenant_id"])
        found = {head.tenant_id: head for head in await tx.scalars(query.with_for_update())}
    return found


async def find_unnumbered(view: ReadTx, limit: int) -> list[str]:
    """The tenants of the oldest ``limit`` committed events without a number, in order of id."""
    oldest = (
        sa.select(EventRecord.tenant_id)
        .with_hint(EventRecord, _WAITING, "sqlite")
        .where(EventRecord.seq.is_(None))
        .order_by(EventRecord.id)
        .limit(limit)
        .subquery()
    )
    found = await view.scalars(sa.select(oldest.c.tenant_id).distinct())
    return sorted(found)


async def number(tx: Tx, tenants: Sequence[str], limit: int) -> int:
    """Number up to ``limit`` committed events of these tenants; returns how many.

    No row leaves the database. Within a tenant the order is that of emitting, as far as clocks of
    several processes agree; what commits late is numbered late.
    """
    await lock_heads(tx, EventHead, tenants, {"seq": 0, "dropped_unread": 0})
    # Read after the heads are locked: what another sequencer numbered meanwhile is gone from here.
    waiting = (
        sa.select(EventRecord.tenant_id, EventRecord.id)
        .with_hint(EventRecord, _WAITING, "sqlite")
        # Not by tenant: that leads planners to an index of all that the tenant ever told.
        .where(EventRecord.seq.is_(None))
        .order_by(EventRecord.id)
        .limit(limit)
        .subquery("waiting")
    )
    place = sa.func.row_number().over(partition_by=waiting.c.tenant_id, order_by=waiting.c.id)
    placed = (
        sa.select(waiting.c.tenant_id, waiting.c.id, (EventHead.seq + place).label("seq"))
        .join(EventHead, EventHead.tenant_id == waiting.c.tenant_id)
        .where(EventHead.tenant_id.in_(tenants))
        .subquery("placed")
    )
    numbered = await tx.execute(
        sa.update(EventRecord)
        .where(EventRecord.tenant_id == placed.c.tenant_id, EventRecord.id == placed.c.id)
        .values(seq=placed.c.seq)
        .execution_options(synchronize_session=False)
    )
    newest = (
        sa.select(sa.func.max(EventRecord.seq))
        .where(EventRecord.tenant_id == EventHead.tenant_id, EventRecord.seq.is_not(None))
        .correlate(EventHead)
        .scalar_subquery()
    )
    await tx.execute(
        sa.update(EventHead)
        .where(EventHead.tenant_id.in_(tenants))
        # Nothing is left of a tenant whose events all went before another sequencer was done.
        .values(seq=sa.func.coalesce(newest, EventHead.seq))
        .execution_options(synchronize_session=False)
    )
    for tenant in tenants if len(tenants) <= _MAX_SIGNALS else [""]:
        tx.signal(EVENTS, tenant)
    return cast("sa.CursorResult[Any]", numbered).rowcount


async def read_unnumbered_seconds(view: ReadTx) -> float:
    """How long the oldest committed event has waited for its number; 0 when none waits.

    Of the transaction's tenant, or of all where an errand spans them.
    """
    oldest = (
        sa.select(EventRecord.at)
        .with_hint(EventRecord, _WAITING, "sqlite")
        .where(EventRecord.seq.is_(None))
        .order_by(EventRecord.id)
        .limit(1)
    )
    at = await view.scalar(oldest)
    return 0.0 if at is None else max((view.now() - at).total_seconds(), 0.0)


# --- reading ----------------------------------------------------------------------------------


async def read_events(view: ReadTx, *, after: int, limit: int) -> list[Event]:
    """The transaction's tenant's next events after ``after``, in order, at most ``limit``."""
    found = await view.execute(
        sa.select(
            EventRecord.seq,
            EventRecord.id,
            EventRecord.at,
            EventRecord.kind,
            EventRecord.subject,
            EventRecord.actor,
            EventRecord.data,
        )
        .where(EventRecord.tenant_id == view.tenant_id, EventRecord.seq > after)
        .order_by(EventRecord.seq)
        .limit(limit)
    )
    return list(map(Event._make, found))


async def read_span(view: ReadTx) -> tuple[int, int]:
    """The numbers of the tenant's oldest kept and of its newest event.

    Without any kept the oldest is the one that will come next.
    """
    newest = await view.scalar(
        sa.select(EventHead.seq).where(EventHead.tenant_id == view.tenant_id)
    )
    oldest = await view.scalar(
        sa.select(sa.func.min(EventRecord.seq)).where(
            EventRecord.tenant_id == view.tenant_id, EventRecord.seq.is_not(None)
        )
    )
    newest = newest or 0
    return oldest or newest + 1, newest


async def find_seq_before(view: ReadTx, moment: datetime) -> int:
    """The number after which everything stands that the tenant's events told since a moment.

    As far as it is kept; 0 when nothing was told before. Ids are made of their time, numbers as
    transactions end: what is looked at are the first thousand events since then.
    """
    first = (
        sa.select(EventRecord.seq)
        .where(
            EventRecord.tenant_id == view.tenant_id,
            EventRecord.id >= uuid7_at(moment),
            EventRecord.seq.is_not(None),
        )
        .order_by(EventRecord.id)
        .limit(_NUMBERED_LATE)
        .subquery("first")
    )
    found = await view.scalar(sa.select(sa.func.min(first.c.seq)))
    if found is not None:
        return int(found) - 1
    _, newest = await read_span(view)
    return newest


# --- forgetting -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retention:
    """How long events stay.

    Attributes:
        read_hours: What every cursor has read stays so long, for streams that come back.
        unread_days: What one has not read goes after so long.
        rows: At most so many stay of one tenant, read or not.
    """

    read_hours: float = 240
    unread_days: float = 11
    rows: int = 1_000_000


async def sweep_events(tx: Tx, retention: Retention, *, limit: int = 1000) -> int:
    """Forget a bounded bite of what may go; returns how many rows went. Needs the errand.

    What a cursor had not read is counted at its tenant's head and logged as an error.
    """
    now = tx.now()
    read_by = now - timedelta(hours=retention.read_hours)
    unread_by = now - timedelta(days=retention.unread_days)
    gone = 0
    for tenant, newest, floor, oldest in await _find_overdue(
        tx, retention.rows, read_by, unread_by
    ):
        found = await tx.execute(
            sa.select(EventRecord.seq, EventRecord.at)
            .where(
                EventRecord.tenant_id == tenant,
                EventRecord.seq.between(oldest, oldest + limit - 1),
            )
            .order_by(EventRecord.seq)
        )
        rows = found.all()
        last = 0
        for seq, at in rows:
            # A prefix goes, never one from the middle: what is kept has no holes.
            if not (
                (at < read_by and seq <= floor) or at < unread_by or seq <= newest - retention.rows
            ):
                break
            last = seq
        if not last:
            continue
        await tx.execute(
            sa.delete(EventRecord)
            .where(EventRecord.tenant_id == tenant, EventRecord.seq <= last)
            .execution_options(synchronize_session=False)
        )
        gone += sum(seq <= last for seq, _ in rows)
        unread = sum(floor < seq <= last for seq, _ in rows)
        if unread:
            await tx.execute(
                sa.update(EventHead)
                .where(EventHead.tenant_id == tenant)
                .values(dropped_unread=EventHead.dropped_unread + unread)
                .execution_options(synchronize_session=False)
            )
            logger.error(
                "events_dropped_unread",
                extra={"tenant_id": tenant, "count": unread, "up_to_seq": last},
            )
    return gone


async def _find_overdue(tx: Tx, rows: int, read_by: datetime, unread_by: datetime) -> Sequence[Any]:
    """Some tenants whose oldest event may go.

    Their ids, newest numbers, what all cursors are past, and their oldest numbers.
    """
    names = await tx.scalar(
        sa.select(sa.func.count())
        .select_from(EventCursor)
        .where(EventCursor.tenant_id == PLATFORM_TENANT)
    )
    read = (
        sa.select(
            EventCursor.tenant_id,
            sa.func.min(EventCursor.seq).label("seq"),
            sa.func.count().label("names"),
        )
        .group_by(EventCursor.tenant_id)
        .subquery("read")
    )
    # Who has no row of its own yet has read nothing.
    complete = sa.func.coalesce(read.c.names, 0) == names
    floor = sa.case((complete, sa.func.coalesce(read.c.seq, EventHead.seq)), else_=0)

    def of_oldest(column: Any) -> Any:
        return (
            sa.select(column)
            .where(EventRecord.tenant_id == EventHead.tenant_id, EventRecord.seq.is_not(None))
            .order_by(EventRecord.seq)
            .limit(1)
            .correlate(EventHead)
            .scalar_subquery()
        )

    oldest, at = of_oldest(EventRecord.seq), of_oldest(EventRecord.at)
    found = await tx.execute(
        sa.select(EventHead.tenant_id, EventHead.seq, floor, oldest)
        .outerjoin(read, read.c.tenant_id == EventHead.tenant_id)
        .where(
            sa.or_(
                sa.and_(at < read_by, oldest <= floor),
                at < unread_by,
                oldest <= EventHead.seq - rows,
            )
        )
        .limit(_MAX_TENANTS_A_SWEEP)
    )
    return found.all()


async def count_dropped_unread(view: ReadTx) -> int:
    """How many events of all tenants went before every cursor had read them: a system errand."""
    return int(await view.scalar(sa.select(sa.func.sum(EventHead.dropped_unread))) or 0)
