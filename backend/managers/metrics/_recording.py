"""Recording: batches of observations, checked an item at a time, durable before the answer.

A batch is one row of packed points, whatever it holds: making windows of them is a tick's work
(:mod:`backend.managers.metrics._folding`). What a name and its labels are called in that row is a
number, which a process remembers; so what it knows already is neither looked up nor checked again.
"""

import hashlib
import math
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, cast, get_args

import msgspec
import numpy as np
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, ReadTx, Tx
from backend.core.errors import AppError
from backend.core.ids import uuid7
from backend.core.json_rows import BulkInsert
from backend.managers.metrics._budget import Allowance
from backend.managers.metrics._windows import POINT, Array
from backend.managers.metrics.errors import (
    InvalidItemError,
    KindDiffersError,
    TooManySeriesError,
)
from backend.managers.metrics.models import BatchRow, MetricTenantRow, SeriesRow
from backend.managers.metrics.settings import MetricsSettings

Kind = Literal["counter", "gauge", "histogram"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
MAX_ITEMS: Final = 1000
MAX_POINTS: Final = 10_000
"""Observations of one batch: a histogram's item may bring several."""
OLDEST: Final = timedelta(days=1)
"""Windows that are older may have been forgotten: what came late would replace what they were."""
NEWEST: Final = timedelta(minutes=5)
"""How far ahead of ours a caller's clock may be."""
RECORDED: Final = "metric.recorded"
DERIVED: Final = "email_sender:"
"""What names of series begin with that are derived from events, and no others'."""

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_RESERVED: Final = {"le", "quantile"}
_MAX_NAME: Final = 128
# Sums of such values stay far from what a double cannot hold.
_GREATEST: Final = 1e100
_REMEMBERED_TENANTS: Final = 1000
# Of more tenants than that what was taken of budgets would be lost before it is spent.
_REMEMBERED_ALLOWANCES: Final = 10_000
_ADD: Final = BulkInsert(BatchRow, ("id", "points"))
_COUNTERS: Final = ("tenant_id",)
_ENCODER: Final = msgspec.json.Encoder(order="sorted")

SeriesKey = tuple[Any, ...]
"""A name, then its labels in order."""


class Item(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Something observed: a value of a series; of a histogram perhaps several at once.

    A counter is told what it grew by, and not what it stands at.
    """

    name: str
    kind: Kind
    value: float | None = None
    values: list[float] | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a batch: how many of its items were taken, and why the others were not."""

    accepted: int
    refused: Mapping[int, AppError]
    made: int


class _Series(NamedTuple):
    id: int
    kind: str


@dataclass(slots=True)
class _Known:
    """A tenant's series as far as this process has met them."""

    generation: int
    series: dict[SeriesKey, _Series] = field(default_factory=dict)


class _Made(NamedTuple):
    """The series that are there now, the kinds of their names, and how many of them are new."""

    found: Mapping[SeriesKey, _Series] = {}
    kinds: Mapping[str, str] = {}
    added: int = 0


class _StaleError(Exception):
    """Series were removed since: what is remembered may be among them."""


def key_of(name: str, labels: Mapping[str, str]) -> SeriesKey:
    """What tells a series from all others of its tenant."""
    return (name, *sorted(labels.items())) if labels else (name,)


def labels_key(labels: Mapping[str, Any]) -> str:
    """What tells a set of labels from others, whatever their order was: short, for an index."""
    return hashlib.sha256(_ENCODER.encode(labels)).hexdigest()


class Recording:
    """Takes batches; remembers which number each series has."""

    def __init__(self, settings: MetricsSettings) -> None:
        self._settings = settings
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._allowances: OrderedDict[str, Allowance] = OrderedDict()

    def forget(self, tenant_id: str) -> None:
        """Remember nothing of a tenant's series."""
        self._known.pop(tenant_id, None)

    def leave(self, tenant_id: str) -> None:
        """Remember nothing of a tenant that is gone."""
        self.forget(tenant_id)
        self._allowances.pop(tenant_id, None)

    async def record(
        self,
        database: Database,
        scope: Scope,
        items: Sequence[Item],
        *,
        contends: bool = False,
        answer: Any = lambda _, recorded: recorded,
    ) -> Any:
        """Record what can be, and say of the rest why it cannot; durable when this returns.

        What is recorded is charged to the tenant's day before it is written.

        Args:
            database: For its own transactions: series are made in one before the batch's.
            scope: The caller's.
            items: At most :data:`MAX_ITEMS`.
            contends: As for :meth:`Database.together`.
            answer: Shapes the result within the transaction of the batch.

        Returns:
            What ``answer`` gives of a :class:`Recorded`.

        Raises:
            AppError: Nothing could be recorded: why the first item could not, with all the others'
                reasons in its ``errors``.
            MetricBudgetError: The tenant has not so many observations left today; nothing of it was
                recorded.
        """

        async def finish(tx: Tx, recorded: Recorded, points: int) -> Any:
            tx.audit(RECORDED, f"tenant:{tx.tenant_id}", points=points, made=recorded.made)
            return answer(tx, recorded)

        return await self._record(database, scope, items, finish, contends=contends)

    async def record_derived(
        self,
        database: Database,
        scope: Scope,
        items: Sequence[Item],
        finish: Callable[[Tx], Awaitable[None]],
    ) -> None:
        """The same of what the platform derives, which is nobody's budget and no act of somebody's.

        Args:
            database: For its own transactions.
            scope: Of the tenant.
            items: At most :data:`MAX_ITEMS`, whose names begin with :data:`DERIVED`.
            finish: Done in the transaction that records them.

        Raises:
            AppError: As for :meth:`record`.
        """

        async def end(tx: Tx, *_: Any) -> None:
            await finish(tx)

        await self._record(database, scope, items, end, contends=True, derived=True)

    async def _record(
        self,
        database: Database,
        scope: Scope,
        items: Sequence[Item],
        finish: Callable[[Tx, Recorded, int], Awaitable[Any]],
        *,
        contends: bool,
        derived: bool = False,
    ) -> Any:
        keys = [key_of(item.name, item.labels) for item in items]
        charged = derived
        while True:
            known = await self._known_of(database, scope)
            try:
                made, refused = await self._meet(
                    database, scope, known, items, keys, derived=derived
                )
            except _StaleError:
                self.forget(scope.tenant_id)
                continue
            points = _points(known.series, items, keys, refused, database.clock())
            recorded = Recorded(len(items) - len(refused), refused, made)
            if not recorded.accepted:
                raise _all_refused(refused)
            if not charged:
                await self._charge(database, scope, len(points))
                charged = True
            row = {"points": points.tobytes(), "tenant_id": scope.tenant_id}

            async def add(tx: Tx) -> Any:
                generation = await tx.once("metrics.generation", lambda: _generation(tx))
                if generation != known.generation:  # noqa: B023 - awaited within the turn
                    raise _StaleError
                tx.append(_ADD, [{"id": uuid7(), **row}])  # noqa: B023
                return await finish(tx, recorded, len(points))  # noqa: B023

            try:
                return await database.together(
                    scope, add, contends=contends, size_bytes=points.nbytes
                )
            except _StaleError:
                self.forget(scope.tenant_id)

    async def _charge(self, database: Database, scope: Scope, points: int) -> None:
        allowance = self._allowances.setdefault(scope.tenant_id, Allowance())
        self._allowances.move_to_end(scope.tenant_id)
        if len(self._allowances) > _REMEMBERED_ALLOWANCES:
            self._allowances.popitem(last=False)
        await allowance.charge(database, scope, points, self._settings.day_points)

    async def _known_of(self, database: Database, scope: Scope) -> _Known:
        known = self._known.get(scope.tenant_id)
        if known is None:
            async with database.read(scope) as tx:
                known = _Known(await _generation(tx))
            self._known[scope.tenant_id] = known
            if len(self._known) > _REMEMBERED_TENANTS:
                self._known.popitem(last=False)
        self._known.move_to_end(scope.tenant_id)
        return known

    async def _meet(
        self,
        database: Database,
        scope: Scope,
        known: _Known,
        items: Sequence[Item],
        keys: Sequence[SeriesKey],
        *,
        derived: bool,
    ) -> tuple[int, dict[int, AppError]]:
        """Learn the numbers of all series of a batch, and make those that are new.

        Returns:
            How many are new, and the items that are of no series.
        """
        refused: dict[int, AppError] = {}
        wanted: dict[SeriesKey, list[int]] = {}
        now = database.clock()
        for index, (item, key) in enumerate(zip(items, keys, strict=True)):
            found = known.series.get(key)
            if found is None:
                try:
                    self._check_series(item)
                except InvalidItemError as exc:
                    refused[index] = exc
                    continue
                wanted.setdefault(key, []).append(index)
            problem = _problem(item, found, now, derived=derived)
            if problem is not None:
                refused[index] = problem
        # A series that would come to nothing is not made.
        missing = {
            key: items[at[0]] for key, at in wanted.items() if any(one not in refused for one in at)
        }
        if not missing:
            return 0, refused
        async with database.read(scope) as tx:
            full = await self._look(tx, known, missing)
        made = _Made()
        if any(key not in known.series for key in missing) and not full:
            async with database.transaction(scope) as tx:
                made = await self._make(tx, known, missing, derived=derived)
            # Only now: what is not committed is known to nobody.
            known.series.update(made.found)
        for key, places in wanted.items():
            kind = made.kinds.get(items[places[0]].name, "")
            series = known.series.get(key) or (_Series(0, kind) if kind else None)
            for index in places:
                if index in refused:
                    continue
                if series is not None and series.kind != items[index].kind:
                    refused[index] = _kind_differs(items[index], series)
                elif key not in known.series:
                    refused[index] = TooManySeriesError(
                        f"At most {self._settings.series_per_tenant} series of a tenant; "
                        f"{items[index].name} with these labels would be one more"
                    )
        return made.added, refused

    def _check_series(self, item: Item) -> None:
        if len(item.name) > _MAX_NAME or not _NAME.fullmatch(item.name):
            raise InvalidItemError(
                f"A name matches {_NAME.pattern} and has at most {_MAX_NAME} characters"
            ).at("name")
        most = self._settings.labels_per_series
        if len(item.labels) > most:
            raise InvalidItemError(f"At most {most} labels, not {len(item.labels)}").at("labels")
        longest = self._settings.label_characters
        for name, value in item.labels.items():
            if len(name) > _MAX_NAME or not _LABEL.fullmatch(name) or name.startswith("__"):
                raise InvalidItemError(
                    f"A label's name matches {_LABEL.pattern}, does not begin with __ and has at "
                    f"most {_MAX_NAME} characters"
                ).at("labels")
            if name in _RESERVED:
                raise InvalidItemError(f"The label {name} is Prometheus\u2019 own").at("labels")
            if not 1 <= len(value) <= longest:
                raise InvalidItemError(
                    f"The value of the label {name} has 1 to {longest} characters"
                ).at("labels", name)

    async def _look(self, tx: ReadTx, known: _Known, missing: Mapping[SeriesKey, Item]) -> bool:
        """Learn those that somebody has made; whether there may be no more."""
        known.series.update(await _find(tx, missing))
        count = await tx.scalar(
            sa.select(MetricTenantRow.series).where(MetricTenantRow.tenant_id == tx.tenant_id)
        )
        return (count or 0) >= self._settings.series_per_tenant

    async def _make(
        self, tx: Tx, known: _Known, missing: Mapping[SeriesKey, Item], *, derived: bool
    ) -> "_Made":
        """Make series as far as the tenant may have more, under its lock: the count is exact."""
        row = await make_tenant(tx)
        if row.generation != known.generation:
            raise _StaleError
        found = await _find(tx, missing)
        of_names = await tx.execute(
            sa.select(SeriesRow.name, SeriesRow.kind)
            .where(
                SeriesRow.tenant_id == tx.tenant_id,
                SeriesRow.name.in_({item.name for item in missing.values()}),
            )
            .distinct()
        )
        kinds: dict[str, str] = {name: kind for name, kind in of_names}  # noqa: C416 - rows
        rows = []
        for key, item in missing.items():
            kind = kinds.setdefault(item.name, item.kind)
            if key in found:
                continue
            if kind != item.kind or row.series >= self._settings.series_per_tenant:
                continue
            found[key] = _Series(row.next_id, kind)
            rows.append(_series_row(tx, row.next_id, item))
            row.series += 1
            row.next_id += 1
        await tx.insert(SeriesRow, rows)
        if rows and not derived:
            names = sorted({one["name"] for one in rows})
            tx.audit(
                "metric.extended", f"tenant:{tx.tenant_id}", series=len(rows), names=names[:20]
            )
        return _Made(found, kinds, len(rows))


def _series_row(tx: Tx, number: int, item: Item) -> dict[str, Any]:
    return {
        "tenant_id": tx.tenant_id,
        "id": number,
        "name": item.name,
        "kind": item.kind,
        "labels": item.labels,
        "labels_key": labels_key(item.labels),
        "created_at": tx.now(),
        "last_at": tx.now(),
        "observations": 0,
        "total": 0.0,
        "last_value": None,
    }


async def lock_tenant(tx: Tx) -> MetricTenantRow | None:
    """The tenant's own row, locked until the transaction ends; None while somebody else has it."""
    found: MetricTenantRow | None = await tx.scalar(_tenant(tx).with_for_update(skip_locked=True))
    return found


async def make_tenant(tx: Tx) -> MetricTenantRow:
    """The tenant's own row, made when there is none, and locked until the transaction ends."""
    row = {"tenant_id": tx.tenant_id, "series": 0, "next_id": 1, "generation": 0}
    row |= {"keep_days": None, "swept_at": tx.now(), "updated_at": None, "updated_by": None}
    await tx.insert_missing(MetricTenantRow, [row], conflict=_COUNTERS)
    (found,) = await tx.scalars(_tenant(tx).with_for_update())
    return cast("MetricTenantRow", found)


def _tenant(tx: ReadTx) -> sa.Select[Any]:
    return sa.select(MetricTenantRow).where(MetricTenantRow.tenant_id == tx.tenant_id)


async def _generation(tx: ReadTx) -> int:
    found = await tx.scalar(
        sa.select(MetricTenantRow.generation).where(MetricTenantRow.tenant_id == tx.tenant_id)
    )
    return found or 0


async def _find(tx: ReadTx, wanted: Mapping[SeriesKey, Item]) -> dict[SeriesKey, _Series]:
    keys = {(item.name, labels_key(item.labels)): key for key, item in wanted.items()}
    rows = await tx.execute(
        sa.select(SeriesRow.name, SeriesRow.labels_key, SeriesRow.id, SeriesRow.kind).where(
            SeriesRow.tenant_id == tx.tenant_id,
            SeriesRow.name.in_({name for name, _ in keys}),
            SeriesRow.labels_key.in_({labels for _, labels in keys}),
        )
    )
    return {
        keys[name, labels]: _Series(number, kind)
        for name, labels, number, kind in rows
        if (name, labels) in keys
    }


def _kind_differs(item: Item, series: _Series) -> KindDiffersError:
    return KindDiffersError(f"{item.name} is a {series.kind}, not a {item.kind}").at("kind")


def _problem(
    item: Item, series: _Series | None, now: datetime, *, derived: bool
) -> AppError | None:
    """Why the item's values cannot be recorded; None: they can."""
    if not derived and item.name.startswith(DERIVED):
        said = f"Names that begin with {DERIVED} are of what the platform derives"
        return InvalidItemError(said).at("name")
    if series is not None and series.kind != item.kind:
        return _kind_differs(item, series)
    if item.values is not None:
        if item.kind != "histogram" or item.value is not None or not item.values:
            said = "values are for a histogram, at least one, and then there is no value"
            return InvalidItemError(said).at("values")
        given = item.values
    elif item.value is None:
        return InvalidItemError("A value is required").at("value")
    else:
        given = [item.value]
    least = 0.0 if item.kind == "counter" else -_GREATEST
    for value in given:
        if not least <= value <= _GREATEST:
            said = f"A value lies between {least:g} and {_GREATEST:g}"
            if item.kind == "counter":
                said += "; a counter is told what it grew by"
            return InvalidItemError(said).at("value" if item.values is None else "values")
    if item.at is not None and not now - OLDEST <= item.at <= now + NEWEST:
        return InvalidItemError("A time is at most a day ago, and at most five minutes ahead").at(
            "at"
        )
    return None


def _points(
    series: Mapping[SeriesKey, _Series],
    items: Sequence[Item],
    keys: Sequence[SeriesKey],
    refused: Mapping[int, AppError],
    now: datetime,
) -> Array:
    numbers: list[int] = []
    times: list[int] = []
    values: list[float] = []
    at_once = math.floor(now.timestamp() * 1000)
    for index, (item, key) in enumerate(zip(items, keys, strict=True)):
        if index in refused:
            continue
        number = series[key].id
        at = at_once if item.at is None else math.floor(item.at.timestamp() * 1000)
        given: Iterable[Any] = (item.value,) if item.values is None else item.values
        for value in given:
            numbers.append(number)
            times.append(at)
            values.append(value)
    points = np.empty(len(numbers), POINT)
    points["series"], points["at_ms"], points["value"] = numbers, times, values
    return points


def _all_refused(refused: Mapping[int, AppError]) -> AppError:
    """The first item's reason, with every item's beside it."""
    first = refused[min(refused)]
    return type(first)(
        first.detail,
        errors=[
            {"pointer": f"/body/items/{index}", "detail": f"{one.code}: {one.detail}"}
            for index, one in sorted(refused.items())[:50]
        ],
    )
