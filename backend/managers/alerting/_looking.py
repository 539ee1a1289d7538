"""The clock's work: rules that are due are looked at, each by one process, and alerts change.

Any number of processes take rules, some of some tenants at a time, so that ten thousand of one
tenant keep nobody else waiting for longer than its own turn. What is taken is put off by a lease: a
process that dies leaves a look late, and what it found in the meantime no longer counts.
"""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import uuid7
from backend.managers.alerting._conditions import Condition, look
from backend.managers.alerting._finding import MAX_FINDINGS, Finding, Reckoning, Senses
from backend.managers.alerting._matching import fingerprint
from backend.managers.alerting._notes import end, note, tell
from backend.managers.alerting._rounds import Rounds
from backend.managers.alerting._rules import Rule, RuleDraft, value_of
from backend.managers.alerting._standing import NEVER, Seen, Standing, Turn
from backend.managers.alerting._standing import look as stand
from backend.managers.alerting._trying import Tried, try_out
from backend.managers.alerting.errands import LOOKING
from backend.managers.alerting.models import AlertRow, AlertRuleRow

LOOK_SECONDS: Final = 5.0
SHARE: Final = 50
"""Rules of a tenant that are taken at once."""
_ROUNDS: Final = 20
_LEASE: Final = timedelta(seconds=60)
_DEADLINE: Final = 40.0
_RECKONING: Final = 25.0
"""Seconds after which what is not reckoned yet is not measured, and all else counts."""
_RECKONED_AT_ONCE: Final = 8
_PLACE: Final = re.compile(r"\{(\w[\w.]{0,99})\}")
_MAX_SUMMARY: Final = 2000


@dataclass(frozen=True, slots=True)
class Looked:
    """How much a round of looks came to."""

    rules: int = 0
    fired: int = 0
    resolved: int = 0

    def __add__(self, other: "Looked") -> "Looked":
        return Looked(
            self.rules + other.rules, self.fired + other.fired, self.resolved + other.resolved
        )


@dataclass(frozen=True, slots=True)
class _Taken:
    """A rule that is ours to look at until another has its fence."""

    rule: Rule
    fence: int


class Looking:
    """Takes what is due, looks, and tells what came of it."""

    def __init__(self, senses: Callable[[Database], Senses]) -> None:
        self._senses = senses
        self._rounds = Rounds(LOOKING, AlertRuleRow.next_at)

    async def run(self, database: Database) -> Looked:
        """Look at what is due, a round after the other while anybody has more; how much it was."""
        looked = Looked()
        for _ in range(_ROUNDS):
            some = await self.round(database)
            looked += sum(some, Looked())
            if all(one.rules < SHARE for one in some):
                break
        return looked

    async def round(self, database: Database) -> Sequence[Looked]:
        """Look at some of what is due, of up to twenty tenants."""
        return await self._rounds.run(database, partial(self._look, database))

    async def _look(self, database: Database, scope: Scope) -> Looked:
        # What is late is due again when its lease is over.
        async with asyncio.timeout(_DEADLINE):
            taken = await self._take(database, scope)
            found = await self._find(database, scope, taken)
            async with database.transaction(scope) as tx:
                return await _apply(tx, found)

    async def _take(self, database: Database, scope: Scope) -> Sequence[_Taken]:
        async with database.transaction(scope) as tx:
            rows: Sequence[AlertRuleRow] = await tx.scalars(
                sa.select(AlertRuleRow)
                .where(AlertRuleRow.tenant_id == tx.tenant_id, AlertRuleRow.next_at <= tx.now())
                .order_by(AlertRuleRow.next_at)
                .limit(SHARE)
                .with_for_update(skip_locked=True)
            )
            taken = [_Taken(value_of(row), row.fence + 1) for row in rows]
            await tx.update_each(
                AlertRuleRow,
                [
                    {
                        "key_tenant_id": tx.tenant_id,
                        "key_id": one.rule.id,
                        "fence": one.fence,
                        "next_at": tx.now() + _LEASE,
                    }
                    for one in taken
                ],
                unchanged=lambda _: (),
            )
            return taken

    async def _find(
        self, database: Database, scope: Scope, taken: Sequence[_Taken]
    ) -> Sequence[tuple[_Taken, Sequence[Finding]]]:
        asked = [(one.rule.condition, one.rule.created_at) for one in taken]
        return list(zip(taken, await self.measure(database, scope, asked), strict=True))

    async def try_out(
        self, database: Database, scope: Scope, draft: RuleDraft, *, days: int
    ) -> Tried:
        """What a rule would have done in the last ``days``.

        Raises:
            NoHistoryError: What its condition asks is known of the present alone.
            AppError: It cannot be asked for, and why.
        """
        return await try_out(database, scope, self._senses(database), draft, days=days)

    async def measure(
        self, database: Database, scope: Scope, asked: Sequence[tuple[Condition, datetime]]
    ) -> Sequence[Sequence[Finding]]:
        """What conditions of a tenant find now, each with the time since when it is asked."""
        senses = self._senses(database)
        async with database.read(scope) as view:
            reckonings = await look(asked, view, senses)
        places = asyncio.Semaphore(_RECKONED_AT_ONCE)
        return await asyncio.gather(*(_reckon(one, places) for one in reckonings))


async def _reckon(reckoning: Reckoning, places: asyncio.Semaphore) -> Sequence[Finding]:
    """What a reckoning found: one that others take the time of is not measured, and they are."""
    try:
        async with asyncio.timeout(_RECKONING), places:
            return await reckoning()
    except TimeoutError:
        return [Finding(Seen.NOTHING, "There was no time to measure it")]


