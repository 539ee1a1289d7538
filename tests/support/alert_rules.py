"""Many alert rules at once, as if somebody had made each of them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from backend.core.database import Tx
from backend.core.ids import uuid7
from backend.managers.alerting import Condition, RuleDraft
from backend.managers.alerting._conditions import write_condition
from backend.managers.alerting._rules import Rules
from backend.managers.alerting.models import AlertRuleRow


async def make_rules(tx: Tx, conditions: Sequence[Condition]) -> None:
    """A rule of each condition, due now; what refuses one would refuse them all."""
    draft = RuleDraft(name="the first", condition=conditions[0], severity="warning")
    made = await Rules().create(tx, draft)
    row: Any = await tx.scalar(
        sa.select(AlertRuleRow).where(
            AlertRuleRow.tenant_id == tx.tenant_id, AlertRuleRow.id == made.id
        )
    )
    alike = {column.key: getattr(row, column.key) for column in sa.inspect(AlertRuleRow).columns}
    rest = [
        {**alike, "id": uuid7(), "name": f"rule {number}", "condition": write_condition(one)}
        for number, one in enumerate(conditions[1:], 2)
    ]
    await tx.insert(AlertRuleRow, rest)
