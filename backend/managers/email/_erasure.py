"""Forgetting a person in mail: what settled messages say to them, and that it was them.

That there was a message, when, and what became of it stays: it is counted, and it is the tenant's.
"""

from typing import Any, cast

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.subject import ERASED, Subject
from backend.managers.email._states import OPEN_STATES
from backend.managers.email._suppressions import keys_of
from backend.managers.email.models import ContentRow, EventRow, RecipientRow


def _theirs(tx: ReadTx, who: Subject) -> tuple[sa.ColumnElement[bool], ...]:
    return (RecipientRow.tenant_id == tx.tenant_id, RecipientRow.address_key.in_(keys_of(who)))


def _mail(tx: ReadTx, who: Subject) -> Any:
    return sa.select(RecipientRow.email_id).where(*_theirs(tx, who))


async def open_mail(_: object, tx: Tx, who: Subject) -> str | None:
    """Why a person cannot be erased now: mail to them is on its way."""
    count = await tx.scalar(
        sa.select(sa.func.count(RecipientRow.email_id)).where(
            *_theirs(tx, who), RecipientRow.state.in_(OPEN_STATES)
        )
    )
    if not count:
        return None
    return f"{count} message(s) to them are not settled: cancel them, or wait until they are."


async def erase_steps(_: object, tx: Tx, who: Subject) -> int:
    """What mail servers answered, where it quotes the address."""
    return await _changed(
        tx,
        sa.update(EventRow)
        .where(
            EventRow.tenant_id == tx.tenant_id,
            EventRow.email_id.in_(_mail(tx, who)),
            who.is_told_in(EventRow.detail),
        )
        .values(detail=ERASED),
    )


async def erase_contents(_: object, tx: Tx, who: Subject) -> int:
    """What messages to them say, to whomever else they went: it names its recipients."""
    return await _changed(
        tx,
        sa.delete(ContentRow).where(
            ContentRow.tenant_id == tx.tenant_id, ContentRow.email_id.in_(_mail(tx, who))
        ),
    )


async def erase_recipients(_: object, tx: Tx, who: Subject) -> int:
    """Who they were to each message."""
    return await _changed(
        tx,
        sa.update(RecipientRow)
        .where(*_theirs(tx, who))
        .values(
            address=who.alias,
            address_key=who.alias,
            display_name="",
            response=sa.case((RecipientRow.response.is_not(None), ERASED)),
        ),
    )


async def _changed(tx: Tx, statement: Any) -> int:
    done = await tx.execute(statement.execution_options(synchronize_session=False))
    return cast("sa.CursorResult[Any]", done).rowcount
