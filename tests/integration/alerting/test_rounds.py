"""Nobody waits for another tenant: not for its ten thousand rules, and not for its faults."""

from collections import Counter

import pytest
import sqlalchemy as sa

from backend.core.context import Scope
from backend.core.database import Database, DatabaseUnavailableError
from backend.core.ids import uuid7
from backend.managers.alerting import AlertingManager, HeartbeatCondition
from backend.managers.alerting._looking import SHARE
from backend.managers.alerting._rounds import TENANTS, Rounds
from backend.managers.alerting.errands import LOOKING
from backend.managers.alerting.models import AlertRuleRow
from tests.support.alert_rules import make_rules
from tests.support.platform import App


async def due(app: App, tenant_id: str, count: int) -> None:
    """Have so many rules of a tenant due."""
    async with app.platform.database.transaction(Scope("test", tenant_id)) as tx:
        await make_rules(
            tx,
            [HeartbeatCondition(name=f"h{one}", within_seconds=3600) for one in range(count)],
        )


async def left(database: Database, tenant_id: str) -> int:
    async with database.read(Scope("test", tenant_id)) as view:
        query = sa.select(sa.func.count()).select_from(AlertRuleRow)
        mine = query.where(AlertRuleRow.tenant_id == tenant_id, AlertRuleRow.looked_at.is_(None))
        return int(await view.scalar(mine))


async def test_ten_thousand_rules_of_one_tenant_keep_another_waiting_for_one_round(
    app: App,
) -> None:
    database = app.platform.database
    many, few = [(await app.caller("owner")).tenant.id for _ in range(2)]
    await due(app, many, 10_000)
    await due(app, few, 10)
    looking = app.platform.of(AlertingManager)._looking
    looked = await looking.round(database)
    assert sorted(one.rules for one in looked) == [10, SHARE]
    assert (await left(database, many), await left(database, few)) == (10_000 - SHARE, 0)
    # What comes meanwhile is looked at in the next one, and no tick looks at one tenant for ever.
    late = (await app.caller("owner")).tenant.id
    await due(app, late, 10)
    await looking.run(database)
    assert await left(database, late) == 0
    assert await left(database, many) == 10_000 - 21 * SHARE


async def test_each_of_many_tenants_has_its_turn_before_anybody_has_two(app: App) -> None:
    tenants = [uuid7() for _ in range(2 * TENANTS + 5)]
    for tenant_id in tenants:
        await due(app, tenant_id, 1)
    rounds = Rounds(LOOKING, AlertRuleRow.next_at)
    turns: list[str] = []

    async def act(scope: Scope) -> None:
        turns.append(str(scope.tenant_id))

    for number in range(1, 4):
        await rounds.run(app.platform.database, act)
        assert len(turns) == number * TENANTS
    assert set(turns) == set(tenants)
    assert max(Counter(turns[: len(tenants)]).values()) == 1


async def test_a_fault_and_what_is_late_keep_nobody_else_waiting(app: App) -> None:
    tenants = sorted(uuid7() for _ in range(3))
    for tenant_id in tenants:
        await due(app, tenant_id, 1)
    rounds = Rounds(LOOKING, AlertRuleRow.next_at)

    async def act(scope: Scope) -> str:
        if scope.tenant_id == tenants[0]:
            raise ZeroDivisionError
        if scope.tenant_id == tenants[1]:
            raise TimeoutError
        return str(scope.tenant_id)

    assert await rounds.run(app.platform.database, act) == [tenants[2]]


async def test_a_database_that_is_away_is_away_for_everybody(app: App) -> None:
    await due(app, uuid7(), 1)

    async def act(_: Scope) -> None:
        raise DatabaseUnavailableError

    with pytest.raises(DatabaseUnavailableError):
        await Rounds(LOOKING, AlertRuleRow.next_at).run(app.platform.database, act)
