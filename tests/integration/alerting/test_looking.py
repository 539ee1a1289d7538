"""Rules are looked at by whoever takes them, and alerts fire and end once."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.managers.alerting import (
    Alert,
    AlertingManager,
    HeartbeatCondition,
    LogCondition,
    MetricCondition,
    Note,
    Rule,
    RuleDraft,
)
from backend.managers.alerting import _looking as looking
from backend.managers.alerting._finding import Finding
from backend.managers.alerting.models import AlertRow, AlertRuleRow
from tests.integration.logging.test_search import said, send
from tests.support.platform import App, TenantClient


class Watch:
    """A tenant's rules and alerts, and a clock that is put forward."""

    def __init__(self, app: App, who: TenantClient) -> None:
        self.database = app.platform.database
        self.manager = app.platform.of(AlertingManager)
        self.scope = Scope("user:ada", who.tenant.id)
        self.http = who.http

    async def rule(self, condition: Any, **more: Any) -> Rule:
        async with self.database.transaction(self.scope) as tx:
            draft = RuleDraft(condition=condition, **{"name": "r", "severity": "warning", **more})
            return await self.manager.rules.create(tx, draft)

    async def found(self, condition: Any) -> Sequence[Finding]:
        """What a look by this condition would find, as if its rule had been made just now."""
        senses = self.manager._looking._senses(self.database)
        async with self.database.read(self.scope) as view:
            asked = [(condition, view.now())]
            (reckoning,) = await looking.look(asked, view, senses)  # type: ignore[attr-defined]
        return list(await reckoning())

    async def replaced(self, rule: Rule, **more: Any) -> Rule:
        async with self.database.transaction(self.scope) as tx:
            draft = RuleDraft(**{"name": "r", "severity": "warning", **more})
            return await self.manager.rules.replace(tx, rule.id, draft, expected_version=None)

    async def later(self, **ago: float) -> None:
        """Let time pass for alerts that are not over."""
        async with self.database.transaction(self.scope) as tx:
            rows = await tx.scalars(
                sa.select(AlertRow).where(
                    AlertRow.tenant_id == tx.tenant_id, AlertRow.ended_at.is_(None)
                )
            )
            for row in rows:
                row.since -= timedelta(**ago)
                if row.clear_since is not None:
                    row.clear_since -= timedelta(**ago)

    async def next_look(self, rule: Rule) -> timedelta:
        """How long after its last look the next one is due."""
        async with self.database.read(self.scope) as tx:
            row = await tx.scalar(
                sa.select(AlertRuleRow).where(
                    AlertRuleRow.tenant_id == tx.tenant_id, AlertRuleRow.id == rule.id
                )
            )
        found: timedelta = row.next_at - row.looked_at
        return found

    async def due(self) -> None:
        """Have every rule due."""
        async with self.database.transaction(self.scope) as tx:
            await tx.execute(
                sa.update(AlertRuleRow)
                .where(AlertRuleRow.tenant_id == tx.tenant_id, AlertRuleRow.enabled.is_(True))
                .values(next_at=tx.now())
            )

    async def look(self) -> Any:
        await self.due()
        return await self.manager.look(self.database)

    async def alerts(self, **which: Any) -> Sequence[Alert]:
        async with self.database.read(self.scope) as tx:
            return await self.manager.alerts.list(tx, limit=100, **which)

    async def notes(self, alert: Alert) -> Sequence[Note]:
        async with self.database.read(self.scope) as tx:
            return (await self.manager.alerts.get(tx, alert.id))[1]


@pytest.fixture
async def watch(app: App) -> Watch:
    return Watch(app, await app.caller("owner"))


ERRORS = LogCondition(compare=">=", threshold=2, level="error")


async def test_an_alert_fires_once_and_ends_once(app: App) -> None:
    ada, eve = await app.caller("owner"), await app.caller("owner")
    watch, other = Watch(app, ada), Watch(app, eve)
    await watch.rule(
        ERRORS, summary="{alertname}: {value} of {text} {nothing}", labels={"team": "a"}
    )
    await other.rule(ERRORS)
    await watch.look()
    assert await watch.alerts() == []
    await send(ada, said(1, "one", level="error"), said(1, "two", level="fatal"))
    assert (await watch.look()).fired == 1
    assert (await watch.look()).fired == 0
    (alert,) = await watch.alerts()
    assert (alert.state, alert.value, alert.labels["team"]) == ("firing", 2, "a")
    assert alert.summary.startswith("r: 2 of 2 log lines (level error) in 5 min, >= 2 {nothing}")
    assert await other.alerts() == []
    await other.look()
    assert await other.alerts() == [], "her lines are another tenant's"


