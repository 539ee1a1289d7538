"""Forgetting mail: first what settled messages said, later the messages themselves.

What is still open stays, however old. Ages are those of ids, which are made with the messages: so
the oldest of a tenant are found at the beginning of a key, whatever comes after them.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.core.database import Tx
from backend.core.ids import uuid7_at
from backend.core.loose_scan import read_least
from backend.managers.email._states import OPEN_STATES
from backend.managers.email.models import (
    ContentRow,
    EmailRow,
    EmailSettingsRow,
    EventRow,
    RecipientRow,
)
from backend.managers.email.settings import EmailSettings

RETENTION: Final = Errand(
    "email.retention", tables_of(EmailRow, ContentRow, RecipientRow, EventRow, EmailSettingsRow)
)
"""Forgetting mail that is older than its tenant keeps it."""
_SWEPT: Final = 500
_TENANTS_A_SWEEP: Final = 20


class MailRetention:
    """How long each tenant's mail is kept, and its end."""

    def __init__(self, platform: EmailSettings) -> None:
        """What ``platform`` says holds for tenants that say nothing."""
        self._platform = platform

    async def sweep(self, tx: Tx) -> int:
        """Forget up to 500 contents and 500 messages of some tenants; returns how many went."""
        settings = await tx.execute(
            sa.select(
                EmailSettingsRow.tenant_id,
                EmailSettingsRow.keep_content_days,
                EmailSettingsRow.keep_days,
            ).where(
                sa.or_(
                    EmailSettingsRow.keep_content_days.is_not(None),
                    EmailSettingsRow.keep_days.is_not(None),
                )
            )
        )
        asked = {tenant_id: (content, whole) for tenant_id, content, whole in settings.all()}
        gone = tenants = 0
        for tenant_id, content, email in await read_least(
            tx, EmailRow, ContentRow.email_id, EmailRow.id
        ):
            content_days, days = asked.get(tenant_id, (None, None))
            days = days or self._platform.keep_days
            content_days = min(content_days or self._platform.keep_content_days, days)
            before = uuid7_at(tx.now() - timedelta(days=content_days))
            whole_before = uuid7_at(tx.now() - timedelta(days=days))
            taken = 0
            if content is not None and content < before:
                taken += await _forget_contents(tx, tenant_id, before)
            if email < whole_before:
                taken += await _forget_emails(tx, tenant_id, whole_before)
            gone += taken
            tenants += bool(taken)
            if tenants == _TENANTS_A_SWEEP:
                break
        return gone


async def _forget_contents(tx: Tx, tenant_id: str, before: str) -> int:
    found = (
        sa.select(EmailRow.id)
        .join(
            ContentRow,
            sa.and_(ContentRow.tenant_id == EmailRow.tenant_id, ContentRow.email_id == EmailRow.id),
        )
        .where(ContentRow.tenant_id == tenant_id, ContentRow.email_id < before)
        .order_by(ContentRow.email_id)
    )
    ids = await _settled(tx, found)
    await _delete(tx, tenant_id, ids, (ContentRow, ContentRow.email_id))
    return len(ids)


async def _forget_emails(tx: Tx, tenant_id: str, before: str) -> int:
    found = (
        sa.select(EmailRow.id)
        .where(EmailRow.tenant_id == tenant_id, EmailRow.id < before)
        .order_by(EmailRow.id)
    )
    ids = await _settled(tx, found)
    await _delete(
        tx,
        tenant_id,
        ids,
        (ContentRow, ContentRow.email_id),
        (RecipientRow, RecipientRow.email_id),
        (EventRow, EventRow.email_id),
        (EmailRow, EmailRow.id),
    )
    return len(ids)


async def _settled(tx: Tx, query: Any) -> Sequence[str]:
    """The ids of messages that nobody is about to send again.

    Locked: an operator's retry, which makes one open, waits for us or we pass over it.
    """
    found: Sequence[str] = await tx.scalars(
        query.where(EmailRow.state.not_in(OPEN_STATES))
        .limit(_SWEPT)
        .with_for_update(skip_locked=True, of=EmailRow)
    )
    return found


async def _delete(tx: Tx, tenant_id: str, ids: Sequence[str], *tables: tuple[Any, Any]) -> None:
    if not ids:
        return
    for row, email_id in tables:
        await tx.execute(
            sa.delete(row)
            # They lie side by side: a range is found at once, where a planner may think of so many
            # ids that it had better read everything.
            .where(
                row.tenant_id == tenant_id,
                email_id.between(min(ids), max(ids)),
                email_id.in_(ids),
            )
            .execution_options(synchronize_session=False)
        )
