"""One row of a tenant by its id: loaded, or refused as a kind of thing that is not there."""

from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from backend.core.database import Base, ReadTx
from backend.core.errors import NotFoundError, PreconditionError

R = TypeVar("R", bound=Base)


class Loader(Generic[R]):
    """Loads rows of a model that have ``tenant_id`` and ``id``."""

    def __init__(
        self,
        model: type[R],
        missing: type[NotFoundError],
        changed: type[PreconditionError] | None = None,
    ) -> None:
        """Load nothing yet.

        Args:
            model: Whose rows; those that are asked for in a version have a ``revision``.
            missing: What is raised where there is none.
            changed: What is raised where it has another version.
        """
        self._model: Any = model
        self._missing = missing
        self._changed = changed

    def one(self, tx: ReadTx, row_id: str) -> sa.Select[tuple[R]]:
        """The statement that finds it, for whoever takes it that there is none."""
        return sa.select(self._model).where(
            self._model.tenant_id == tx.tenant_id, self._model.id == row_id
        )

    async def __call__(
        self, tx: ReadTx, row_id: str, *, expected_version: str | None = None, lock: bool = False
    ) -> R:
        """The row, ``lock`` that nobody else changes it until the transaction ends.

        Raises:
            NotFoundError: No such one in this tenant: the loader's own kind.
            PreconditionError: It has another version: the loader's own kind.
        """
        query = self.one(tx, row_id)
        row: Any = await tx.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise self._missing
        if (
            self._changed is not None
            and expected_version is not None
            and expected_version != str(row.revision)
        ):
            raise self._changed
        found: R = row
        return found
