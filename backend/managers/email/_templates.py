"""Templates that a tenant keeps by name."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.kit.templating import (
    Purse,
    TemplateInvalidError,
    TemplateSource,
    TemplateVariablesError,
    check_source,
    find_variables,
    render,
)
from backend.kit.turns import Turns
from backend.managers.email._sealed import CLEARED, characters_of, seal_source, source_of
from backend.managers.email._values import CheckedTemplate, Template, TemplatePreview
from backend.managers.email.errors import (
    TemplateChangedError,
    TemplateNotFoundError,
    TemplatesTooLargeError,
)
from backend.managers.email.models import TemplateRow
from backend.managers.security import Keyring, SecurityManager


class TemplateStore:
    """Listing, saving and deleting the templates of a tenant."""

    def __init__(self, security: SecurityManager, max_characters: int, turns: Turns) -> None:
        """A tenant keeps up to ``max_characters`` in all its templates together."""
        self._security = security
        self._max_characters = max_characters
        self._turns = turns

    async def load_sources(self, tx: ReadTx, names: Iterable[str]) -> dict[str, TemplateSource]:
        """Those of the named templates that exist."""
        rows = await tx.scalars(sa.select(TemplateRow).where(TemplateRow.name.in_(set(names))))
        keyring = await self._keyring(tx, rows)
        return {row.name: source_of(keyring, row) for row in rows}

    async def list(
        self, tx: ReadTx, *, limit: int, after_name: str | None = None
    ) -> list[Template]:
        """Templates by name, one more than ``limit``."""
        query = sa.select(TemplateRow)
        if after_name is not None:
            query = query.where(TemplateRow.name > after_name)
        rows = await tx.scalars(query.order_by(TemplateRow.name).limit(limit + 1))
        keyring = await self._keyring(tx, rows)
        return [_as_template(row, keyring) for row in rows]

    async def get(self, tx: ReadTx, name: str) -> Template:
        """One template.

        Raises:
            TemplateNotFoundError: No such template in this tenant.
        """
        row = await tx.scalar(sa.select(TemplateRow).where(TemplateRow.name == name))
        if row is None:
            raise TemplateNotFoundError
        return _as_template(row, await self._keyring(tx, [row]))

    async def check(
        self, tenant_id: str, *, subject: str, text: str | None, html: str | None
    ) -> CheckedTemplate:
        """Compile a template, which takes a second if it is large. Not in a transaction.

        Raises:
            TemplateInvalidError: Syntax error, or something the sandbox never allows.
        """
        source = TemplateSource(subject, text, html)
        try:
            await self._turns.run(tenant_id, lambda: check_source(source))
        except TemplateInvalidError as exc:
            if "part" in exc.extra:
                exc.at(exc.extra["part"])
            raise
        return CheckedTemplate(source)

    async def preview(
        self,
        tenant_id: str,
        *,
        subject: str,
        text: str | None,
        html: str | None,
        variables: Mapping[str, Any],
    ) -> TemplatePreview:
        """Fill a template in that need not be saved. Not in a transaction.

        What lacks variables is not filled in, and says which.

        Raises:
            TemplateInvalidError: As :meth:`check`, or it exceeds its budget.
            TemplateVariablesError: The variables are there and do not fit.
        """
        source = TemplateSource(subject, text, html)

        def fill_in() -> TemplatePreview:
            purse = Purse()
            used = find_variables(source, purse)
            try:
                return TemplatePreview(used, render(source, variables, purse), ())
            except TemplateVariablesError as exc:
                if not exc.extra.get("missing"):
                    raise exc.at("variables")  # noqa: B904 - it is the same one
                # Those of the other parts as well, which were not come to.
                needed = {name for name, is_needed in used.items() if is_needed} - variables.keys()
                missing = sorted({*exc.extra["missing"], *needed})
                return TemplatePreview(used, None, tuple(missing))

        try:
            return await self._turns.run(tenant_id, fill_in)
        except TemplateInvalidError as exc:
            if "part" in exc.extra:
                exc.at(exc.extra["part"])
            raise

    async def put(
        self, tx: Tx, *, name: str, checked: CheckedTemplate, expected_version: str | None
    ) -> Template:
        """Create or replace a template that :meth:`check` has passed.

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
                    + TemplateRow.characters
                )
            ).where(TemplateRow.name != name)
        )
        characters = characters_of(subject, text, html)
        if int(others or 0) + characters > self._max_characters:
            raise TemplatesTooLargeError(
                f"A tenant's templates may have {self._max_characters} characters together.",
                limit=self._max_characters,
            )
        keyring = await self._security.keyring(tx)
        if expected_version is not None:
            row = await tx.scalar(
                sa.select(TemplateRow).where(TemplateRow.name == name).with_for_update()
            )
            if row is None or _as_template(row, keyring).version != expected_version:
                raise TemplateChangedError
        made = Template(name, subject, text, html, tx.now())
        source = TemplateSource(subject, text, html)
        values = {
            **CLEARED,
            "sealed_source": seal_source(keyring, tx.tenant_id, name, source),
            "characters": characters,
            "updated_at": made.updated_at,
        }
        await tx.upsert(
            TemplateRow,
            {"tenant_id": tx.tenant_id, "name": name, **values},
            conflict=["tenant_id", "name"],
            update=values,
        )
        tx.audit("email_template.saved", f"email_template:{name}")
        return made

    async def delete(self, tx: Tx, name: str) -> None:
        """Delete a template; messages already made from it are not touched.

        Raises:
            TemplateNotFoundError: No such template in this tenant.
        """
        row = await tx.scalar(sa.select(TemplateRow).where(TemplateRow.name == name))
        if row is None:
            raise TemplateNotFoundError
        await tx.session.delete(row)
        tx.audit("email_template.deleted", f"email_template:{name}")

    async def _keyring(self, tx: ReadTx, rows: Iterable[TemplateRow]) -> Keyring | None:
        """What opens these rows; None where all of them are of before their sealing."""
        if all(row.sealed_source is None for row in rows):
            return None
        return await self._security.keyring(tx)


def _as_template(row: TemplateRow, keyring: Keyring | None) -> Template:
    source = source_of(keyring, row)
    return Template(row.name, source.subject, source.text, source.html, row.updated_at)
