"""Limits that are edited at run time: rows of the platform and of tenants, and what they mean.

The platform says what a tenant, each of its callers and their use of a class of routes may have at
most, for one tenant or (in rows of its own tenant) for everybody; of one caller also their use of
one class. A tenant narrows its callers and classes further, never beyond. What no row says, the
settings say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, NamedTuple, TypeAlias

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import newest
from backend.managers.gateway.errors import (
    LimitChangedError,
    LimitExistsError,
    LimitInvalidError,
    LimitNotFoundError,
    LimitTooWideError,
)
from backend.managers.gateway.models import LimitRow
from backend.managers.tenant import TenantManager

LIMITS_CHANGED: Final = "limits"
"""The signal that says: limits have changed, read them again."""

Owner: TypeAlias = Literal["platform", "tenant"]
LimitKind: TypeAlias = Literal["tenant", "caller", "client", "api_key", "user", "route_class"]

_ONE_CALLER: Final = frozenset({"client", "api_key", "user"})
_NAMELESS: Final = frozenset({"tenant", "caller"})
_MOST_OF_TENANT: Final = 500


class Rate(NamedTuple):
    """``burst`` at once, and ``refill`` more every ``seconds``."""

    burst: int
    refill: int
    seconds: int

    def within(self, other: "Rate | None") -> bool:
        """Whether this allows no more than the other, however one asks."""
        return other is None or (
            self.burst <= other.burst and self.refill * other.seconds <= other.refill * self.seconds
        )


def narrower(one: Rate | None, other: Rate | None) -> Rate | None:
    """What both allow."""
    if one is None or other is None:
        return one or other
    slower = one if one.refill * other.seconds <= other.refill * one.seconds else other
    return Rate(min(one.burst, other.burst), slower.refill, slower.seconds)


class Bounds(NamedTuple):
    """What one limit allows; None says nothing about it.

    Attributes:
        requests: How many.
        bytes: How much in bodies.
        concurrency: How many under way; of the tenant alone.
        sustained: How many over a longer time; both rates hold.
        cost: How many requests one counts for, by every limit; of a class of routes alone.
    """

    requests: Rate | None = None
    bytes: Rate | None = None
    concurrency: int | None = None
    sustained: Rate | None = None
    cost: int | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit as its owner sees it.

    Attributes:
        id: Of the row.
        tenant_id: Whom it is for; None: every tenant.
        owner: Who may change it.
        kind: What it limits: all of the tenant, each caller, one caller of a kind, or each caller's
            use of a class of routes.
        name: The one caller, as after the colon of its subject, or the class; else empty.
        route_class: Of one caller, the class whose use alone it limits; else empty.
        requests: How many.
        bytes: How much in bodies.
        concurrency: How many under way.
        sustained: How many over a longer time.
        cost: How many requests one counts for.
        updated_by: Who set it.
        updated_at: When.
        version: For ``If-Match``.
    """

    id: str
    tenant_id: str | None
    owner: Owner
    kind: LimitKind
    name: str
    route_class: str
    requests: Rate | None
    bytes: Rate | None
    concurrency: int | None
    sustained: Rate | None
    cost: int | None
    updated_by: str
    updated_at: datetime
    version: str

    @property
    def bounds(self) -> Bounds:
        """What it allows."""
        return Bounds(self.requests, self.bytes, self.concurrency, self.sustained, self.cost)


class Place(NamedTuple):
    """Where a row stands: there is one of each."""

    tenant_id: str
    owner: str
    kind: str
    name: str
    route_class: str = ""


