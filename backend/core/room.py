"""What a room of the house declares of itself, once, so that nobody else has to spell it out.

Each manager's door exports one frozen ``ROOM``. The composition root sums them: no table,
permission, path, event or duty of a room is written down outside its own folder. Whatever works
*for* a room without being called by one (a tick, a sweep, a check, a gauge) is given the room's
manager by that sum.

Roles, routes and job kinds are opaque here: the core knows neither HTTP nor any manager.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, Literal, TypeVar

import sqlalchemy as sa

from backend.core.columns import Base, tables_of
from backend.core.context import Errand
from backend.core.cursors import EventConsumer
from backend.core.database import Database, ReadTx, TenantOwned, Tx
from backend.core.events import EventCursor, EventHead, EventRecord
from backend.core.subject import ERASED, ROWS_AT_ONCE, Bite, Subject
from backend.core.telemetry import RequestRecord

M = TypeVar("M")

OWNER: Final = frozenset({"owner"})
ADMIN: Final = OWNER | {"admin"}
OPERATOR: Final = ADMIN | {"operator"}
VIEWER: Final = OPERATOR | {"viewer"}
WORKFLOW: Final = frozenset({"workflow"})
AUDITOR: Final = frozenset({"auditor"})
PLATFORM_ADMIN: Final = frozenset({"administrator"})
PLATFORM_AUDITOR: Final = PLATFORM_ADMIN | {"auditor"}
PLATFORM_STAFF: Final = PLATFORM_AUDITOR | {"support"}
"""Built-in roles as sets of holders: whoever ranks higher holds what the lower do. A workflow
stands apart from people, and so does an auditor, who reads the trail and nothing else. The
platform's roles are no tenant's, and hold nothing in one. Both have an auditor: whose a permission
is say the others who hold it."""

PLATFORM_READ: Final = "platform:read"
PLATFORM_WRITE: Final = "platform:write"
PLATFORM_PERMISSIONS: Final[Mapping[str, frozenset[str]]] = {
    PLATFORM_READ: PLATFORM_STAFF,
    PLATFORM_WRITE: PLATFORM_ADMIN,
}
"""Acts of the platform itself, below ``/api/v1/platform``: several rooms have some."""


@dataclass(frozen=True, slots=True)
class RouteClass:
    """How much a request below a path may weigh, and how often one caller may send it.

    Attributes:
        name: The level that a limited caller is told of.
        prefix: Paths that begin so belong to it; the longest prefix wins.
        body_bytes: From the room's settings, the largest body; None: the edge's default.
        rate: From the room's settings, requests a second and the burst, for each caller; None:
            the gate's default.
    """

    name: str
    prefix: str
    body_bytes: Callable[[Any], int] | None = None
    rate: Callable[[Any], tuple[float, int]] | None = None


@dataclass(frozen=True, slots=True)
class Tick(Generic[M]):
    """An idempotent duty that every process of a kind performs again and again."""

    name: str
    seconds: float
    run: Callable[[M, Database], Awaitable[object]]
    process: Literal["api", "worker"] = "worker"


@dataclass(frozen=True, slots=True)
class Sweep(Generic[M]):
    """Forgets what has expired, a bounded bite a transaction; repeated until it returns 0."""

    errand: Errand
    run: Callable[[M, Tx], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class ReadyCheck(Generic[M]):
    """A dependency to be watched; answers with a line for people, raises when it does not work.

    Attributes:
        required: Whether the process is not ready without it; else it is shown and no more.
        applies: Whether the process depends on it at all; else nobody hears of it.
    """

    name: str
    run: Callable[[M], Awaitable[str]]
    required: Callable[[M], bool] = lambda _: True
    applies: Callable[[M], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class FleetCheck(Generic[M]):
    """Something of the whole fleet to be watched, looked up in the database.

    Never required: a process that serves is no worse for what another one lacks.

    Attributes:
        name: As a ready check's.
        errand: Under which it is looked up.
        run: Answers with a line for people, raises when something is wrong.
    """

    name: str
    errand: Errand
    run: Callable[[M, ReadTx], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class FleetGauge(Generic[M]):
    """A figure of the whole fleet, counted in the database when somebody scrapes it.

    Attributes:
        name: ``email_sender_<room>_<what>_<unit>``.
        text: Its help line.
        errand: Under which it is counted.
        count: The figure by label value; values that it does not name stand at 0.
        label: The label's name; empty: one figure, counted under the value ``""``.
        values: All values of the label.
    """

    name: str
    text: str
    errand: Errand
    count: Callable[[M, ReadTx], Awaitable[Mapping[str, int]]]
    label: str = ""
    values: tuple[str, ...] = ("",)


@dataclass(frozen=True, slots=True)
class Ending:
    """That an event tells how something ended: of what, by a name, and whether well.

    A number ``count`` in the event's data says of how many it tells.
    """

    of: str
    well: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """What a tenant may at all, for rooms that have to know it where they work.

    Attributes:
        active: Neither suspended nor being deleted.
        quotas: The limits that it has, by name.
    """

    active: bool
    quotas: Mapping[str, int] = field(default_factory=dict)


Purge = Callable[[M, Tx], Awaitable[int]]
"""Removes a bounded bite of what a room keeps of the transaction's tenant, which is leaving.

