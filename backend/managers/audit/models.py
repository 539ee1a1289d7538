"""Tables of the audit room, beside those of the trail itself, which are the core's."""

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
    """One signed state of a tenant's tree.

    ``handed`` has a bit for each place outside that has it, and ``published_at`` is when all had.
    """

    __tablename__ = "audit_checkpoints"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    size: Mapped[int]
    root: Mapped[bytes]
    note: Mapped[str]
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    handed: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")

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


class RetentionRow(TenantOwned, Base):
    """How long a tenant's records are kept, and how far the older ones were let go.

    ``mac`` says that one of us was told ``keep_days``; ``statement`` is the signed note that says
    what is gone: nothing below ``removed_seq`` is there, and nothing else may be missing.
    """

    __tablename__ = "audit_retentions"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    keep_days: Mapped[int | None]
    mac: Mapped[bytes]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
    checked_at: Mapped[datetime]
    removed_seq: Mapped[int] = mapped_column(sa.BigInteger)
    removed_at: Mapped[datetime | None]
    statement: Mapped[str | None]

    __table_args__ = (
        # The sweep's alone: whose trail was not looked at for longest?
        sa.Index("ix_audit_retentions_checked_at", "checked_at"),
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

    __table_args__ = (
        # The sweep's alone: which of all tenants have ended long ago?
        sa.Index("ix_audit_verifications_finished_at", "finished_at"),
    )


class ExportRow(TenantOwned, Base):
    """One file of records that is being made, or was; ``done_id`` is the last record in it."""

    __tablename__ = "audit_exports"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    job_id: Mapped[str | None] = mapped_column(Id)
    format: Mapped[str]
    wanted: Mapped[dict[str, Any]] = mapped_column(Json)
    # What is there when it is asked for is in it; what comes later is not.
    until_id: Mapped[str] = mapped_column(Id)
    done_id: Mapped[str | None] = mapped_column(Id)
    state: Mapped[str]
    looked_at: Mapped[int] = mapped_column(sa.BigInteger)
    records: Mapped[int] = mapped_column(sa.BigInteger)
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    parts: Mapped[int] = mapped_column(sa.BigInteger)
    error: Mapped[str | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    finished_at: Mapped[datetime | None]
    expires_at: Mapped[datetime]

    __table_args__ = (
        # The sweep's alone, which spans tenants.
        sa.Index("ix_audit_exports_expires_at", "expires_at"),
    )


class ExportPartRow(TenantOwned, Base):
    """A piece of an export's file, compressed: what one transaction of its job made."""

    __tablename__ = "audit_export_parts"
    export_id: Mapped[str] = mapped_column(Id, primary_key=True)
    position: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    content: Mapped[bytes]


class StreamRow(TenantOwned, Base):
    """Where a tenant's trail is pushed to, and the number of the last record that was taken."""

    __tablename__ = "audit_streams"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str]
    target: Mapped[str]
    format: Mapped[str]
    ca_certificate: Mapped[str | None]
    sealed_secret: Mapped[bytes]
    paused: Mapped[bool]
    seq: Mapped[int] = mapped_column(sa.BigInteger)
    # Counts who took it or changed it: only the last one may say what became of a batch.
    fence: Mapped[int] = mapped_column(sa.BigInteger)
    held_until: Mapped[datetime | None]
    failures: Mapped[int] = mapped_column(sa.BigInteger)
    last_error: Mapped[str | None]
    next_try_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]

    __table_args__ = (
        # The tick's alone: which streams of all tenants are due?
        sa.Index("ix_audit_streams_next_try_at", "next_try_at"),
    )
