"""Objectives: what a tenant promises itself, and how it stands.

How it stands is read from counts (:mod:`backend.managers.monitoring._outcomes`), never measured
when somebody asks: who looks often costs no more, and all who look are told the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final, Literal, get_args

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.paging import newest
from backend.managers.monitoring import _outcomes
from backend.managers.monitoring._budget import (
    NOTHING,
    Budget,
    Burn,
    Counted,
    Judgement,
    budget_of,
    burns_of,
    judge,
)
from backend.managers.monitoring._outcomes import EventOutcomes
from backend.managers.monitoring.errors import (
    SloChangedError,
    SloExistsError,
    SloInvalidError,
    SloNotFoundError,
    TooManySlosError,
)
from backend.managers.monitoring.models import SloRow

_load: Final = Loader(SloRow, SloNotFoundError)

SloKind = Literal["availability", "latency", "success", "freshness"]
SLO_KINDS: Final[tuple[SloKind, ...]] = get_args(SloKind)
REQUESTS: Final = "requests"
METRIC: Final = "metric"
MAX_SLOS: Final = 50
"""Of a tenant: a clock measures each of them every minute."""
_NEEDS: Final[Mapping[str, frozenset[str]]] = {
    "availability": frozenset(),
    "latency": frozenset({"within_ms"}),
    "success": frozenset({"of"}),
    "freshness": frozenset({"metric", "within_seconds"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SloDraft:
    """What is promised.

    Attributes:
        name: Unique in the tenant.
        kind: ``availability``: requests that the platform serves; ``latency``: requests that last
            ``within_ms`` at most; ``success``: of what ``of`` names, what ends well; ``freshness``:
            looks at which ``metric`` was recorded in the last ``within_seconds``.
        objective: Share that has to be good, between 0 and 1, both excluded.
        window_days: 7, 28, 30 or 90.
        of: What events tell the end of, or ``metric``: the counter ``good_metric`` of ``metric``.
        metric: A metric's name.
        good_metric: Of a counter.
        within_ms: Milliseconds.
        within_seconds: Seconds.
    """

    name: str
    kind: SloKind
    objective: float
    window_days: int
    of: str | None = None
    metric: str | None = None
    good_metric: str | None = None
    within_ms: float | None = None
    within_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """An objective, as it is kept; ``source`` is what is counted."""

    id: str
    name: str
    kind: SloKind
    source: str
    metric: str | None = None
    good_metric: str | None = None
    within_ms: float | None = None
    within_seconds: float | None = None
    objective: float
    window_days: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    measured_until: datetime | None = None
    problem: str | None = None

    @property
    def version(self) -> str:
        """Changes with every change of what is promised; for ``If-Match``."""
        return f"{int(self.updated_at.timestamp() * 1_000_000):x}"

    @property
    def is_measured_by_clock(self) -> bool:
        """Whether its counts are its own, looked up again and again."""
        return self.source in {REQUESTS, METRIC}

    @property
    def counted(self) -> str:
        """Under which its counts stand."""
        return self.id if self.is_measured_by_clock else self.source

    @property
    def of(self) -> str | None:
        """As it was asked for."""
        return None if self.kind != "success" else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class SloStanding:
    """How an objective stands.

    Attributes:
        slo: Which.
        judgement: What is said of it.
        counted: In its window.
        before: In the window before that.
        budget: What may go wrong.
        measured_until: Until when it was looked at; None: never.
        burns: Pairs of windows, where one objective is asked for.
        days: Each day of the window, likewise.
    """

    slo: Slo
    judgement: Judgement
    counted: Counted
    before: Counted
    budget: Budget
    measured_until: datetime | None
    burns: Sequence[Burn] = ()
    days: Sequence[tuple[datetime, Counted]] = field(default_factory=list)


class Slos:
    """A tenant's objectives."""

    def __init__(self, events: EventOutcomes) -> None:
        self._events = events

    async def create(self, tx: Tx, draft: SloDraft) -> Slo:
        """Promise something.

        Raises:
            SloInvalidError: The kind needs something else.
            SloExistsError: The name is taken.
            TooManySlosError: There are fifty.
        """
        source = self._source(draft)
        count = sa.select(sa.func.count()).select_from(SloRow)
        if await tx.scalar(count.where(SloRow.tenant_id == tx.tenant_id)) >= MAX_SLOS:
            raise TooManySlosError(f"They are {MAX_SLOS}: delete one that nobody looks at")
        row: dict[str, Any] = {
            **_columns(draft, source),
            "tenant_id": tx.tenant_id,
            "id": uuid7(),
            "created_at": tx.now(),
            "created_by": tx.scope.actor,
            "updated_at": tx.now(),
            "measured_until": None,
            "problem": None,
        }
        if not await tx.insert_new(SloRow, row, conflict=["tenant_id", "name"]):
            raise SloExistsError().at("name")
        _tell(tx, "created", row)
        return await self.get(tx, row["id"])

    async def get(self, tx: ReadTx, slo_id: str) -> Slo:
        """One objective.

        Raises:
            SloNotFoundError: No such one in this tenant.
        """
        return _value(await _load(tx, slo_id))

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[SloStanding]:
        """How the objectives stand, the newest first, one more than ``limit``."""
        query = sa.select(SloRow).where(SloRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, SloRow.id, limit, before_id))
        return await self.stand(tx, [_value(row) for row in rows])

    async def list_by_clock(self, tx: ReadTx) -> Sequence[Slo]:
        """The tenant's objectives that a clock measures; fifty at most."""
        rows = await tx.scalars(
            sa.select(SloRow)
            .where(SloRow.tenant_id == tx.tenant_id, SloRow.source.in_([REQUESTS, METRIC]))
            .order_by(SloRow.id)
        )
        return [_value(row) for row in rows]

    async def describe(self, tx: ReadTx, slo_id: str) -> SloStanding:
        """How one stands, with its burn rates and days.

        Raises:
            SloNotFoundError: No such one in this tenant.
        """
        found = await self.stand(tx, [await self.get(tx, slo_id)])
        return await with_days(tx, found[0])

    async def replace(
        self, tx: Tx, slo_id: str, draft: SloDraft, *, expected_version: str | None = None
    ) -> Slo:
        """Promise something else; what was counted stays as far as it is still what is counted.

        Raises:
            SloNotFoundError: No such one in this tenant.
            SloChangedError: It is not the expected version any more.
            SloInvalidError: The kind needs something else.
            SloExistsError: Another one has the name.
        """
        row = await _load(tx, slo_id, lock=True)
        if expected_version is not None and expected_version != _value(row).version:
            raise SloChangedError
        values = _columns(draft, self._source(draft))
        same_name = sa.select(SloRow.id).where(
            SloRow.tenant_id == tx.tenant_id, SloRow.name == draft.name, SloRow.id != slo_id
        )
        if await tx.scalar(same_name):
            raise SloExistsError().at("name")
        kept = {"name", "objective", "window_days"}
        if any(getattr(row, name) != value for name, value in values.items() if name not in kept):
            await _outcomes.forget(tx, slo_id)
            values |= {"measured_until": None, "problem": None}
        values["updated_at"] = tx.now()
        await tx.execute(
            sa.update(SloRow)
            .where(SloRow.tenant_id == tx.tenant_id, SloRow.id == slo_id)
            .values(**values)
        )
        _tell(tx, "changed", {**values, "id": slo_id})
        return await self.get(tx, slo_id)

    async def remove(self, tx: Tx, slo_id: str) -> None:
        """Promise it no more, and forget what was counted for it.

        Raises:
            SloNotFoundError: No such one in this tenant.
        """
        row = await _load(tx, slo_id, lock=True)
        name = row.name
        await _outcomes.forget(tx, slo_id)
        await tx.execute(
            sa.delete(SloRow).where(SloRow.tenant_id == tx.tenant_id, SloRow.id == slo_id)
        )
        tx.audit("slo.deleted", f"slo:{slo_id}", name=name)

    async def stand(self, tx: ReadTx, slos: Sequence[Slo]) -> Sequence[SloStanding]:
        """How these stand, in a handful of statements however many they are."""
        by_event = any(not one.is_measured_by_clock for one in slos)
        until = await self._events.counted_until(tx) if by_event else None
        return await stand(
            tx, [(one, one.measured_until if one.is_measured_by_clock else until) for one in slos]
        )

    def _source(self, draft: SloDraft) -> str:
        given = {
            name
            for name in ("of", "metric", "good_metric", "within_ms", "within_seconds")
            if getattr(draft, name) is not None
        }
        needs = _NEEDS[draft.kind]
        if draft.kind == "success" and draft.of == METRIC:
            needs |= {"metric", "good_metric"}
        for name in sorted(needs - given):
            raise SloInvalidError(f"{draft.kind} needs {name}").at(name)
        for name in sorted(given - needs):
            raise SloInvalidError(f"{draft.kind} has no {name}").at(name)
        if draft.kind == "freshness":
            return METRIC
        if draft.of is None:
            return REQUESTS
        if draft.of not in {*self._events.names, METRIC}:
            names = ", ".join([*self._events.names, METRIC])
            raise SloInvalidError(f"There is success of {names}").at("of")
        return draft.of


