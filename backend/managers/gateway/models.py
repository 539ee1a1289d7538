"""Tables of the gateway manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

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
