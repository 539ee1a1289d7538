"""Operations on templates: the part of the e-mail manager that keeps and fills them."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.kit.templating import TemplateSource, check_source
from backend.managers.email._values import CheckedTemplate, Template
from backend.managers.email.errors import (
    TemplateChangedError,
    TemplateNotFoundError,
    TemplatesTooLargeError,
)
from backend.managers.email.models import TemplateRow
from backend.managers.email.settings import EmailSettings

# Threads that prepare messages and templates, over all tenants. More would only fight for the
# interpreter.
_PREPARING: Final = 4

_T = TypeVar("_T")


class TemplateOperations:
    """Listing, saving and deleting templates, and the turns in which costly ones are filled."""

    _settings: EmailSettings

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._threads = asyncio.Semaphore(_PREPARING)

    async def _in_turn(self, tenant_id: str, work: Callable[[], _T]) -> _T:
        """Run costly work off the event loop, one at a time a tenant: nobody gets all threads."""
        turn = self._turns.setdefault(tenant_id, asyncio.Lock())
        async with turn, self._threads:
            return await asyncio.to_thread(work)

    async def load_templates(self, tx: ReadTx, names: Iterable[str]) -> dict[str, TemplateSource]:
        """Those of the named templates that exist."""
        rows = await tx.scalars(sa.select(TemplateRow).where(TemplateRow.name.in_(set(names))))
        return {row.name: TemplateSource(row.subject, row.text, row.html) for row in rows}

    async def list_templates(
        self, tx: ReadTx, *, limit: int, after_name: str | None = None
    ) -> list[Template]:
        """Templates by name, one more than ``limit``."""
        query = sa.select(TemplateRow)
        if after_name is not None:
            query = query.where(TemplateRow.name > after_name)
        rows = await tx.scalars(query.order_by(TemplateRow.name).limit(limit + 1))
        return [_as_template(row) for row in rows]

    async def get_template(self, tx: ReadTx, name: str) -> Template:
        """One template.

        Raises:
            TemplateNotFoundError: No such template in this tenant.
        """
        row = await tx.scalar(sa.select(TemplateRow).where(TemplateRow.name == name))
        if row is None:
            raise TemplateNotFoundError
        return _as_template(row)

    async def check_template(
        self, tenant_id: str, *, subject: str, text: str | None, html: str | None
    ) -> CheckedTemplate:
        """Compile a template, which takes a second if it is large. Not in a transaction.

        Raises:
            TemplateInvalidError: Syntax error, or something the sandbox never allows.
        """
        source = TemplateSource(subject, text, html)
        await self._in_turn(tenant_id, lambda: check_source(source))
        return CheckedTemplate(source)

    async def put_template(
        self, tx: Tx, *, name: str, checked: CheckedTemplate, expected_version: str | None
    ) -> Template:
        """Create or replace a template that :meth:`check_template` has passed.

        Raises:
            TemplateChangedError: The version is not the current one any more.
            TemplatesTooLargeError: With it the tenant's templates are more than one may keep.
        """
        subject, text, html = checked.subject, checked.text, checked.html
        # Two that are saved at once may pass the bound together by one of them; it bounds lists
        # and disks, not a right.
        others: Any = await tx.scalar(
            sa.select(
                sa.func.sum(
                    sa.func.length(TemplateRow.subject)
                    + sa.func.coalesce(sa.func.length(TemplateRow.text), 0)
                    + sa.func.coalesce(sa.func.length(TemplateRow.html), 0)
                )
            ).where(TemplateRow.name != name)
        )
        size = int(others or 0) + len(subject) + len(text or "") + len(html or "")
        if size > self._settings.max_templates_characters:
            raise TemplatesTooLargeError(
                f"A tenant's templates may have {self._settings.max_templates_characters} "
                "characters together.",
                limit=self._settings.max_templates_characters,
            )
        if expected_version is not None:
            row = await tx.scalar(
                sa.select(TemplateRow).where(TemplateRow.name == name).with_for_update()
            )
            if row is None or _as_template(row).version != expected_version:
                raise TemplateChangedError
        made = Template(name, subject, text, html, tx.now())
        values = {"subject": subject, "text": text, "html": html, "updated_at": made.updated_at}
        await tx.upsert(
            TemplateRow,
            {"tenant_id": tx.tenant_id, "name": name, **values},
            conflict=["tenant_id", "name"],
            update=values,
        )
        tx.audit("email_template.saved", f"email_template:{name}")
        return made

    async def delete_template(self, tx: Tx, name: str) -> None:
        """Delete a template; messages already made from it are not touched.

        Raises:
            TemplateNotFoundError: No such template in this tenant.
        """
        row = await tx.scalar(sa.select(TemplateRow).where(TemplateRow.name == name))
        if row is None:
            raise TemplateNotFoundError
        await tx.session.delete(row)
        tx.audit("email_template.deleted", f"email_template:{name}")


def _as_template(row: TemplateRow) -> Template:
    return Template(row.name, row.subject, row.text, row.html, row.updated_at)
