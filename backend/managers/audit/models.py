"""Tables of the audit room: the tree over the trail, its signed states, and looks at it."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned


class AuditTile(TenantOwned, Base):
    """Some neighbouring nodes of a tenant's tree (:mod:`backend.managers.audit._tree`)."""

    __tablename__ = "audit_tiles"
    level: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    hashes: Mapped[bytes]


class AuditCheckpoint(TenantOwned, Base):
    """One signed state of a tenant's tree; ``published_at``: when it was handed outside."""

    __tablename__ = "audit_checkpoints"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    size: Mapped[int]
    root: Mapped[bytes]
    note: Mapped[str]
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "size"),
        sa.CheckConstraint("size >= 1", name="size"),
        sa.Index(
            "ix_audit_checkpoints_unpublished",
            "created_at",
            sqlite_where=sa.column("published_at").is_(None),
            postgresql_where=sa.column("published_at").is_(None),
        ),
    )


class AuditVerification(TenantOwned, Base):
    """One look at a tenant's whole trail, or at what came since the last one that held.

    Where it stands is kept so that it goes on after a crash, under a MAC: else who has the
    database could have it go on from what they made up.
    """

    __tablename__ = "audit_verifications"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    state: Mapped[str]
    from_size: Mapped[int]
    target_size: Mapped[int]
    size: Mapped[int]
    chain_hash: Mapped[bytes]
    frontier: Mapped[bytes]
    mac: Mapped[bytes]
    findings: Mapped[list[Any]] = mapped_column(Json)
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