class LimitRows:
    """Reading and changing them. Each change is signalled, and holds everywhere within seconds."""

    def __init__(
        self, tenants: TenantManager, classes: frozenset[str], ceiling: "LimitTable"
    ) -> None:
        """Keep to these classes of routes, and to what ``ceiling`` says the platform allows."""
        self._tenants = tenants
        self._classes = classes
        self._ceiling = ceiling

    async def list_limits(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None, tenant_id: str | None = None
    ) -> list[Limit]:
        """Newest first, one more than ``limit``: a tenant's, or all of those the platform set."""
        query = sa.select(LimitRow)
        if not isinstance(tx.scope, SystemScope):
            query = query.where(LimitRow.tenant_id == tx.tenant_id)
        elif tenant_id is not None:
            query = query.where(LimitRow.tenant_id == tenant_id)
        rows = await tx.scalars(newest(query, LimitRow.id, limit, before_id))
        return [_limit(row) for row in rows]

    async def read_all(self, view: ReadTx) -> list[Limit]:
        """Every tenant's; needs the errand."""
        return [_limit(row) for row in await view.scalars(sa.select(LimitRow))]

    async def get_limit(self, tx: ReadTx, limit_id: str) -> Limit:
        """One limit.

        Raises:
            LimitNotFoundError: There is none within reach.
        """
        row = await tx.scalar(self._within(tx, limit_id))
        if row is None:
            raise LimitNotFoundError
        return _limit(row)

    async def create_limit(
        self,
        tx: Tx,
        *,
        tenant_id: str | None,
        kind: LimitKind,
        name: str,
        bounds: Bounds,
        route_class: str = "",
    ) -> Limit:
        """Set a limit: the platform's in a system errand, else the tenant's own.

        Args:
            tenant_id: For the platform, whom it is for; None: every tenant.
            kind: What it limits.
            name: Which caller or class.
            bounds: How much.
            route_class: Of one caller, the class whose use alone is limited.

        Raises:
            TenantNotFoundError: There is no such tenant.
            LimitInvalidError: It names nothing that there is, or says nothing.
            LimitTooWideError: A tenant's allows more than the platform does.
            LimitExistsError: There is one of this already.
        """
        owner = _owner(tx)
        place = Place(
            tx.tenant_id if owner == "tenant" else tenant_id or PLATFORM_TENANT,
            owner,
            kind,
            name,
            route_class,
        )
        if owner == "platform" and tenant_id is not None:
            await self._tenants.get_tenant(tx, tenant_id)
        self._refuse_unfit(place, bounds)
        await self._refuse_too_many(tx, place)
        values = {
            "tenant_id": place.tenant_id,
            "id": uuid7(),
            "owner": owner,
            "kind": kind,
            "name": name,
            "route_class": route_class,
            "revision": 1,
            **_columns(bounds),
            "updated_by": tx.scope.actor,
            "updated_at": tx.now(),
        }
        if not await tx.insert_new(LimitRow, values, conflict=list(Place._fields)):
            raise LimitExistsError
        made = _limit(LimitRow(**values))
        self._tell(tx, "limit.created", made)
        return made

    async def change_limit(
        self, tx: Tx, limit_id: str, *, bounds: Bounds, expected_version: str | None
    ) -> Limit:
        """Replace what a limit allows.

        Raises:
            LimitNotFoundError: There is none that the caller may change.
            LimitChangedError: Somebody changed it meanwhile.
            LimitInvalidError: It says nothing that such a limit can say.
            LimitTooWideError: A tenant's allows more than the platform does.
        """
        row = await self._locked(tx, limit_id, expected_version)
        place = Place(row.tenant_id, row.owner, row.kind, row.name, row.route_class)
        self._refuse_unfit(place, bounds)
        for column, value in _columns(bounds).items():
            setattr(row, column, value)
        row.revision += 1
        row.updated_by, row.updated_at = tx.scope.actor, tx.now()
        changed = _limit(row)
        self._tell(tx, "limit.changed", changed)
        return changed

    async def put_limit(
        self,
        tx: Tx,
        *,
        tenant_id: str | None,
        kind: LimitKind,
        name: str,
        bounds: Bounds,
        route_class: str = "",
    ) -> Limit:
        """Set a limit, whether or not there is one of this already.

        Raises:
            TenantNotFoundError, LimitInvalidError, LimitTooWideError: As for a new one.
        """
        owner = _owner(tx)
        of = tx.tenant_id if owner == "tenant" else tenant_id or PLATFORM_TENANT
        known = await tx.scalar(
            sa.select(LimitRow.id).where(
                LimitRow.tenant_id == of,
                LimitRow.owner == owner,
                LimitRow.kind == kind,
                LimitRow.name == name,
                LimitRow.route_class == route_class,
            )
        )
        if known is None:
            return await self.create_limit(
                tx,
                tenant_id=tenant_id,
                kind=kind,
                name=name,
                bounds=bounds,
                route_class=route_class,
            )
        return await self.change_limit(tx, known, bounds=bounds, expected_version=None)

    async def delete_limit(self, tx: Tx, limit_id: str, *, expected_version: str | None) -> None:
        """Take a limit away: what the next wider one says holds.

        Raises:
            LimitNotFoundError: There is none that the caller may change.
            LimitChangedError: Somebody changed it meanwhile.
        """
        row = await self._locked(tx, limit_id, expected_version)
        gone = _limit(row)
        await tx.session.delete(row)
        self._tell(tx, "limit.deleted", gone)

    def _within(self, tx: ReadTx, limit_id: str) -> sa.Select[LimitRow]:
        query = sa.select(LimitRow).where(LimitRow.id == limit_id)
        if not isinstance(tx.scope, SystemScope):
            query = query.where(LimitRow.tenant_id == tx.tenant_id)
        return query

    async def _locked(self, tx: Tx, limit_id: str, expected_version: str | None) -> LimitRow:
        # The platform's is shown to its tenant, and not the tenant's to change; nor the other way.
        query = self._within(tx, limit_id).where(LimitRow.owner == _owner(tx))
        row: LimitRow | None = await tx.scalar(query.with_for_update())
        if row is None:
            raise LimitNotFoundError
        if expected_version is not None and expected_version != str(row.revision):
            raise LimitChangedError
        return row

    def _refuse_unfit(self, place: Place, bounds: Bounds) -> None:
        if (place.kind in _NAMELESS) == bool(place.name):
            detail = "has no name" if place.name else "has a name"
            raise LimitInvalidError(f"A limit of kind {place.kind} {detail}").at("name")
        of_class = place.name if place.kind == "route_class" else place.route_class
        if of_class and of_class not in self._classes:
            detail = f"There is no class of routes of this name; {', '.join(sorted(self._classes))}"
            raise LimitInvalidError(detail).at("route_class" if place.route_class else "name")
        if place.route_class and place.kind not in _ONE_CALLER:
            raise LimitInvalidError("Only one caller's use of a class is told apart").at(
                "route_class"
            )
        if bounds == Bounds():
            raise LimitInvalidError("It limits nothing")
        if bounds.bytes is not None and of_class:
            raise LimitInvalidError("Classes of routes count requests").at("bytes")
        if bounds.cost is not None and not of_class:
            raise LimitInvalidError("Requests of a class have one").at("cost")
        if bounds.concurrency is not None and place.kind != "tenant":
            raise LimitInvalidError("Only the tenant has one").at("concurrency")
        if place.owner == "tenant":
            most = self._ceiling.of_platform(
                place.tenant_id, place.kind, place.name, place.route_class
            )
            for field, mine, theirs in (
                ("requests", bounds.requests, most.requests),
                ("sustained", bounds.sustained, most.sustained),
                ("bytes", bounds.bytes, most.bytes),
            ):
                if mine is not None and not mine.within(theirs):
                    raise LimitTooWideError(
                        f"The platform allows {theirs.burst} at once and {theirs.refill} more in "  # type: ignore[union-attr]
                        f"{theirs.seconds} s"  # type: ignore[union-attr]
                    ).at(field)

    async def _refuse_too_many(self, tx: Tx, place: Place) -> None:
        count = await tx.scalar(
            sa.select(sa.func.count())
            .select_from(LimitRow)
            .where(LimitRow.tenant_id == place.tenant_id, LimitRow.owner == place.owner)
        )
        if count >= _MOST_OF_TENANT:
            raise LimitInvalidError(f"There are {_MOST_OF_TENANT} limits already")

    @staticmethod
    def _tell(tx: Tx, what: str, limit: Limit) -> None:
        tenant_id = limit.tenant_id or PLATFORM_TENANT
        data = {
            "kind": limit.kind,
            "name": limit.name,
            "route_class": limit.route_class,
            "owner": limit.owner,
            "requests": list(limit.requests) if limit.requests else None,
            "sustained": list(limit.sustained) if limit.sustained else None,
            "bytes": list(limit.bytes) if limit.bytes else None,
            "concurrency": limit.concurrency,
            "cost": limit.cost,
        }
        tx.audit(what, f"limit:{limit.id}", tenant_id=tenant_id, **data)
        tx.emit(what, f"limit:{limit.id}", tenant_id=tenant_id, **data)
        tx.signal(LIMITS_CHANGED, "" if limit.tenant_id is None else f"tenant:{tenant_id}")