async def test_what_flaps_ends_when_it_is_gone_for_long_enough(watch: Watch) -> None:
    rule = await watch.rule(HeartbeatCondition(name="backup", within_seconds=30), hold_seconds=0)
    async with watch.database.transaction(watch.scope) as tx:
        await tx.execute(
            sa.update(AlertRuleRow)
            .where(AlertRuleRow.tenant_id == tx.tenant_id, AlertRuleRow.id == rule.id)
            .values(created_at=tx.now() - timedelta(hours=1))
        )
    assert (await watch.look()).fired == 1
    async with watch.database.transaction(watch.scope) as tx:
        await watch.manager.beat(tx, "backup")
    assert (await watch.look()).resolved == 1
    (alert,) = await watch.alerts(state="over")
    assert alert.ended_by == "system:alerting"
    assert [note.kind for note in await watch.notes(alert)] == ["fired", "resolved"]


async def test_a_rule_that_can_measure_nothing_says_so(watch: Watch) -> None:
    rule = await watch.rule(
        MetricCondition(metric="orders", aggregate="rate", compare="<", threshold=1)
    )
    await watch.look()
    async with watch.database.read(watch.scope) as tx:
        found = await watch.manager.rules.get(tx, rule.id)
    assert found.problem == "orders has not been recorded"
    assert found.problem_since is not None
    assert found.looked_at is not None
    assert await watch.alerts() == []


async def test_no_data_may_be_what_somebody_wants_to_know(watch: Watch) -> None:
    await watch.rule(
        MetricCondition(metric="orders", aggregate="rate", compare="<", threshold=1),
        no_data="fire",
    )
    assert (await watch.look()).fired == 1


async def test_many_lookers_look_once(app: App, watch: Watch) -> None:
    await watch.rule(ERRORS, name="a")
    for number in range(120):
        await watch.rule(
            HeartbeatCondition(name=f"h{number}", within_seconds=3600), name=f"h{number}"
        )
    await watch.due()
    rounds = [
        await asyncio.gather(*(watch.manager.look(watch.database) for _ in range(4)))
        for _ in range(3)
    ]
    assert sum(one.rules for each in rounds for one in each) == 121


async def test_what_was_found_by_who_lost_its_lease_does_not_count(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watch.rule(
        MetricCondition(metric="orders", aggregate="rate", compare="<", threshold=1),
        no_data="fire",
    )
    find = looking.Looking._find

    async def slowly(self: Any, database: Any, scope: Any, taken: Any) -> Any:
        found = await find(self, database, scope, taken)
        monkeypatch.setattr(looking.Looking, "_find", find)
        assert (await watch.look()).fired == 1
        return found

    monkeypatch.setattr(looking.Looking, "_find", slowly)
    assert (await watch.look()).rules == 0
    assert len(await watch.alerts()) == 1


async def test_an_alert_is_acknowledged_and_ended_by_hand(app: App, watch: Watch) -> None:
    await watch.rule(
        MetricCondition(metric="orders", aggregate="rate", compare="<", threshold=1),
        no_data="fire",
    )
    await watch.look()
    (alert,) = await watch.alerts()
    async with watch.database.transaction(watch.scope) as tx:
        first = await watch.manager.alerts.acknowledge(tx, alert.id, text="on it")
    async with watch.database.transaction(watch.scope) as tx:
        again = await watch.manager.alerts.acknowledge(tx, alert.id)
        assert again.acknowledged_at == first.acknowledged_at
        await watch.manager.alerts.comment(tx, alert.id, text="a disk")
    async with watch.database.transaction(watch.scope) as tx:
        await watch.manager.alerts.resolve(tx, alert.id)
    (over,) = await watch.alerts()
    assert (over.state, over.ended_by, over.acknowledged_by) == ("over", "user:ada", "user:ada")
    assert [(one.kind, one.text) for one in await watch.notes(over)][1:] == [
        ("acknowledged", "on it"), ("commented", "a disk"), ("resolved", ""),
    ]  # fmt: skip


async def test_a_fault_in_one_tenants_looks_keeps_nobody_else_waiting(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, eve = await app.caller("owner"), await app.caller("owner")
    watch, other = Watch(app, ada), Watch(app, eve)
    await watch.rule(ERRORS)
    await other.rule(ERRORS)
    await send(eve, said(1, "one", level="error"), said(1, "two", level="fatal"))
    before: Any = looking.look  # type: ignore[attr-defined]  # where it is looked up

    async def broken(conditions: Any, view: Any, *rest: Any) -> Any:
        if view.tenant_id == ada.tenant.id:
            raise ZeroDivisionError
        return await before(conditions, view, *rest)

    monkeypatch.setattr(looking, "look", broken)
    await watch.due()
    looked = await other.look()
    assert (looked.rules, looked.fired) == (1, 1)
    assert await watch.alerts() == []
