"""Queries to a Prometheus that people keep under a name, for all who may see the tenant's.

Kept as they were written, unfinished ones too: whether one can be read is said when it is asked,
by the server that is there then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from backend.core.database import Integrity, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.paging import newest
from backend.managers.monitoring.errors import (
    QueryChangedError,
    QueryExistsError,
    QueryNotFoundError,
    TooManyQueriesError,
)
from backend.managers.monitoring.models import PrometheusQueryRow

_load: Final = Loader(PrometheusQueryRow, QueryNotFoundError, QueryChangedError)

MAX_QUERIES: Final = 200
"""Of a tenant: what a list that somebody chooses from still holds at once."""


@dataclass(frozen=True, slots=True)
class KeptQuery:
    """A query and its name; ``version`` is for ``If-Match``."""

    id: str
    name: str
    query: str
    version: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class KeptQueries:
    """A tenant's kept queries."""

    async def create(self, tx: Tx, *, name: str, query: str) -> KeptQuery:
        """Keep a query.

        Args:
            tx: The tenant's.
            name: Unique in the tenant.
            query: Any text; PromQL when it is asked.

        Raises:
            QueryExistsError: The name is taken.
            TooManyQueriesError: There are two hundred.
        """
        count = sa.select(sa.func.count()).select_from(PrometheusQueryRow)
        if await tx.scalar(count.where(PrometheusQueryRow.tenant_id == tx.tenant_id)) >= (
            MAX_QUERIES
        ):
            raise TooManyQueriesError(f"They are {MAX_QUERIES}: delete one that nobody asks")
        row = {
            "tenant_id": tx.tenant_id,
            "id": uuid7(),
            "name": name,
            "query": query,
            "revision": 1,
            "created_at": tx.now(),
            "created_by": tx.scope.actor,
            "updated_at": tx.now(),
            "updated_by": tx.scope.actor,
        }
        if not await tx.insert_new(PrometheusQueryRow, row, conflict=["tenant_id", "name"]):
            raise QueryExistsError().at("name")
        tx.audit("prometheus_query.created", f"prometheus_query:{row['id']}", name=name)
        return await self.get(tx, str(row["id"]))

    async def get(self, tx: ReadTx, query_id: str) -> KeptQuery:
        """One of them.

        Raises:
            QueryNotFoundError: No such one in this tenant.
        """
        return _value(await _load(tx, query_id))

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[KeptQuery]:
        """The newest first, one more than ``limit``."""
        query = sa.select(PrometheusQueryRow).where(PrometheusQueryRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, PrometheusQueryRow.id, limit, before_id))
        return [_value(row) for row in rows]

    async def replace(
        self, tx: Tx, query_id: str, *, name: str, query: str, expected_version: str | None
    ) -> KeptQuery:
        """Keep another query, or under another name.

        Raises:
            QueryNotFoundError: No such one in this tenant.
            QueryChangedError: Somebody changed it meanwhile.
            QueryExistsError: Another one has the name.
        """
        row = await _load(tx, query_id, expected_version=expected_version, lock=True)
        try:
            async with tx.savepoint():
                row.name, row.query = name, query
                row.revision += 1
                row.updated_at, row.updated_by = tx.now(), tx.scope.actor
        except Integrity as exc:
            raise QueryExistsError().at("name") from exc
        tx.audit("prometheus_query.changed", f"prometheus_query:{query_id}", name=name)
        return _value(row)

    async def remove(self, tx: Tx, query_id: str, *, expected_version: str | None) -> None:
        """Keep it no more.

        Raises:
            QueryNotFoundError: No such one in this tenant.
            QueryChangedError: Somebody changed it meanwhile.
        """
        row = await _load(tx, query_id, expected_version=expected_version, lock=True)
        tx.audit("prometheus_query.deleted", f"prometheus_query:{query_id}", name=row.name)
        await tx.session.delete(row)


def _value(row: PrometheusQueryRow) -> KeptQuery:
    return KeptQuery(
        id=row.id,
        name=row.name,
        query=row.query,
        version=str(row.revision),
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )
