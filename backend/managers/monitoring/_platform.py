"""The platform's own objectives, and the evidence for those that nobody can count all day.

A failover is not measured by waiting for one: a drill measures it, and what it found is worth as
much as its date says. Without evidence an objective is not measured, and old evidence is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.managers.monitoring._budget import Judgement, as_percent
from backend.managers.monitoring._outcomes import (
    FAST_MS,
    FAST_REQUESTS,
    LOOKS,
    SERVED_REQUESTS,
    EventOutcomes,
    looked_until,
)
from backend.managers.monitoring._slos import Slo, SloKind, SloStanding, stand, with_days
from backend.managers.monitoring.errors import EvidenceTimeError
from backend.managers.monitoring.models import EvidenceRow

EvidenceKind = Literal["throughput", "failover", "recovery", "security_incidents"]
PlatformSloWord = Literal[
    "latency",
    "errors",
    "uptime",
    "sign_ins",
    "workflows",
    "throughput",
    "failover",
    "recovery",
    "security_incidents",
]
GOOD_FOR: Final = timedelta(days=90)
"""After so long a drill is to be repeated: what it was made on has changed since."""
_AHEAD: Final = timedelta(minutes=5)
_SHIPPED: Final = datetime(2026, 12, 5, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a drill, a benchmark or a person found, and when."""

    id: str
    kind: EvidenceKind
    value: float
    at: datetime
    source: str
    note: str
    created_at: datetime
    created_by: str


@dataclass(frozen=True, slots=True)
class Target:
    """An objective that evidence decides on."""

    id: EvidenceKind
    name: str
    target: float
    unit: str
    at_least: bool
    evidence: str

    def judge(self, found: Evidence | None, now: datetime) -> Judgement:
        """What is said of it."""
        if found is None:
            return Judgement("not_measured", f"No {self.evidence} has been recorded.")
        if now - found.at > GOOD_FOR:
            said = f"The last {self.evidence} is of {found.at:%Y-%m-%d}: it is to be repeated."
            return Judgement("not_measured", said, found.at + GOOD_FOR)
        met = found.value >= self.target if self.at_least else found.value <= self.target
        if met:
            return Judgement("met", "")
        said = f"The {self.evidence} of {found.at:%Y-%m-%d} found {found.value:g} {self.unit}."
        return Judgement("missed", said)


TARGETS: Final = (
    Target("throughput", "Throughput", 1000, "requests/s", at_least=True, evidence="benchmark"),
    Target("failover", "Failover", 30, "s", at_least=False, evidence="drill"),
    Target("recovery", "Recovery", 120, "s", at_least=False, evidence="drill"),
    Target(
        "security_incidents",
        "Security incidents",
        0,
        "incidents",
        at_least=False,
        evidence="review",
    ),
)


def _counted(
    slo_id: str,
    name: str,
    kind: SloKind,
    *,
    of: str,
    objective: float,
    within: float | None = None,
) -> Slo:
    return Slo(
        id=slo_id,
        name=name,
        kind=kind,
        source=of,
        within_ms=within,
        objective=objective,
        window_days=30,
        created_at=_SHIPPED,
        created_by="system",
        updated_at=_SHIPPED,
    )


