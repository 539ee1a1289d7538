"""Replacing data keys: a new version opens at once, and seals when every process knows it.

A process seals with what it has read within the last ``keyring_seconds``. So a version that begins
to seal after twice that is known to all who will meet what it sealed, and no reader fails.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.paging import newest
from backend.managers.security.models import DataKey, RetirementRow, RewrapRow
from backend.managers.security.settings import SecuritySettings

logger = logging.getLogger(__name__)

KEYS_GONE: Final = "data_keys"
"""The signal that a tenant's keys are others than before; its payload is the tenant's id."""

NewKey = Callable[[str, int, datetime], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class KeyVersion:
    """One version of a tenant's data key.

    Attributes:
        id: Of the key, as envelopes name it.
        version: From 1.
        state: ``pending`` until it seals, ``current``, or ``old`` when a newer one does.
        created_at: When it was made.
        seals_from: From when on it seals or sealed.
        due_at: When it is replaced by its age; None for one that has been.
        left: Values under it that the last whole count found and left; None: never counted since.
    """

    id: str
    version: int
    state: str
    created_at: datetime
    seals_from: datetime
    due_at: datetime | None
    left: int | None


@dataclass(frozen=True, slots=True)
class Retirement:
    """That a version was destroyed, in signed words."""

    id: str
    version: int
    retired_at: datetime
    statement: str
    signature: str
    key_id: str


class Rotation:
    """Making the next version, and telling which there are."""

    def __init__(self, settings: SecuritySettings, new_key: NewKey) -> None:
        self._settings = settings
        self._new_key = new_key

    async def rotate(self, tx: Tx) -> tuple[KeyVersion, bool]:
        """Make the next version of the tenant's data key; it seals after twice ``keyring_seconds``.

        One that does not seal yet is the next one already. The caller has seen to it that there is
        a key.

        Returns:
            The next version, and whether it was made now.
        """
        newest = (await keys_of(tx, lock=True))[-1]
        if begins(newest) > tx.now():
            return self._shown(newest, "pending", None), False
        row = self._new_key(tx.tenant_id, newest.version + 1, tx.now())
        row["seals_from"] = tx.now() + timedelta(seconds=2 * self._settings.keyring_seconds)
        if not await tx.insert_new(DataKey, row, conflict=["tenant_id", "version"]):
            # Somebody else's committed since the look: it can only be as young as this one.
            return self._shown((await keys_of(tx))[-1], "pending", None), False
        version = row["version"]
        tx.audit("data_key.rotated", f"data_key:{row['id']}", version=version)
        tx.emit("data_key.rotated", f"data_key:{row['id']}", version=version)
        tx.signal(KEYS_GONE, tx.tenant_id)
        logger.info("data_key_rotated", extra={"tenant_id": tx.tenant_id, "version": version})
        return self._shown(DataKey(**row), "pending", None), True

    async def list_versions(self, tx: ReadTx) -> list[KeyVersion]:
        """The versions that are there, oldest first; none before anything was sealed."""
        rows = await keys_of(tx)
        if not rows:
            return []
        walk: RewrapRow | None = await tx.scalar(sa.select(RewrapRow))
        left: Mapping[str, int] | None = None if walk is None else walk.left
        now = tx.now()
        current = sealing(rows, now)
        return [
            self._shown(
                row,
                "pending"
                if begins(row) > now
                else "current"
                if row.version == current.version
                else "old",
                None if left is None else int(left.get(str(row.version), 0)),
            )
            for row in rows
        ]

    async def list_retirements(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> list[Retirement]:
        """Records of versions that are gone, newest first, one more than ``limit``."""
        query = sa.select(RetirementRow)
        rows = await tx.scalars(newest(query, RetirementRow.id, limit, before_id))
        return [
            Retirement(
                row.id, row.version, row.retired_at, row.statement, row.signature, row.key_id
            )
            for row in rows
        ]

    def is_due(self, newest: DataKey, now: datetime) -> bool:
        """Whether a tenant's newest version has reached its age."""
        return self._due_at(newest) <= now

    def _due_at(self, row: DataKey) -> datetime:
        return begins(row) + timedelta(days=self._settings.rotate_days)

    def _shown(self, row: DataKey, state: str, left: int | None) -> KeyVersion:
        due_at = None if state == "old" else self._due_at(row)
        # What seals now has nothing left to be sealed anew.
        kept = left if state == "old" else None
        return KeyVersion(row.id, row.version, state, row.created_at, begins(row), due_at, kept)


async def keys_of(tx: ReadTx, *, lock: bool = False) -> Sequence[DataKey]:
    """The tenant's keys by version."""
    query = sa.select(DataKey).where(DataKey.tenant_id == tx.tenant_id).order_by(DataKey.version)
    rows: Sequence[DataKey] = await tx.scalars(query.with_for_update() if lock else query)
    return rows


def begins(row: DataKey) -> datetime:
    """From when on a version seals, unless a newer one does."""
    return row.seals_from or row.created_at


def sealing(rows: Sequence[DataKey], now: datetime) -> DataKey:
    """Of a tenant's keys by version, the one that seals: the newest that may by now."""
    return next((row for row in reversed(rows) if begins(row) <= now), rows[0])
