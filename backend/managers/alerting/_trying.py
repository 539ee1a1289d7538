"""What a rule would have done: its condition over days that are over, by the looks' own judgement.

A look asks of a window that ends with it. Here the days are cut into windows that do not overlap,
and each is one look: so a rule that looks more often than its window is long would have fired up
to a window earlier.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from backend.core.context import Scope
from backend.core.database import Database
from backend.managers.alerting._finding import History, Senses
from backend.managers.alerting._rules import RuleDraft
from backend.managers.alerting._standing import Seen, Standing, Turn, look

MAX_TOLD: Final = 100


@dataclass(frozen=True, slots=True)
class Firing:
    """One alert that would have been; ``ended_at`` is None where it would fire now."""

    since: datetime
    fired_at: datetime
    ended_at: datetime | None
    value: float | None


@dataclass(frozen=True, slots=True)
class TriedLine:
    """One set of labels: what was measured, and the alerts, the newest hundred in order."""

    labels: Mapping[str, str]
    points: Sequence[float | None]
    firings: Sequence[Firing]
    firings_left_out: int


@dataclass(frozen=True, slots=True)
class Tried:
    """What a rule would have done.

    Attributes:
        start_at: When the first point begins.
        step_seconds: From a look to the next.
        complete: Whether all was counted; else what is older is not measured.
        lines: Of each set of labels, twenty at most.
    """

    start_at: datetime
    step_seconds: int
    complete: bool
    lines: Sequence[TriedLine]


async def try_out(
    database: Database, scope: Scope, senses: Senses, draft: RuleDraft, *, days: int
) -> Tried:
    """Look over the last ``days`` as the rule would have; nothing is kept.

    Raises:
        NoHistoryError: What its condition asks is known of the present alone.
        AppError: It cannot be asked for, and why.
    """
    async with database.read(scope) as tx:
        since = tx.now() - timedelta(days=days)
        asked = await draft.condition.history(tx, senses, since, draft.every_seconds)
    history = await asked()
    # Twenty lines of two thousand looks: too long for everybody else's loop.
    return await senses.metrics.turns.run(scope.tenant_id, lambda: judge(draft, history))


def judge(draft: RuleDraft, history: History) -> Tried:
    """What a rule would have made of what was measured."""
    return Tried(
        history.start_at,
        history.step_seconds,
        history.complete,
        [_judge_line(draft, history, labels, points) for labels, points in history.lines],
    )


def _judge_line(
    draft: RuleDraft,
    history: History,
    labels: Mapping[str, str],
    points: Sequence[float | None],
) -> TriedLine:
    timing = draft.timing
    standing: Standing | None = None
    firings: list[Firing] = []
    for number, value in enumerate(points, 1):
        # A look is at the end of its window.
        at = history.start_at + timedelta(seconds=number * history.step_seconds)
        seen = Seen.NOTHING if value is None else history.seen(value)
        standing, turn = look(standing, seen, timing, at)
        if turn is Turn.FIRED and standing is not None:
            firings.append(Firing(standing.since, at, None, value))
        elif turn is Turn.RESOLVED:
            firings[-1] = replace(firings[-1], ended_at=at)
    told = firings[-MAX_TOLD:]
    return TriedLine(labels, points, told, len(firings) - len(told))