BY_PROCESSES: Final = (
    _counted("latency", "API p95", "latency", of=FAST_REQUESTS, objective=0.95, within=FAST_MS),
    _counted("errors", "API requests served", "availability", of=SERVED_REQUESTS, objective=0.999),
    _counted("uptime", "Uptime", "availability", of=LOOKS, objective=0.999),
)
BY_EVENTS: Final = (
    _counted("sign_ins", "Sign-ins that succeed", "success", of="sign_ins", objective=0.9999),
    _counted("workflows", "Workflows that succeed", "success", of="workflows", objective=0.99),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformSlo:
    """One of the platform's own objectives.

    Attributes:
        id: A word that stays.
        name: For people.
        target: Likewise.
        unit: Of the values: ``share``, or what evidence is in.
        value: As it is; None: not measured.
        value_before: In the window before, or of the evidence before.
        judgement: What is said of it.
        evidence: What decides, where that is no count.
        standing: What is counted, where it is.
    """

    id: str
    name: str
    target: str
    unit: str
    value: float | None
    value_before: float | None
    judgement: Judgement
    evidence: Evidence | None = None
    standing: SloStanding | None = None


class PlatformSlos:
    """How the platform's own objectives stand; all under the errand of the platform."""

    def __init__(self, events: EventOutcomes) -> None:
        self._events = events

    async def list(self, tx: ReadTx) -> Sequence[PlatformSlo]:
        """All of them, in the order in which they are shown."""
        seen = await looked_until(tx)
        told = await self._events.counted_until(tx)
        known = set(self._events.names)
        unknown = "Nothing tells yet how they end."
        measured = [(slo, seen) for slo in BY_PROCESSES] + [
            (slo, told) if slo.source in known else (replace(slo, problem=unknown), None)
            for slo in BY_EVENTS
        ]
        by_count = [_of_count(one) for one in await stand(tx, measured)]
        by_evidence = [await _of_evidence(tx, one) for one in TARGETS]
        return [*by_count, *by_evidence]

    async def describe(self, tx: ReadTx, word: PlatformSloWord) -> PlatformSlo:
        """One of them, with the days of its window where it is counted."""
        found = next(one for one in await self.list(tx) if one.id == word)
        if found.standing is None:
            return found
        return replace(found, standing=await with_days(tx, found.standing))


def _of_count(standing: SloStanding) -> PlatformSlo:
    slo = standing.slo
    within = f" within {slo.within_ms:g} ms" if slo.within_ms else ""
    return PlatformSlo(
        id=slo.id,
        name=slo.name,
        target=f"{as_percent(slo.objective)}{within}",
        unit="share",
        value=standing.counted.share,
        value_before=standing.before.share,
        judgement=standing.judgement,
        standing=standing,
    )


async def _of_evidence(tx: ReadTx, target: Target) -> PlatformSlo:
    found = await latest_two(tx, target.id)
    newest_one = found[0] if found else None
    side = "at least" if target.at_least else "at most"
    return PlatformSlo(
        id=target.id,
        name=target.name,
        target=f"{side} {target.target:g} {target.unit}",
        unit=target.unit,
        value=None if newest_one is None else newest_one.value,
        value_before=found[1].value if len(found) > 1 else None,
        judgement=target.judge(newest_one, tx.now()),
        evidence=newest_one,
    )


async def record(
    tx: Tx, *, kind: EvidenceKind, value: float, at: datetime, source: str, note: str
) -> Evidence:
    """Keep what was found; audited as ``evidence.recorded``.

    Raises:
        EvidenceTimeError: It was found later than now.
    """
    if at > tx.now() + _AHEAD:
        raise EvidenceTimeError().at("at")
    row = EvidenceRow(
        tenant_id=tx.tenant_id,
        id=uuid7(),
        kind=kind,
        value=value,
        at=at,
        source=source,
        note=note,
        created_at=tx.now(),
        created_by=tx.scope.actor,
    )
    tx.session.add(row)
    tx.audit(
        "evidence.recorded", f"evidence:{row.id}", kind=kind, value=f"{value:g}", source=source
    )
    return _value(row)


async def read(
    tx: ReadTx, *, limit: int, before_id: str | None = None, kind: EvidenceKind | None = None
) -> Sequence[Evidence]:
    """What was recorded, the newest first, one more than ``limit``."""
    query = sa.select(EvidenceRow).where(EvidenceRow.tenant_id == tx.tenant_id)
    if kind is not None:
        query = query.where(EvidenceRow.kind == kind)
    return [
        _value(row) for row in await tx.scalars(newest(query, EvidenceRow.id, limit, before_id))
    ]


async def latest_two(tx: ReadTx, kind: EvidenceKind) -> Sequence[Evidence]:
    """What was found last, and before that, by the days of finding."""
    rows = await tx.scalars(
        sa.select(EvidenceRow)
        .where(EvidenceRow.tenant_id == tx.tenant_id, EvidenceRow.kind == kind)
        .order_by(EvidenceRow.at.desc(), EvidenceRow.id.desc())
        .limit(2)
    )
    return [_value(row) for row in rows]


def _value(row: EvidenceRow) -> Evidence:
    return Evidence(**{one.name: getattr(row, one.name) for one in fields(Evidence)})
