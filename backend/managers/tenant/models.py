"""Tables of the tenant manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned


class TenantRow(Base):
    """A customer, or a department that must not see the others' data."""

    __tablename__ = "tenants"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    state: Mapped[str]
    # Why it was suspended; kept while it is to be deleted, and come back to when it is restored.
    reason: Mapped[str | None]
    state_since: Mapped[datetime | None]
    purge_at: Mapped[datetime | None]
    plan: Mapped[str]
    # By name; null: no limit, whatever the plan says.
    overrides: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class CertificateRow(Base):
    """What is to go, or went, of a tenant. Itself of none: it outlives the one it names."""

    __tablename__ = "tenant_certificates"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    tenant: Mapped[str] = mapped_column(Id, unique=True)
    slug: Mapped[str]
    name: Mapped[str]
    tenant_created_at: Mapped[datetime]
    deleted_by: Mapped[str]
    deleted_at: Mapped[datetime]
    begun_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    counts: Mapped[dict[str, Any]]
    # The trail that stays: its last number and link.
    audit_seq: Mapped[int]
    audit_root: Mapped[str]
    # The data keys that were destroyed, written down when its data begins to go; what is signed of
    # all this, when it is gone.
    keys: Mapped[list[Any] | None] = mapped_column(Json)
    statement: Mapped[str | None]
    signature: Mapped[str | None]
    key_id: Mapped[str | None]


class PlanRow(Base):
    """What a plan of the platform allows: a limit for each quota that it has."""

    __tablename__ = "plans"
    name: Mapped[str] = mapped_column(primary_key=True)
    quotas: Mapped[dict[str, Any]]
    updated_at: Mapped[datetime]


class QuotaRow(TenantOwned, Base):
    """What one tenant may, by plan and overrides: what its own transactions can read.

    Who never had a limit has no row.
    """

    __tablename__ = "tenant_quotas"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    limits: Mapped[dict[str, Any]]


class CountRow(TenantOwned, Base):
    """What a tenant has used of one quota, in a window of time or, of a stock, at all.

    Attributes:
        window: The day or month, in UTC; empty for a stock.
        most: What bounded it when it was counted last.
        told: 1 when it was told that 80 % are used, 2 that all is.
    """

    __tablename__ = "tenant_counts"
    quota: Mapped[str] = mapped_column(primary_key=True)
    window: Mapped[str] = mapped_column(primary_key=True)
    used: Mapped[int]
    most: Mapped[int]
    told: Mapped[int]

    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)


class UsageRow(TenantOwned, Base):
    """What a tenant did on one day, in UTC, and what it had when that was looked up last."""

    __tablename__ = "tenant_usage"
    day: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int]
    emails_accepted: Mapped[int]
    emails_bounced: Mapped[int]
    jobs_ended: Mapped[int]
    members: Mapped[int]
    storage_bytes: Mapped[int]


class UsageHeadRow(TenantOwned, Base):
    """The last of the tenant's events that is counted in its usage."""

    __tablename__ = "tenant_usage_heads"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    seq: Mapped[int]


class UserRow(Base):
    """A person. Global: identity is issuer and subject, never linked by e-mail."""

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    issuer: Mapped[str]
    subject: Mapped[str]
    email: Mapped[str]
    name: Mapped[str]
    password_hash: Mapped[str | None]
    platform_role: Mapped[str | None]
    disabled: Mapped[bool]
    created_at: Mapped[datetime]
    # When it was last shown that whoever has the log-in reads the mail of its address; None: never,
    # so whoever made it may be anybody.
    email_proven_at: Mapped[datetime | None]

    __table_args__ = (sa.UniqueConstraint("issuer", "subject"), sa.Index(None, "email"))


class MembershipRow(TenantOwned, Base):
    """One person's one role in one tenant."""

    __tablename__ = "memberships"
    tenant_id: Mapped[str] = mapped_column(Id, sa.ForeignKey("tenants.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(Id, sa.ForeignKey("users.id"), primary_key=True)
    role: Mapped[str]
    created_at: Mapped[datetime]
    disabled: Mapped[bool] = mapped_column(default=False, server_default=sa.false())

    # A log-in's alone: which tenants is this person of?
    __table_args__ = (sa.Index(None, "user_id"),)


class RoleRow(TenantOwned, Base):
    """A role of the tenant's own; ``version`` is the matrix's when it was changed last."""

    __tablename__ = "roles"
    name: Mapped[str] = mapped_column(primary_key=True)
    description: Mapped[str]
    permissions: Mapped[list[str]] = mapped_column(Json)
    version: Mapped[int]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class MatrixRow(TenantOwned, Base):
    """How often the tenant's own roles have changed; never goes back, so that no two are alike."""

    __tablename__ = "role_matrices"
    version: Mapped[int]