class LimitTable:
    """All limits at one moment, and what holds for whom.

    Args:
        defaults: What the settings allow, by what it limits and, of classes, the name.
    """

    def __init__(self, defaults: Mapping[tuple[str, str], Bounds]) -> None:
        self._defaults = defaults
        self._rows: dict[Place, Bounds] = {}

    def replace(self, rows: Sequence[Limit]) -> None:
        """Know these and no others."""
        self._rows = {
            Place(
                one.tenant_id or PLATFORM_TENANT, one.owner, one.kind, one.name, one.route_class
            ): one.bounds
            for one in rows
        }

    def of_platform(self, tenant_id: str, kind: str, name: str, route_class: str = "") -> Bounds:
        """What the platform allows: of each kind, what the narrowest row that says it says.

        Args:
            tenant_id: Whose.
            kind: Of a limit.
            name: Of the one caller, or the class.
            route_class: Asks for what the caller may of this class, instead of at all.
        """
        wider = _wider(kind, name, route_class)
        places = (
            Place(tenant_id, "platform", kind, name, route_class),
            Place(tenant_id, "platform", *wider),
            Place(PLATFORM_TENANT, "platform", *wider),
        )
        default = self._defaults.get(wider, Bounds())
        return _first([*(self._rows.get(place) for place in places), default])

    def effective(self, tenant_id: str, kind: str, name: str, route_class: str = "") -> Bounds:
        """What holds: the platform's, and the tenant's own within it."""
        most = self.of_platform(tenant_id, kind, name, route_class)
        places = (
            Place(tenant_id, "tenant", kind, name, route_class),
            Place(tenant_id, "tenant", *_wider(kind, name, route_class)),
        )
        own = _first([self._rows.get(place) for place in places])
        return Bounds(
            narrower(most.requests, own.requests),
            narrower(most.bytes, own.bytes),
            most.concurrency,
            narrower(most.sustained, own.sustained),
            most.cost,
        )


