"""Graphs of what a rule looked at, for mail that says it fires.

A picture is worth no delay: what has no history, or is not read within some seconds, has none, and
the mail goes without.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, ReadTx
from backend.core.errors import AppError
from backend.kit.graph_picture import Graph, draw
from backend.managers.alerting._finding import History, Senses
from backend.managers.alerting._rules import Rule, value_of
from backend.managers.alerting.errors import NoHistoryError
from backend.managers.alerting.models import AlertRow, AlertRuleRow

MAX_PICTURES: Final = 3
"""Of one mail."""
_SECONDS: Final = 5.0
_HOURS: Final = timedelta(hours=3)
_LEAST_POINTS: Final = 24

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, and the same in words."""

    data: bytes
    words: str


class Picturing:
    """Draws what rules looked at."""

    def __init__(self, senses: Callable[[Database], Senses]) -> None:
        self._senses = senses

    async def of(
        self, database: Database, scope: Scope, alerts: Sequence[Mapping[str, Any]]
    ) -> Mapping[str, Picture]:
        """Pictures of the first alerts that have one, by their ids; never an error."""
        found: dict[str, Picture] = {}
        ids = sorted({one["id"] for one in alerts if "id" in one})
        if not ids:
            return found
        try:
            async with asyncio.timeout(_SECONDS):
                async with database.read(scope) as view:
                    rules = await _rules(view, ids)
                # A rule that fires for several is asked once.
                histories: dict[str, History | None] = {}
                for alert in alerts:
                    if len(found) == MAX_PICTURES:
                        break
                    rule = rules.get(alert.get("id", ""))
                    if rule is None:
                        continue
                    if rule.id not in histories:
                        histories[rule.id] = await self._read(database, scope, rule)
                    picture = await _draw(histories[rule.id], alert)
                    if picture:
                        found[alert["id"]] = picture
        except TimeoutError:
            logger.warning("alert_picture_left_out", extra={"cause": "it took too long"})
        except AppError as exc:
            logger.warning("alert_picture_left_out", extra={"cause": exc.code})
        except Exception:
            logger.exception("alert_picture_failed")
        return found

    async def _read(self, database: Database, scope: Scope, rule: Rule) -> History | None:
        """What a rule measured lately; None: what it asks is known of the present alone."""
        step = max(rule.every_seconds, getattr(rule.condition, "window_seconds", 0))
        long = max(_HOURS, timedelta(seconds=step * _LEAST_POINTS))
        try:
            async with database.read(scope) as view:
                senses = self._senses(database)
                since = view.now() - long
                asked = await rule.condition.history(view, senses, since, rule.every_seconds)
            return await asked()
        except NoHistoryError:
            return None


async def _draw(history: History | None, alert: Mapping[str, Any]) -> Picture | None:
    graph = None if history is None else _graph(history, alert)
    if graph is None:
        return None
    data = await asyncio.to_thread(draw, graph)
    return None if data is None else Picture(data, graph.words)


async def _rules(view: ReadTx, alert_ids: Sequence[str]) -> Mapping[str, Rule]:
    """The rules of alerts, by the ids of these."""
    rows = await view.execute(
        sa.select(AlertRow.id, AlertRuleRow)
        .join(
            AlertRuleRow,
            sa.and_(
                AlertRuleRow.tenant_id == AlertRow.tenant_id, AlertRuleRow.id == AlertRow.rule_id
            ),
        )
        .where(AlertRow.tenant_id == view.tenant_id, AlertRow.id.in_(alert_ids))
    )
    return {alert_id: value_of(row) for alert_id, row in rows}


def _graph(history: History, alert: Mapping[str, Any]) -> Graph | None:
    labels = alert["labels"].items()
    fitting = [line for line in history.lines if line[0].items() <= labels]
    if not fitting:
        return None
    # Of several that fit, the one that says the most of it.
    of, points = max(fitting, key=lambda line: len(line[0]))
    said = ", ".join(f"{name} = {value}" for name, value in sorted(of.items()))
    fired_at = alert.get("fired_at")
    return Graph(
        title=f"{alert['name']}: {said}" if said else str(alert["name"]),
        start_at=history.start_at,
        step_seconds=history.step_seconds,
        points=points,
        threshold=history.threshold,
        marked_at=datetime.fromisoformat(fired_at) if fired_at else None,
        mark="fired",
    )
