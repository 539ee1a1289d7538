"""Rules of a tenant: what it wants to be told of."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal

import sqlalchemy as sa

from backend.core.database import Integrity, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.paging import newest
from backend.managers.alerting._conditions import Condition, read_condition, write_condition
from backend.managers.alerting._counting import EventCondition
from backend.managers.alerting._notes import end_all
from backend.managers.alerting._standing import NEVER, NoData, Timing
from backend.managers.alerting.errors import (
    ConditionInvalidError,
    RuleChangedError,
    RuleExistsError,
    RuleNotFoundError,
    TooManyRulesError,
)
from backend.managers.alerting.models import AlertRuleRow

_load: Final = Loader(AlertRuleRow, RuleNotFoundError, RuleChangedError)

Severity = Literal["critical", "warning", "info"]
MAX_RULES: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDraft:
    """What somebody wants to be told of.

    Attributes:
        name: Unique in the tenant.
        condition: What is looked at.
        severity: How bad it is.
        hold_seconds: How long the condition has to hold before it fires.
        clear_seconds: How long it has to be gone before it is over.
        every_seconds: How often it is looked at, 10 to 3600.
        no_data: What becomes of an alert while the condition cannot be measured.
        labels: That its alerts have besides their own.
        summary: What people are told; ``{value}``, ``{text}`` and ``{<label>}`` are filled in.
        runbook_url: What to do about it.
        enabled: Whether it is looked at.
    """

    name: str
    condition: Condition
    severity: Severity
    hold_seconds: int = 0
    clear_seconds: int = 0
    every_seconds: int = 60
    no_data: NoData = "keep"
    labels: Mapping[str, str] = field(default_factory=dict)
    summary: str = "{text}"
    runbook_url: str = ""
    enabled: bool = True

    @property
    def timing(self) -> Timing:
        """As looks are judged by it."""
        return Timing(
            hold=timedelta(seconds=self.hold_seconds),
            clear_hold=timedelta(seconds=self.clear_seconds),
            no_data=self.no_data,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(RuleDraft):
    """A rule, as it is kept.

    Attributes:
        id: Of its own.
        version: Changes with every change; for ``If-Match``.
        created_at: And by whom; who changed it last likewise.
        looked_at: When it was looked at last; None: never.
        problem: Why the last look could measure nothing; None: it could.
        problem_since: From which look on.
    """

    id: str
    version: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    looked_at: datetime | None
    problem: str | None
    problem_since: datetime | None


class Rules:
    """A tenant's rules.

    Args:
        events: The kinds of events that there are.
    """

    def __init__(self, events: Collection[str] = ()) -> None:
        self._events = frozenset(events)

    async def create(self, tx: Tx, draft: RuleDraft) -> Rule:
        """Have something looked at from now on.

        Raises:
            ConditionInvalidError: It asks for events that nobody tells of.
            RuleExistsError: The name is taken.
            TooManyRulesError: There are ten thousand.
        """
        self._refuse_unknown(draft.condition)
        await self.refuse_too_many(tx, 1)
        row = {
            **_columns(tx, draft),
            "tenant_id": tx.tenant_id,
            "id": uuid7(),
            "revision": 1,
            "created_at": tx.now(),
            "created_by": tx.scope.actor,
            "fence": 0,
            "looked_at": None,
            "problem": None,
            "problem_since": None,
        }
        if not await tx.insert_new(AlertRuleRow, row, conflict=["tenant_id", "name"]):
            raise RuleExistsError().at("name")
        tx.audit("alert_rule.created", f"alert_rule:{row['id']}", name=draft.name)
        return await self.get(tx, str(row["id"]))

    async def refuse_too_many(self, tx: ReadTx, more: int) -> None:
        """Refuse to make so many more.

        Raises:
            TooManyRulesError: There would be more than ten thousand.
        """
        count = sa.select(sa.func.count()).select_from(AlertRuleRow)
        there = int(await tx.scalar(count.where(AlertRuleRow.tenant_id == tx.tenant_id)))
        if there + more > MAX_RULES:
            raise TooManyRulesError(
                f"They are {MAX_RULES:,} at most: delete one that tells nobody anything"
            )

    async def named(self, tx: ReadTx, names: Collection[str]) -> Mapping[str, Rule]:
        """Those with one of these names, some hundreds at most, by their names."""
        rows = await tx.scalars(
            sa.select(AlertRuleRow).where(
                AlertRuleRow.tenant_id == tx.tenant_id, AlertRuleRow.name.in_(sorted(names))
            )
        )
        return {row.name: value_of(row) for row in rows}

    async def get(self, tx: ReadTx, rule_id: str) -> Rule:
        """One of them.

        Raises:
            RuleNotFoundError: No such one in this tenant.
        """
        return value_of(await _load(tx, rule_id))

    async def list(self, tx: ReadTx, *, limit: int, before_id: str | None = None) -> Sequence[Rule]:
        """The newest first, one more than ``limit``."""
        query = sa.select(AlertRuleRow).where(AlertRuleRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, AlertRuleRow.id, limit, before_id))
        return [value_of(row) for row in rows]

    async def replace(
        self, tx: Tx, rule_id: str, draft: RuleDraft, *, expected_version: str | None
    ) -> Rule:
        """Have something else looked at, or otherwise; alerts stand on, unless it is switched off.

        Raises:
            RuleNotFoundError: No such one in this tenant.
            RuleChangedError: Somebody changed it meanwhile.
            RuleExistsError: Another one has the name.
            ConditionInvalidError: It asks for events that nobody tells of.
        """
        self._refuse_unknown(draft.condition)
        row = await _load(tx, rule_id, expected_version=expected_version, lock=True)
        try:
            async with tx.savepoint():
                for name, value in _columns(tx, draft).items():
                    setattr(row, name, value)
                row.revision += 1
                # Whoever looks at it right now looks at what it was.
                row.fence += 1
        except Integrity as exc:
            raise RuleExistsError().at("name") from exc
        if not draft.enabled:
            await end_all(tx, rule_id, text="The rule was switched off")
        tx.audit("alert_rule.changed", f"alert_rule:{rule_id}", name=draft.name)
        return value_of(row)

    async def remove(self, tx: Tx, rule_id: str, *, expected_version: str | None) -> None:
        """Have it looked at no more; its alerts end.

        Raises:
            RuleNotFoundError: No such one in this tenant.
            RuleChangedError: Somebody changed it meanwhile.
        """
        row = await _load(tx, rule_id, expected_version=expected_version, lock=True)
        await end_all(tx, rule_id, text="The rule was deleted")
        tx.audit("alert_rule.deleted", f"alert_rule:{rule_id}", name=row.name)
        await tx.session.delete(row)

    def _refuse_unknown(self, condition: Condition) -> None:
        if isinstance(condition, EventCondition):
            unknown = [kind for kind in condition.kinds if kind not in self._events]
            if unknown:
                raise ConditionInvalidError(f"There are no events of the kind {unknown[0]}").at(
                    "condition.kinds"
                )


def _columns(tx: Tx, draft: RuleDraft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "condition": write_condition(draft.condition),
        "severity": draft.severity,
        "hold_seconds": draft.hold_seconds,
        "clear_seconds": draft.clear_seconds,
        "every_seconds": draft.every_seconds,
        "no_data": draft.no_data,
        "labels": dict(draft.labels),
        "summary": draft.summary,
        "runbook_url": draft.runbook_url,
        "enabled": draft.enabled,
        "updated_at": tx.now(),
        "updated_by": tx.scope.actor,
        "next_at": tx.now() if draft.enabled else NEVER,
    }


def value_of(row: AlertRuleRow) -> Rule:
    """A row as a value."""
    return Rule(
        id=row.id,
        name=row.name,
        condition=read_condition(row.condition),
        severity=row.severity,  # type: ignore[arg-type]  # drafts have no others
        hold_seconds=row.hold_seconds,
        clear_seconds=row.clear_seconds,
        every_seconds=row.every_seconds,
        no_data=row.no_data,  # type: ignore[arg-type]  # likewise
        labels=row.labels,
        summary=row.summary,
        runbook_url=row.runbook_url,
        enabled=row.enabled,
        version=str(row.revision),
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        looked_at=row.looked_at,
        problem=row.problem,
        problem_since=row.problem_since,
    )