async def _apply(tx: Tx, found: Sequence[tuple[_Taken, Sequence[Finding]]]) -> Looked:
    """Keep what came of looks, of those that nobody else has taken meanwhile."""
    now = tx.now()
    ours = {
        row.id
        for row in await tx.execute(
            sa.select(AlertRuleRow.id, AlertRuleRow.fence)
            .where(
                AlertRuleRow.tenant_id == tx.tenant_id,
                AlertRuleRow.id.in_([one.rule.id for one, _ in found]),
            )
            .with_for_update()
        )
        if row.fence == next(one.fence for one, _ in found if one.rule.id == row.id)
    }
    mine = [(one.rule, findings) for one, findings in found if one.rule.id in ours]
    live = await _live(tx, [rule.id for rule, _ in mine])
    looked = Looked(rules=len(mine))
    for rule, findings in mine:
        looked += await _change(tx, rule, findings, live.get(rule.id, {}))
    await tx.update_each(
        AlertRuleRow,
        [{"key_tenant_id": tx.tenant_id, "key_id": rule.id, **_state(rule, findings, now)}
         for rule, findings in mine],
        unchanged=lambda _: (),
    )  # fmt: skip
    return looked


def _state(rule: Rule, findings: Sequence[Finding], now: datetime) -> dict[str, Any]:
    problem = problem_of(findings)
    since = (rule.problem_since or now) if problem else None
    return {
        "looked_at": now,
        "next_at": now + timedelta(seconds=max(rule.every_seconds, rule.condition.least_seconds)),
        "problem": problem,
        "problem_since": since,
    }


def problem_of(findings: Sequence[Finding]) -> str | None:
    """Why a look could measure nothing; None: it could."""
    blind = [one.text for one in findings if one.seen is Seen.NOTHING]
    return blind[0] if blind and len(blind) == len(findings) else None


async def _live(tx: ReadTx, rule_ids: Sequence[str]) -> Mapping[str, Mapping[str, AlertRow]]:
    rows: Sequence[AlertRow] = await tx.scalars(
        sa.select(AlertRow).where(
            AlertRow.tenant_id == tx.tenant_id,
            AlertRow.rule_id.in_(rule_ids),
            AlertRow.ended_at.is_(None),
        )
    )
    found: dict[str, dict[str, AlertRow]] = {}
    for row in rows:
        found.setdefault(str(row.rule_id), {})[row.fingerprint] = row
    return found


async def _change(
    tx: Tx, rule: Rule, findings: Sequence[Finding], live: Mapping[str, AlertRow]
) -> Looked:
    seen = {fingerprint(rule.id, one.labels): one for one in findings[:MAX_FINDINGS]}
    # What there was, and nobody sees any more: a series that is not recorded, or nothing at all.
    blind = any(one.seen is Seen.NOTHING for one in findings)
    gone = rule.condition.absent is Seen.GONE and not blind
    for key, known in live.items():
        lost = Finding(Seen.NOTHING, "It is not measured any more", known.value)
        seen.setdefault(key, Finding(Seen.GONE, "It is gone", None) if gone else lost)
    turns: list[Turn] = []
    for key, finding in seen.items():
        row: AlertRow | None = live.get(key)
        before = None if row is None else Standing(row.since, row.fired_at, row.clear_since)
        after, turn = stand(before, finding.seen, rule.timing, tx.now())
        turns.append(turn)
        if row is None:
            if after is not None:
                row = _begin(tx, rule, key, finding, after)
        elif after is not None:
            row.since, row.fired_at, row.clear_since = (
                after.since,
                after.fired_at,
                after.clear_since,
            )
        elif turn is Turn.RESOLVED:
            end(tx, row, tx.now(), text=finding.text, value=finding.value)
        else:
            await tx.session.delete(row)
        if row is not None and turn is Turn.FIRED:
            row.value = finding.value
            note(tx, row.id, "fired", text=finding.text, value=finding.value)
            tell(tx, row, "fired")
    return Looked(0, turns.count(Turn.FIRED), turns.count(Turn.RESOLVED))


def _begin(tx: Tx, rule: Rule, key: str, finding: Finding, standing: Standing) -> AlertRow:
    labels = {**rule.labels, **finding.labels, "alertname": rule.name, "severity": rule.severity}
    row = AlertRow(
        tenant_id=tx.tenant_id,
        id=uuid7(),
        rule_id=rule.id,
        source="rule",
        fingerprint=key,
        name=rule.name,
        severity=rule.severity,
        labels=labels,
        summary=summarize(rule.summary, labels, finding),
        runbook_url=rule.runbook_url,
        value=finding.value,
        since=standing.since,
        expires_at=NEVER,
        fired_at=standing.fired_at,
        clear_since=None,
        ended_at=None,
        ended_by=None,
        acknowledged_at=None,
        acknowledged_by=None,
        snoozed_until=None,
        silenced_at=None,
        assignee=None,
    )
    tx.session.add(row)
    return row


def summarize(template: str, labels: Mapping[str, str], finding: Finding) -> str:
    """A summary with what is known filled in; what is not stays as it was written."""
    value = "" if finding.value is None else f"{finding.value:.6g}"
    known = {**labels, "value": value, "text": finding.text}
    said = _PLACE.sub(lambda place: str(known.get(place[1], place[0])), template)
    return said[:_MAX_SUMMARY]
