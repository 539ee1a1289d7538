"""How many secrets a tenant has, and how many bytes of them: kept, and not counted each time.

A row of the tenant that every change adds to in its own transaction, last: on PostgreSQL others of
the tenant wait for it until the commit.
"""

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.managers.secrets.models import TotalRow


async def add(tx: Tx, *, secrets: int = 0, size_bytes: int = 0) -> None:
    """Count so many more; or fewer, below zero."""
    if secrets or size_bytes:
        row = {"tenant_id": tx.tenant_id, "secrets": secrets, "size_bytes": size_bytes}
        await tx.add_up(TotalRow, row, amounts=["secrets", "size_bytes"])


async def count_secrets(tx: ReadTx) -> int:
    """How many the transaction's tenant has."""
    query = sa.select(TotalRow.secrets).where(TotalRow.tenant_id == tx.tenant_id)
    return int(await tx.scalar(query) or 0)


async def count_bytes(tx: ReadTx) -> int:
    """How many bytes their values have, sealed, in all versions."""
    query = sa.select(TotalRow.size_bytes).where(TotalRow.tenant_id == tx.tenant_id)
    return int(await tx.scalar(query) or 0)
