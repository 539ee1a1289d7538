"""Tables of the security manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned


class DataKey(TenantOwned, Base):
    """One tenant's data encryption key, wrapped by the root key."""

    __tablename__ = "data_keys"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int]
    wrapped: Mapped[bytes]
    # Which root key has wrapped it; NULL: one from before that was written down.
    root_id: Mapped[str | None]
    created_at: Mapped[datetime]

    # From when on it seals, unless a newer one does: by then every process opens what it sealed.
    # Null: from its making on.
    seals_from: Mapped[datetime | None]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "version"),)


class KeyRow(TenantOwned, Base):
    """A named key of a tenant: what it is for, and what may be done with it."""

    __tablename__ = "security_keys"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    type: Mapped[str]
    latest_version: Mapped[int]
    min_decrypt_version: Mapped[int]
    disabled: Mapped[bool]
    exportable: Mapped[bool]
    rotate_after_seconds: Mapped[int | None]
    rotate_after_operations: Mapped[int | None]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    rotated_at: Mapped[datetime]
    rotates_at: Mapped[datetime | None]
    delete_at: Mapped[datetime | None]
    # Another one with every change but a rotation by operations: what a process knows of the key
    # holds as long as this does.
    revision: Mapped[str] = mapped_column(Id)

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "name"),
        # The tick and the sweep look through all tenants for the few that are due.
        sa.Index("ix_security_keys_rotates_at", "rotates_at"),
        sa.Index("ix_security_keys_delete_at", "delete_at"),
    )


class KeyVersionRow(TenantOwned, Base):
    """One version's material, sealed with the tenant's data key, and how often it may have acted.

    ``operations`` counts what processes have reserved: never less than what they have done.
    """

    __tablename__ = "security_key_versions"
    key_id: Mapped[str] = mapped_column(Id, primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    wrapped: Mapped[bytes]
    public_key: Mapped[str | None]
    operations: Mapped[int]
    created_at: Mapped[datetime]


class KeyOpeningRow(TenantOwned, Base):
    """That somebody opens what a version of a key made, and when last."""

    __tablename__ = "security_key_openings"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    key_id: Mapped[str] = mapped_column(Id)
    version: Mapped[int]
    actor: Mapped[str]
    last_at: Mapped[datetime]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "key_id", "version", "actor"),)


class SealRow(TenantOwned, Base):
    """A tenant whose keys nobody may use: the row is the seal."""

    __tablename__ = "security_seals"
    reason: Mapped[str]
    sealed_at: Mapped[datetime]
    sealed_by: Mapped[str]


class RewrapRow(TenantOwned, Base):
    """A tenant's walk over everything that its keys seal; one row, kept for the next walk.

    A round begins at the first column and goes through each by its table's key: ``place`` is the
    column's number, ``after`` the key of the last row that was done. Of one round, ``found`` counts
    what was not under ``version``, ``broken`` what does not open, and ``counting`` what stayed as
    it was, by version, 0 for what is in the clear; ``left`` is that of the last whole round.
    ``written`` is of all rounds. ``total`` is negative until it has been counted.
    """

    __tablename__ = "data_key_rewraps"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id)
    state: Mapped[str]
    version: Mapped[int]
    round: Mapped[int]
    place: Mapped[int]
    after: Mapped[list[Any]] = mapped_column(Json)
    seen: Mapped[int]
    total: Mapped[int]
    found: Mapped[int]
    written: Mapped[int]
    broken: Mapped[int]
    counting: Mapped[dict[str, Any]]
    left: Mapped[dict[str, Any] | None]
    started_by: Mapped[str]
    started_at: Mapped[datetime]
    round_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    not_before: Mapped[datetime]
    verified_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    # The workers': whose walk goes on?
    __table_args__ = (
        sa.Index(
            "ix_data_key_rewraps_running",
            "state",
            sqlite_where=sa.column("state") == "running",
            postgresql_where=sa.column("state") == "running",
        ),
    )


class RetirementRow(TenantOwned, Base):
    """That a data key was destroyed when nothing was left under it; ``statement`` is signed."""

    __tablename__ = "data_key_retirements"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int]
    retired_at: Mapped[datetime]
    statement: Mapped[str]
    signature: Mapped[str]
    key_id: Mapped[str]


class SubjectKeyRow(TenantOwned, Base):
    """A person's key, sealed with the tenant's data key; ``subject`` as the audit trail names it.

    What was recorded of the person is under it, and unreadable when the row is gone.
    """

    __tablename__ = "subject_keys"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(Id)
    wrapped: Mapped[bytes]
    created_at: Mapped[datetime]
