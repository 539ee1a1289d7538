"""Who opened what a version of a named key had made, and when last: noted, written once a minute.

What a key encrypted lies with whoever asked for it, so nobody here can count what is left under a
version. Who still opens it is what there is to know, and it is what the floor is held to.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, DatabaseUnavailableError, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.managers.security._seals import pause
from backend.managers.security.errands import OPENINGS
from backend.managers.security.models import KeyOpeningRow, KeyRow

logger = logging.getLogger(__name__)

WRITE_SECONDS: Final = 60.0
_PLACE: Final = ("tenant_id", "key_id", "version", "actor")


@dataclass(frozen=True, slots=True)
class Opening:
    """That somebody opens what a version made.

    Attributes:
        version: Of the key.
        actor: Who: ``client:...``, ``api_key:...``, ``user:...``.
        last_at: When last, exact to about a minute.
    """

    id: str
    version: int
    actor: str
    last_at: datetime


class Openings:
    """What this process noted, and what is known of a key."""

    def __init__(self) -> None:
        self._noted: dict[tuple[str, str, int, str], datetime] = {}

    def note(
        self, tenant_id: str, key_id: str, versions: Iterable[int], actor: str, at: datetime
    ) -> None:
        """Remember that ``actor`` opened what these versions made."""
        for version in versions:
            self._noted[tenant_id, key_id, version, actor] = at

    def leave(self, tenant_id: str) -> None:
        """A tenant's data begins to go: nothing noted of it is written any more."""
        for place in [one for one in self._noted if one[0] == tenant_id]:
            del self._noted[place]

    async def keep_writing(self, database: Database, stopping: asyncio.Event) -> None:
        """Write once a minute what was noted, and at the end."""
        while not stopping.is_set():
            await pause(stopping, WRITE_SECONDS)
            try:
                await self.flush(database)
            except DatabaseUnavailableError:
                logger.warning("openings_wait_for_the_database")

    async def flush(self, database: Database) -> None:
        """Write what was noted; what cannot be written is kept for the next time."""
        noted, self._noted = self._noted, {}
        if not noted:
            return
        try:
            async with database.transaction(SystemScope(OPENINGS)) as tx:
                # Held until the commit: a key that is destroyed meanwhile leaves no row behind.
                living = set(
                    await tx.scalars(
                        sa.select(KeyRow.id)
                        .where(KeyRow.id.in_({place[1] for place in noted}))
                        .order_by(KeyRow.id)
                        .with_for_update(read=True, key_share=True)
                    )
                )
                # In one order over all processes, or two of them wait for each other.
                for place, at in sorted(noted.items()):
                    if place[1] in living:
                        row = dict(zip(_PLACE, place, strict=True))
                        await tx.upsert(
                            KeyOpeningRow,
                            {**row, "id": uuid7(), "last_at": at},
                            conflict=_PLACE,
                            update={"last_at": at},
                        )
        except DatabaseUnavailableError:
            self._noted = noted | self._noted
            raise

    async def list(
        self, tx: ReadTx, key_id: str, *, limit: int, before_id: str | None = None
    ) -> Sequence[Opening]:
        """Who opens what the key made, whom was learned of last first, one more than ``limit``."""
        query = sa.select(KeyOpeningRow).where(KeyOpeningRow.key_id == key_id)
        rows = await tx.scalars(newest(query, KeyOpeningRow.id, limit, before_id))
        return [Opening(row.id, row.version, row.actor, row.last_at) for row in rows]

    async def last_by_version(
        self, tx: ReadTx, key_id: str, versions: Sequence[int]
    ) -> dict[int, datetime]:
        """When what each of these versions made was opened last."""
        found = await tx.execute(
            sa.select(KeyOpeningRow.version, sa.func.max(KeyOpeningRow.last_at))
            .where(KeyOpeningRow.key_id == key_id, KeyOpeningRow.version.in_(versions))
            .group_by(KeyOpeningRow.version)
        )
        return dict(found.all())

    async def count_below(self, tx: ReadTx, key_id: str, version: int, *, days: int) -> int:
        """How many callers opened within so many days what a version below this one made."""
        count: int = await tx.scalar(
            sa.select(sa.func.count(sa.distinct(KeyOpeningRow.actor))).where(
                KeyOpeningRow.key_id == key_id,
                KeyOpeningRow.version < version,
                KeyOpeningRow.last_at > tx.now() - timedelta(days=days),
            )
        )
        return count

    async def drop(self, tx: Tx, tenant_id: str, key_id: str, *, limit: int) -> int:
        """Forget a bite of what is known of a key that is destroyed."""
        return await tx.delete_some(
            KeyOpeningRow,
            KeyOpeningRow.tenant_id == tenant_id,
            KeyOpeningRow.key_id == key_id,
            limit=limit,
        )
