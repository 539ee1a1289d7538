"""The end of values: told of before, told of when it comes, and the value is destroyed then.

Each is told once, whatever number of workers look: the row's ``due_at`` goes on in the transaction
that tells. Of a version that another one has replaced nobody needs to hear.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.managers.secrets import _totals
from backend.managers.secrets._grants import told_to_all
from backend.managers.secrets.errands import EXPIRY
from backend.managers.secrets.models import SecretRow, VersionRow

_AT_ONCE: Final = 500


def first_due(now: datetime, expires_at: datetime | None, remind_seconds: int) -> datetime | None:
    """When a version that is made now is to be told of first; None: never.

    Args:
        now: When it is made.
        expires_at: Its end.
        remind_seconds: So long before it; of a life shorter than twice that, in its middle.
    """
    if expires_at is None:
        return None
    return expires_at - min(timedelta(seconds=remind_seconds), (expires_at - now) / 2)


class Expiry:
    """Looks for what is due, of all tenants."""

    async def tell_due(self, database: Database) -> None:
        """Emit ``secret.expiring`` and ``secret.expired`` for what is due, and destroy the latter.

        At most 500 in one go; the rest comes with the next tick.
        """
        scope = SystemScope(EXPIRY)
        async with database.read(scope) as view:
            found = await view.execute(
                sa.select(VersionRow.tenant_id, VersionRow.id)
                .where(VersionRow.due_at <= view.now())
                .order_by(VersionRow.due_at)
                .limit(_AT_ONCE)
            )
        for tenant_id, version_id in found.all():
            async with database.transaction(scope) as tx, tx.within(tenant_id) as part:
                await _tell(part, version_id)

    async def count_due(self, tx: ReadTx) -> Mapping[str, int]:
        """Versions that are due, and that nobody has told of. Needs a system errand."""
        query = sa.select(sa.func.count(VersionRow.id)).where(VersionRow.due_at <= tx.now())
        return {"": int(await tx.scalar(query))}


async def _tell(tx: Tx, version_id: str) -> None:
    row = await tx.scalar(
        sa.select(VersionRow)
        .where(
            VersionRow.tenant_id == tx.tenant_id,
            VersionRow.id == version_id,
            VersionRow.due_at <= tx.now(),
        )
        .with_for_update()
    )
    # Another worker told of it, or it went, since the look at the list.
    if row is None or row.expires_at is None:
        return
    secret = await tx.scalar(
        sa.select(SecretRow).where(
            SecretRow.tenant_id == tx.tenant_id, SecretRow.id == row.secret_id
        )
    )
    is_over = row.expires_at <= tx.now()
    heard = secret is not None and row.deleted_at is None and row.sealed is not None
    row.due_at = None if is_over else row.expires_at
    freed = 0
    if is_over:
        freed, row.sealed, row.size_bytes = row.size_bytes, None, 0
    if secret is not None and heard:
        where = {"path": secret.path, "environment": secret.environment}
        told = {"version": row.version, "expires_at": row.expires_at.isoformat()}
        if is_over:
            tx.audit("secret.expired", f"secret:{secret.id}", **where, **told)
        if secret.newest == row.version:
            kind = "secret.expired" if is_over else "secret.expiring"
            shown = await told_to_all(tx, secret.path, secret.environment)
            tx.emit(kind, f"secret:{secret.id}", **shown, **told)
    await _totals.add(tx, size_bytes=-freed)
