"""Tables of the webhooks manager. Private: other managers ask the manager."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.columns import Base, Id, Json, TenantOwned


class WebhookRow(TenantOwned, Base):
    """A program of the tenant's that is told of events, and how far it has come.

    Whoever takes it counts ``fence`` up and holds it until ``held_until``: what the last one did
    counts, and nobody else's. Where it leads, and what is signed with, is sealed.
    """

    __tablename__ = "webhook_endpoints"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    host: Mapped[str]
    sealed_target: Mapped[bytes]
    kinds: Mapped[list[str]] = mapped_column(Json)
    subject: Mapped[str]
    enabled: Mapped[bool]
    stopped_why: Mapped[str | None]
    key_version: Mapped[int]
    previous_until: Mapped[datetime | None]
    seq: Mapped[int]
    fence: Mapped[int]
    held_until: Mapped[datetime | None]
    failures: Mapped[int]
    failing_since: Mapped[datetime | None]
    last_error: Mapped[str | None]
    next_try_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "name"),
        sa.Index("ix_webhook_endpoints_next_try_at", "tenant_id", "next_try_at"),
    )


class DeliveryRow(TenantOwned, Base):
    """One try to tell a program of one event. What it said is the event's, and kept there."""

    __tablename__ = "webhook_deliveries"
    webhook_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    seq: Mapped[int]
    event_id: Mapped[str] = mapped_column(Id)
    kind: Mapped[str]
    subject: Mapped[str]
    at: Mapped[datetime]
    outcome: Mapped[str]
    attempt: Mapped[int]
    status: Mapped[int | None]
    milliseconds: Mapped[int]
    error: Mapped[str | None]

    __table_args__ = (
        sa.Index("ix_webhook_deliveries_id", "tenant_id", "id"),
        # What was not taken is looked for, and mostly rare.
        sa.Index(
            "ix_webhook_deliveries_failed",
            "tenant_id",
            "webhook_id",
            "id",
            sqlite_where=sa.column("error").is_not(None),
            postgresql_where=sa.column("error").is_not(None),
        ),
    )