async def stand(tx: ReadTx, slos: Sequence[tuple[Slo, datetime | None]]) -> Sequence[SloStanding]:
    """How objectives stand that are measured until a time each; None: never."""
    names = sorted({slo.counted for slo, _ in slos})
    if not names:
        return []
    burning = await _outcomes.read_burning(tx, names)
    windows = {
        days: await _outcomes.read_windows(tx, names, days)
        for days in sorted({slo.window_days for slo, _ in slos})
    }
    found = []
    for slo, until in slos:
        counted, before = windows[slo.window_days].get(slo.counted, (NOTHING, NOTHING))
        burns = burns_of(burning[slo.counted], slo.objective, slo.window_days)
        said = judge(counted, burns, slo.objective, measured_until=until, now=tx.now())
        if said.state == "not_measured" and slo.problem:
            said = Judgement(said.state, slo.problem, said.since)
        found.append(
            SloStanding(
                slo=slo,
                judgement=said,
                counted=counted,
                before=before,
                budget=budget_of(counted, slo.objective),
                measured_until=until,
                burns=burns,
            )
        )
    return found


async def with_days(tx: ReadTx, standing: SloStanding) -> SloStanding:
    """The same with each day of its window."""
    days = await _outcomes.read_days(tx, standing.slo.counted, standing.slo.window_days)
    given = {one.name: getattr(standing, one.name) for one in fields(SloStanding)}
    return SloStanding(**{**given, "days": days})


def _columns(draft: SloDraft, source: str) -> dict[str, Any]:
    names = [one.name for one in fields(SloDraft) if one.name != "of"]
    return {**{name: getattr(draft, name) for name in names}, "source": source}


def _value(row: SloRow) -> Slo:
    return Slo(**{one.name: getattr(row, one.name) for one in fields(Slo)})


def _tell(tx: Tx, what: str, row: Mapping[str, Any]) -> None:
    # The trail holds no floats: not all programs write one alike.
    tx.audit(
        f"slo.{what}",
        f"slo:{row['id']}",
        name=row["name"],
        kind=row["kind"],
        objective=f"{row['objective']:g}",
        window_days=row["window_days"],
    )
