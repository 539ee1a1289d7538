"""Tables of the compliance manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned


class ErasureRow(TenantOwned, Base):
    """That a person is being erased, or was; ``statement`` is signed, and tells of nobody by name.

    ``subject`` is the name that the audit trail has of them, ``also`` the other one if it has two.
    ``sealed_address`` is what the walk looks for, and goes with its end. ``open_key`` keeps two
    walks for one person from each other, and is empty when it is over.

    A round goes through what the rooms declare: ``place`` is the name of where it is, "" between
    two, and ``after`` what the room said last. ``found`` and ``waiting`` are of this round,
    ``counts``, ``looked_at`` and ``rewritten`` of all. ``known_until`` is when something of the
    person could still be read, ``round_at`` when the round began.
    """

    __tablename__ = "erasures"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    subject: Mapped[str]
    also: Mapped[str | None]
    state: Mapped[str]
    open_key: Mapped[str | None]
    sealed_address: Mapped[bytes | None]
    keys: Mapped[list[Any]] = mapped_column(Json)
    counts: Mapped[dict[str, Any]]
    round: Mapped[int]
    place: Mapped[str]
    after: Mapped[str]
    looked_at: Mapped[int]
    rewritten: Mapped[int]
    found: Mapped[int]
    waiting: Mapped[int]
    waits_for: Mapped[str | None]
    started_at: Mapped[datetime]
    known_until: Mapped[datetime]
    round_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    not_before: Mapped[datetime]
    erased_at: Mapped[datetime | None]
    erased_by: Mapped[str]
    statement: Mapped[str | None]
    signature: Mapped[str | None]
    key_id: Mapped[str | None]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "open_key"),
        # The workers': whose walk goes on?
        sa.Index(
            "ix_erasures_running",
            "state",
            sqlite_where=sa.column("state") == "running",
            postgresql_where=sa.column("state") == "running",
        ),
    )
