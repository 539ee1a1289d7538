"""What each tenant has at least of a key, read without the rows between."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from backend.core.database import ReadTx
from backend.core.ids import PLATFORM_TENANT


async def read_least(tx: ReadTx, owner: Any, *columns: Any) -> Sequence[Any]:
    """Each tenant that has rows of a table, with the least of each column that it has.

    A loose index scan: it jumps from tenant to tenant along the key.

    Args:
        tx: One that sees all tenants.
        owner: The model whose tenants they are.
        columns: Attributes of models, each next to the tenant in a key of its table.
    """
    lowest = (
        sa.select(owner.tenant_id)
        .where(owner.tenant_id > PLATFORM_TENANT)  # it is lowest of all, and has nothing
        .order_by(owner.tenant_id)
        .limit(1)
        .scalar_subquery()
    )
    first = sa.select(lowest.label("tenant_id")).cte("holders", recursive=True)
    following = (
        sa.select(owner.tenant_id)
        .where(owner.tenant_id > first.c.tenant_id)
        .order_by(owner.tenant_id)
        .limit(1)
        .correlate(first)
        .scalar_subquery()
    )
    tenants = first.union_all(sa.select(following).where(first.c.tenant_id.is_not(None)))

    def least(column: Any) -> Any:
        mine = sa.select(column).where(column.class_.tenant_id == tenants.c.tenant_id)
        if column.property.columns[0].nullable:
            # SQLite has what is not there before all else, PostgreSQL after it.
            mine = mine.where(column.is_not(None))
        return mine.order_by(column).limit(1).correlate(tenants).scalar_subquery()

    found = await tx.execute(
        sa.select(tenants.c.tenant_id, *map(least, columns)).where(tenants.c.tenant_id.is_not(None))
    )
    return found.all()
