"""Forgetting a person in mail: what settled messages say to them, and that it was them.

That there was a message, when, and what became of it stays: it is counted, and it is the tenant's.
"""

from typing import Any, Final, cast

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.subject import ERASED, Bite, Subject
from backend.managers.email._states import OPEN_STATES
from backend.managers.email._suppressions import keys_of
from backend.managers.email.models import ContentRow, EventRow, RecipientRow

_MESSAGES_AT_ONCE: Final = 200


def _theirs(tx: ReadTx, who: Subject) -> tuple[sa.ColumnElement[bool], ...]:
    return (RecipientRow.tenant_id == tx.tenant_id, RecipientRow.address_key.in_(keys_of(who)))


def _open(tx: ReadTx, messages: Any) -> Any:
    """Those of the messages that are not settled for everybody: they are still to be read."""
    return (
        sa.select(RecipientRow.email_id)
        .where(
            RecipientRow.tenant_id == tx.tenant_id,
            RecipientRow.email_id.in_(messages),
            RecipientRow.state.in_(OPEN_STATES),
        )
        .distinct()
    )


async def open_mail(_: object, tx: Tx, who: Subject) -> str | None:
    """Why a person cannot be erased now: mail to them, or to them and others, is on its way."""
    mail = sa.select(RecipientRow.email_id).where(*_theirs(tx, who))
    count = await tx.scalar(sa.select(sa.func.count()).select_from(_open(tx, mail).subquery()))
    if not count:
        return None
    return f"{count} message(s) to them are not settled: cancel them, or wait until they are."


async def erase_mail(_: object, tx: Tx, who: Subject, after: str) -> Bite:
    """What messages to them say, what servers answered of them, and that it was them.

    The content goes to whomever else it went: it names its recipients. A message at a time all of
    it: without its recipient nobody would find the rest.
    """
    messages: list[str] = list(
        await tx.scalars(
            sa.select(RecipientRow.email_id)
            .where(*_theirs(tx, who), RecipientRow.email_id > after if after else sa.true())
            .group_by(RecipientRow.email_id)
            .order_by(RecipientRow.email_id)
            .limit(_MESSAGES_AT_ONCE)
        )
    )
    waiting = set(await tx.scalars(_open(tx, messages))) if messages else set()
    last = messages[-1] if len(messages) == _MESSAGES_AT_ONCE else None
    settled = [one for one in messages if one not in waiting]
    if not settled:
        return Bite(len(messages), waiting=len(waiting), after=last)
    changed = {
        EventRow.__tablename__: await _changed(
            tx,
            sa.update(EventRow)
            .where(
                EventRow.tenant_id == tx.tenant_id,
                EventRow.email_id.in_(settled),
                who.is_told_in(EventRow.detail),
            )
            .values(detail=ERASED),
        ),
        ContentRow.__tablename__: await _changed(
            tx,
            sa.delete(ContentRow).where(
                ContentRow.tenant_id == tx.tenant_id, ContentRow.email_id.in_(settled)
            ),
        ),
        RecipientRow.__tablename__: await _changed(
            tx,
            sa.update(RecipientRow)
            .where(*_theirs(tx, who), RecipientRow.email_id.in_(settled))
            .values(
                address=who.alias,
                address_key=who.alias,
                display_name="",
                response=sa.case((RecipientRow.response.is_not(None), ERASED)),
            ),
        ),
    }
    return Bite(len(messages), changed, len(waiting), last)


async def _changed(tx: Tx, statement: Any) -> int:
    done = await tx.execute(statement.execution_options(synchronize_session=False))
    return cast("sa.CursorResult[Any]", done).rowcount
