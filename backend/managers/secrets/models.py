"""Tables of secrets. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned

_DUE: Final = sa.column("due_at").is_not(None)
_UNUSED: Final = sa.column("used_at").is_(None)


class SecretRow(TenantOwned, Base):
    """A secret without its values: where it is, and how its versions are kept."""

    __tablename__ = "secret_items"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    environment: Mapped[str]
    path: Mapped[str]
    description: Mapped[str]
    labels: Mapped[dict[str, Any]] = mapped_column(Json)
    newest: Mapped[int]
    max_versions: Mapped[int]
    cas_required: Mapped[bool]
    ttl_seconds: Mapped[int | None]
    remind_seconds: Mapped[int]
    revision: Mapped[str] = mapped_column(Id)
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]

    # In the order of bytes: that is how folders are found and how lists go on.
    __table_args__ = (
        sa.Index(
            "ix_secret_items_path",
            "tenant_id",
            "environment",
            "path",
            unique=True,
            postgresql_ops={"path": "text_pattern_ops"},
        ),
    )


class VersionRow(TenantOwned, Base):
    """One value, sealed for the place ``secret.version:<id>``.

    ``sealed`` is None once the value is destroyed or its time is over; ``size_bytes`` is 0 then.
    ``due_at`` is when something is to be told or done next: the reminder, then the end.
    """

    __tablename__ = "secret_versions"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    secret_id: Mapped[str] = mapped_column(Id)
    version: Mapped[int]
    sealed: Mapped[bytes | None]
    size_bytes: Mapped[int]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]
    destroyed_at: Mapped[datetime | None]
    due_at: Mapped[datetime | None]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "secret_id", "version"),
        # Of all tenants' the few that are due are looked at every minute.
        sa.Index("ix_secret_versions_due", "due_at", sqlite_where=_DUE, postgresql_where=_DUE),
    )


class TokenRow(TenantOwned, Base):
    """The right of one execution to read one secret once; of the token itself only a hash."""

    __tablename__ = "secret_tokens"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    digest: Mapped[bytes]
    secret_id: Mapped[str] = mapped_column(Id)
    version: Mapped[int | None]
    workflow_id: Mapped[str]
    execution_id: Mapped[str | None]
    issuer_role: Mapped[str | None]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_version: Mapped[int | None]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "digest"),
        sa.Index("ix_secret_tokens_secret", "tenant_id", "secret_id", "id"),
        # What all tenants have of them goes by its time, and is counted where it is unused.
        sa.Index("ix_secret_tokens_expires_at", "expires_at"),
        sa.Index(
            "ix_secret_tokens_unused",
            "expires_at",
            sqlite_where=_UNUSED,
            postgresql_where=_UNUSED,
        ),
    )


class GrantRow(TenantOwned, Base):
    """A role to which a folder is open, in one environment or (``*``) in all."""

    __tablename__ = "secret_grants"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    folder: Mapped[str]
    environment: Mapped[str]
    role: Mapped[str]
    access: Mapped[str]
    created_by: Mapped[str]
    created_at: Mapped[datetime]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "folder", "environment", "role"),)


class TotalRow(TenantOwned, Base):
    """What a tenant has of secrets altogether; of one that never had any there is none."""

    __tablename__ = "secret_totals"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    secrets: Mapped[int]
    size_bytes: Mapped[int]