def _wider(kind: str, name: str, route_class: str) -> tuple[str, str]:
    """The kind and name of what holds where no limit is of this one."""
    if route_class:
        return "route_class", route_class
    return ("caller", "") if kind in _ONE_CALLER else (kind, name)


def _first(found: Sequence[Bounds | None]) -> Bounds:
    """Of each kind the first that is said."""
    said = [one for one in found if one is not None]

    def first(field: str) -> "Rate | int | None":
        return next((each for one in said if (each := getattr(one, field)) is not None), None)

    return Bounds(*map(first, Bounds._fields))  # type: ignore[arg-type]


def _owner(tx: ReadTx) -> Owner:
    return "platform" if isinstance(tx.scope, SystemScope) else "tenant"


def _columns(bounds: Bounds) -> dict[str, int | None]:
    found: dict[str, int | None] = {"concurrency": bounds.concurrency, "cost": bounds.cost}
    for counted in ("requests", "sustained", "bytes"):
        rate: Rate | None = getattr(bounds, counted)
        for field in Rate._fields:
            found[f"{counted}_{field}"] = None if rate is None else getattr(rate, field)
    return found


def _rate(row: LimitRow, counted: str) -> Rate | None:
    burst = getattr(row, f"{counted}_burst")
    if burst is None:
        return None
    return Rate(burst, getattr(row, f"{counted}_refill"), getattr(row, f"{counted}_seconds"))


def _limit(row: LimitRow) -> Limit:
    everybody = row.tenant_id == PLATFORM_TENANT
    return Limit(
        id=row.id,
        tenant_id=None if everybody else row.tenant_id,
        owner=row.owner,  # type: ignore[arg-type]
        kind=row.kind,  # type: ignore[arg-type]
        name=row.name,
        route_class=row.route_class,
        requests=_rate(row, "requests"),
        bytes=_rate(row, "bytes"),
        concurrency=row.concurrency,
        sustained=_rate(row, "sustained"),
        cost=row.cost,
        updated_by=row.updated_by,
        updated_at=row.updated_at,
        version=str(row.revision),
    )
