"""What happened, counted: events of some kinds, and acts that the trail records.

The trail has an index by act, so any stretch of it is counted. Events have none by kind, which each
of them would pay for: the newest twenty thousand of a window are looked at, and where there are
more a count that more could change is not measured.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec import Meta

from backend.core.audit import AuditRecord
from backend.core.database import ReadTx
from backend.core.events import EventRecord
from backend.core.paging import Made
from backend.managers.alerting._finding import (
    MAX_FINDINGS,
    Asked,
    Comparison,
    Finding,
    Reckoning,
    Senses,
    Text,
    Window,
    at_once,
    compares,
    judged,
    span,
)
from backend.managers.alerting._standing import Seen

MAX_COUNT: Final = 10_000
_LOOKED_AT: Final = 20_000
_GROWS: Final = frozenset({">", ">="})

_Where = Annotated[dict[str, tuple[str, ...]], Meta(max_length=5)]
Kinds = Annotated[
    tuple[Annotated[str, Meta(min_length=3, max_length=100)], ...],
    Meta(min_length=1, max_length=20),
]


class _Happened(NamedTuple):
    who: str
    data: Mapping[str, Any]


class _Counted(Asked, frozen=True, kw_only=True):
    """What events and acts have in common.

    Attributes:
        where: What members of their data are one of, as text. Of those that say ``count`` each
            is so many.
    """

    absent: ClassVar[Seen] = Seen.GONE

    compare: Comparison
    threshold: Annotated[int, Meta(ge=0, le=MAX_COUNT)]
    window_seconds: Window = 300
    where: _Where = msgspec.field(default_factory=dict)

    def _judge(
        self, told: Sequence[str], by: str | None, found: Sequence[_Happened], *, complete: bool
    ) -> Reckoning:
        counts: Counter[str] = Counter()
        for one in found:
            if all(_as_text(one.data.get(name)) in said for name, said in self.where.items()):
                counts[one.who] += _count_of(one.data)
        said = f"{', '.join(told)} in {span(self.window_seconds)}"
        most = counts.total() if by is None else max(counts.values(), default=0)
        sure = self.compare in _GROWS and compares(most, self.compare, self.threshold)
        if not (complete or sure):
            text = f"There were too many to count {said}: take a shorter window"
            return at_once(Finding(Seen.NOTHING, text))
        if by is None or not counts:
            total = counts.total()
            return at_once(judged(f"{total} of {said}", total, self.compare, self.threshold))
        return at_once(
            *(
                judged(
                    f"{count} of {said} by {who}", count, self.compare, self.threshold, {by: who}
                )
                for who, count in counts.most_common(MAX_FINDINGS)
            )
        )


def _refuse_none_by(by: str | None, compare: Comparison) -> None:
    """Whoever did nothing is not listed, so nobody can be found to have done too little."""
    if by is not None and compare not in _GROWS:
        msg = f"By {by} it has to be > or >="
        raise ValueError(msg)


def _as_text(value: object) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _count_of(data: Mapping[str, Any]) -> int:
    """Of what comes in floods one record tells of many."""
    count = data.get("count", 1)
    return count if isinstance(count, int) and count > 0 else 1


class EventCondition(_Counted, frozen=True, kw_only=True, tag="event"):
    """How many events of some kinds there were; with ``by`` for each subject or actor."""

    kinds: Kinds
    subject: Text | None = None
    by: Literal["subject", "actor"] | None = None

    def __post_init__(self) -> None:
        """Refuse what could find nothing."""
        _refuse_none_by(self.by, self.compare)

    async def look(self, tx: ReadTx, _senses: Senses, _: datetime) -> Reckoning:
        """Count those of the window."""
        made = Made(EventRecord.at, tx.now() - timedelta(seconds=self.window_seconds))
        within = [EventRecord.tenant_id == tx.tenant_id, *made.about(EventRecord.id)]
        floor = await tx.scalar(
            sa.select(EventRecord.id)
            .where(*within)
            .order_by(EventRecord.id.desc())
            .offset(_LOOKED_AT)
            .limit(1)
        )
        if floor is not None:
            within.append(EventRecord.id > floor)
        who = EventRecord.actor if self.by == "actor" else EventRecord.subject
        asked = sa.select(who, EventRecord.data).where(
            *within, *made.exactly(), EventRecord.kind.in_(self.kinds)
        )
        if self.subject is not None:
            asked = asked.where(EventRecord.subject == self.subject)
        found = [_Happened(*row) for row in await tx.execute(asked)]
        return self._judge(self.kinds, self.by, found, complete=floor is None)


class AuditCondition(_Counted, frozen=True, kw_only=True, tag="audit"):
    """How many acts the trail has; with ``by`` of each actor, or on each target."""

    actions: Kinds
    actor: Text | None = None
    target: Text | None = None
    by: Literal["actor", "target"] | None = None

    def __post_init__(self) -> None:
        """Refuse what could find nothing."""
        _refuse_none_by(self.by, self.compare)

    async def look(self, tx: ReadTx, _senses: Senses, _: datetime) -> Reckoning:
        """Count those of the window, of each act the newest ten thousand."""
        made = Made(AuditRecord.at, tx.now() - timedelta(seconds=self.window_seconds))
        who = AuditRecord.target if self.by == "target" else AuditRecord.actor
        found: list[_Happened] = []
        complete = True
        # An act at a time: together they are a range of the index that has no order of its own.
        for action in self.actions:
            asked = sa.select(who, AuditRecord.data).where(
                AuditRecord.tenant_id == tx.tenant_id,
                AuditRecord.action == action,
                *made.about(AuditRecord.id),
                *made.exactly(),
            )
            if self.actor is not None:
                asked = asked.where(AuditRecord.actor == self.actor)
            if self.target is not None:
                asked = asked.where(AuditRecord.target == self.target)
            asked = asked.order_by(AuditRecord.action.desc(), AuditRecord.id.desc())
            rows = [_Happened(*row) for row in await tx.execute(asked.limit(MAX_COUNT))]
            complete = complete and len(rows) < MAX_COUNT
            found += rows
        return self._judge(self.actions, self.by, found, complete=complete)