Repeated until it returns 0; it returns how much went.
"""


Erasure = Callable[[M, Tx, Subject, str], Awaitable[Bite]]
"""Removes a bounded bite of what a table of the transaction's tenant has of a person.

What may not be removed is written over, so that it tells of nobody. It is told where the bite
before it has ended, at first "", and asked until it says that the table is done. Asked again from
the beginning it changes nothing, and finds what has come since.
"""

Bar = Callable[[M, Tx, Subject], Awaitable[str | None]]
"""Says, in a sentence, why a person cannot be erased now; None: as far as the room knows they can.
"""

Pause = Callable[[M, Tx, datetime], Awaitable[str | None]]
"""Says, in a sentence, what has been at work since before a time, and may yet write down what it
read then; None: nothing of the room's."""


@dataclass(frozen=True, slots=True)
class Plain:
    """What stands in the clear where a row has nothing sealed yet: it is from before.

    Attributes:
        columns: Where it stands.
        read: What is sealed of it, given those columns by name; None: there is nothing.
        cleared: What the row holds from then on beside the sealed bytes, given the same columns.
    """

    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], bytes | None]
    cleared: Callable[[Mapping[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column whose bytes are sealed with a data key, so that they can be sealed anew.

    Those of a tenant's row are under the tenant's keys, unless ``owner`` says whose; those of a
    row without tenant are under the platform's.

    Attributes:
        model: Its table.
        column: Its name.
        context: The place that its bytes are sealed for, given the row's key by name.
        plain: Where the same stands in older rows.
        owner: The column with the tenant whose key it is, when that may be the platform: what its
            keys sealed among a tenant's rows is one of ``Room.sealed_elsewhere``.
        errand: Under which the platform reaches rows that belong to no tenant.
    """

    model: type[Base]
    column: str
    context: Callable[[Mapping[str, Any]], str]
    plain: Plain | None = None
    owner: str | None = None
    errand: Errand | None = None

    @property
    def name(self) -> str:
        """``<table>.<column>``."""
        return f"{self.model.__tablename__}.{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room(Generic[M]):
    """One manager's declarations.

    Attributes:
        name: The folder's name; its section of the settings has the same.
        manager: The class whose one instance a process has; what is declared here gets it.
        models: The room's tables.
        role_holders: Those of them whose rows hold a role of their tenant, or hand it out by
            themselves: the rows with its name in the column ``role``, or those that a class method
            ``holds`` gives the condition of, from that name.
        sealed: Those of their columns that hold sealed bytes.
        sealed_elsewhere: What is sealed with the platform's keys and not kept by us, by name: how
            many seconds after its sealing it may still be shown to us.
        permissions: ``noun:verb`` to the built-in roles that hold it.
        errands: Its work across tenants.
        along: Tables of its own that every request's transaction may touch, whatever its errand.
        routers: Routers of the control plane, each as ``package.module:name``: only a process that
            answers HTTP loads them, as they are a fifth of its start.
        mounts: Makes plain routes of the manager; where it is, like a router.
        document: What the OpenAPI document says of them, ``paths`` and ``components``; where it is.
        open_paths: Paths that ask nobody who they are: probes and scrapers.
        data_routes: Routes of the data plane; where their tuple is.
        route_classes: Body and quota classes of its paths.
        ticks: Duties by the clock.
        sweeps: What to forget, and how.
        purges: What of a tenant goes with it in another way than its rows of ``models``, which
            go by themselves: by table, or by a name of the room's own for what is no table.
        erasures: How what its tables have of a person goes, by table or by a name of its own.
        bars: Why a person cannot be erased now.
        pauses: What the end of an erasure waits for.
        stocks: Counts how much a tenant has of something, in its own scope, by name.
        figures: What of a tenant's usage its events count as, by event.
        endings: What its events say of how things ended, by event; objectives are measured so.
        standing: Takes what a tenant may when that changes, in the tenant's own scope and in the
            transaction that changes it.
        job_kinds: Makers of its kinds of jobs.
        events: Events it emits to the permission that reading them takes.
        consumers: Makers of the consumers of events that it works by.
        checks: Dependencies to be watched.
        fleet_checks: Things of the fleet to be watched.
        gauges: Figures of the fleet.
        observe: Takes finished requests, after their answers.
        observe_work: Takes what a worker did with a job: the event's name, then its labels.
        serving: What works while an API or a worker serves.
        durable_topics: Signals that must not be lost: what they end would go on without them.
        vague_topics: Signals that say where to look, and of several that come together no more than
            that there is something to see.
    """

    name: str
    manager: type[M]
    models: tuple[type[Base], ...] = ()
    role_holders: tuple[type[Base], ...] = ()
    sealed: tuple[SealedColumn, ...] = ()
    sealed_elsewhere: Mapping[str, float] = field(default_factory=dict)
    permissions: Mapping[str, frozenset[str]] = field(default_factory=dict)
    errands: tuple[Errand, ...] = ()
    along: frozenset[str] = frozenset()
    routers: tuple[str, ...] = ()
    mounts: str = ""
    document: str = ""
    open_paths: frozenset[str] = frozenset()
    data_routes: str = ""
    route_classes: tuple[RouteClass, ...] = ()
    ticks: tuple[Tick[M], ...] = ()
    sweeps: tuple[Sweep[M], ...] = ()
    purges: Mapping[str, Purge[M]] = field(default_factory=dict)
    erasures: Mapping[str, Erasure[M]] = field(default_factory=dict)
    bars: tuple[Bar[M], ...] = ()
    pauses: tuple[Pause[M], ...] = ()
    stocks: Mapping[str, Callable[[M, ReadTx], Awaitable[int]]] = field(default_factory=dict)
    figures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    endings: Mapping[str, Ending] = field(default_factory=dict)
    standing: Callable[[M, Tx, Standing], Awaitable[None]] | None = None
    job_kinds: tuple[Callable[[M, Database], Any], ...] = ()
    events: Mapping[str, str] = field(default_factory=dict)
    consumers: tuple[Callable[[M, Database], EventConsumer], ...] = ()
    checks: tuple[ReadyCheck[M], ...] = ()
    fleet_checks: tuple[FleetCheck[M], ...] = ()
    gauges: tuple[FleetGauge[M], ...] = ()
    observe: Callable[[M, Sequence[RequestRecord]], None] | None = None
    observe_work: Callable[..., None] | None = None
    serving: Callable[[M, Database], AbstractAsyncContextManager[Any]] | None = None
    durable_topics: tuple[str, ...] = ()
    vague_topics: tuple[str, ...] = ()


class RoomClashError(RuntimeError):
    """Two rooms claim the same thing, or one claims what it cannot have: nothing may start."""


class House:
    """The rooms of a process, summed.

    Attributes:
        rooms: In tier order, lower ones first.
        permissions: Permission to the built-in roles that hold it.
        role_holders: Models whose rows hold a role.
        sealed: Columns that hold sealed bytes, lower rooms' first.
        sealed_elsewhere: Seconds for which what is sealed lies elsewhere, by name.
        events: Event to the permission that reading it takes.
        errands: Errand by name.
        along: Tables that every request's transaction may touch.
        open_paths: Paths that ask nobody who they are.
        durable_topics: Signals that must not be lost.
        vague_topics: Signals of which several become one without a payload.
    """

    def __init__(self, rooms: Iterable[Room[Any]], *, errands: Iterable[Errand] = ()) -> None:
        """Sum the rooms.

        Args:
            rooms: In tier order.
            errands: Those of the core itself.

        Raises:
            RoomClashError: A name, permission, table, event, errand, class of routes or series is
                claimed twice, or an event is to be read with a permission that nobody declares.
        """
        self.rooms = tuple(rooms)
        claims: dict[tuple[str, str], str] = {}

        def claim(what: str, name: str, by: str) -> None:
            if (what, name) in claims:
                one = claims[what, name]
                both = f"the rooms {one} and {by} both claim" if one != by else f"{by} claims twice"
                raise RoomClashError(f"{both} the {what} {name}")
            claims[what, name] = by

        self.permissions: dict[str, frozenset[str]] = dict(PLATFORM_PERMISSIONS)
        self.role_holders = tuple(one for room in self.rooms for one in room.role_holders)
        self.sealed = tuple(one for room in self.rooms for one in room.sealed)
        self.sealed_elsewhere: dict[str, float] = {}
        self.events: dict[str, str] = {}
        self.errands: dict[str, Errand] = {errand.name: errand for errand in errands}
        self.along: frozenset[str] = frozenset().union(*(room.along for room in self.rooms))
        self.open_paths: frozenset[str] = frozenset().union(
            *(room.open_paths for room in self.rooms)
        )
        self.durable_topics: frozenset[str] = frozenset().union(
            *(room.durable_topics for room in self.rooms)
        )
        self.vague_topics: frozenset[str] = frozenset().union(
            *(room.vague_topics for room in self.rooms)
        )
        for name in self.errands:
            claim("errand", name, "core")
        for name in self.permissions:
            claim("permission", name, "core")
        for room in self.rooms:
            for kind, names in (
                ("name", (room.name,)),
                ("manager", (room.manager.__qualname__,)),
                ("permission", room.permissions),
                ("table", tables_of(*room.models)),
                ("sealed column", (one.name for one in room.sealed)),
                ("place of what is sealed", room.sealed_elsewhere),
                ("event", room.events),
                ("errand", (errand.name for errand in room.errands)),
                ("class of routes", (one.name for one in room.route_classes)),
                ("class of routes below", (one.prefix for one in room.route_classes)),
                ("durable topic", room.durable_topics),
                ("vague topic", room.vague_topics),
                ("tick", (tick.name for tick in room.ticks)),
                ("check", (check.name for check in room.checks)),
                ("check", (check.name for check in room.fleet_checks)),
                ("stock", room.stocks),
                ("erasure", room.erasures),
                ("series", (gauge.name for gauge in room.gauges)),
            ):
                for name in names:
                    claim(kind, name, room.name)
            self.permissions |= room.permissions
            self.sealed_elsewhere |= room.sealed_elsewhere
            self.events |= room.events
            self.errands |= {errand.name: errand for errand in room.errands}
        for event, permission in self.events.items():
            if permission not in self.permissions:
                raise RoomClashError(
                    f"no room declares {permission}, which reads the event {event}"
                )
        for one in self.sealed:
            if one.errand is not None and one.errand.name not in self.errands:
                raise RoomClashError(
                    f"no room declares the errand {one.errand.name}, which reaches {one.name}"
                )

    def purges_of(self, room: Room[Any]) -> Mapping[str, Purge[Any]]:
        """How all that a room keeps of one tenant goes, by table."""
        by_rows = {
            model.__tablename__: _rows_of(model)
            for model in room.models
            if issubclass(model, TenantOwned)
        }
        return by_rows | dict(room.purges)


_BITE: Final = 1000


def _rows_of(model: type[Any]) -> Purge[Any]:
    async def purge(_: object, tx: Tx) -> int:
        return await tx.delete_some(model, model.tenant_id == tx.tenant_id, limit=_BITE)

    return purge


CORE_PURGES: Final[Mapping[str, Purge[Any]]] = {
    model.__tablename__: _rows_of(model) for model in (EventRecord, EventCursor, EventHead)
}
"""How the core's own rows of one tenant go. Its audit trail stays, as anybody's does."""


_SAYS_NOTHING: Final = {ERASED: True}
# As either database writes JSON.
_AS_TEXT: Final = (json.dumps(_SAYS_NOTHING), json.dumps(_SAYS_NOTHING, separators=(",", ":")))


async def _erase_events(_: object, tx: Tx, who: Subject, after: str) -> Bite:
    """What an event tells goes, and its place among the others stays: readers count by it."""
    told = sa.cast(EventRecord.data, sa.Text)
    about = sa.and_(EventRecord.subject == f"user:{who.user_id}", told.not_in(_AS_TEXT))
    done = await tx.rewrite_some(
        EventRecord,
        sa.or_(who.is_told_in(EventRecord.data), about),
        {"data": _SAYS_NOTHING},
        after=after,
        limit=ROWS_AT_ONCE,
    )
    return Bite(done.looked_at, {EventRecord.__tablename__: done.changed}, after=done.after)


CORE_ERASURES: Final[Mapping[str, Erasure[Any]]] = {EventRecord.__tablename__: _erase_events}
"""How what the core has of a person goes; its audit trail is the security room's to close."""
