"""Tables of the gateway manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned


class ApiKey(TenantOwned, Base):
    """A long-lived credential of one tenant; only its hash is here."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    prefix: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    scopes: Mapped[list[str] | None] = mapped_column(Json)
    networks: Mapped[list[str] | None] = mapped_column(Json)


class IdempotencyRecord(TenantOwned, Base):
    """The first answer to an Idempotency-Key, its body sealed."""

    __tablename__ = "idempotency_records"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    client: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[bytes]
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    sealed_by: Mapped[str] = mapped_column(Id)
    sealed_body: Mapped[bytes]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class LimitRow(TenantOwned, Base):
    """How much a tenant, its callers or their use of a class of routes may have.

    Rows of the platform's own tenant are for every tenant. Of a rate all three columns are there,
    or none. A row of one caller may be of their use of a class alone; others have an empty one.
    """

    __tablename__ = "limits"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    owner: Mapped[str]
    kind: Mapped[str]
    name: Mapped[str]
    route_class: Mapped[str]
    requests_burst: Mapped[int | None]
    requests_refill: Mapped[int | None]
    requests_seconds: Mapped[int | None]
    sustained_burst: Mapped[int | None]
    sustained_refill: Mapped[int | None]
    sustained_seconds: Mapped[int | None]
    bytes_burst: Mapped[int | None]
    bytes_refill: Mapped[int | None]
    bytes_seconds: Mapped[int | None]
    concurrency: Mapped[int | None]
    cost: Mapped[int | None]
    revision: Mapped[int]
    updated_by: Mapped[str]
    updated_at: Mapped[datetime]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "owner", "kind", "name", "route_class"),)
