"""Tables of the logging manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned


class LogRecord(TenantOwned, Base):
    """One line of a tenant's logs.

    Its id is a UUIDv7 of the line's own time, so that the primary key has lines in the order in
    which they happened; ``seq`` counts a tenant's lines as they came, without gaps: what follows
    them, tails now and exports later, reads by it and misses none.
    """

    __tablename__ = "log_records"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    seq: Mapped[int]
    at: Mapped[datetime]
    received_at: Mapped[datetime]
    severity: Mapped[int]
    source: Mapped[str]
    message: Mapped[str]
    fields: Mapped[dict[str, Any]] = mapped_column(Json)
    trace_id: Mapped[str | None]
    span_id: Mapped[str | None]
    request_id: Mapped[str | None]
    workflow_id: Mapped[str | None]
    execution_id: Mapped[str | None]

    # Each that may be lacking is found by an index of the lines that have it: most have none.
    __table_args__ = (
        sa.Index("ix_log_records_seq", "tenant_id", "seq", unique=True),
        *(
            sa.Index(
                f"ix_log_records_{name}",
                "tenant_id",
                name,
                "id",
                sqlite_where=sa.column(name).is_not(None),
                postgresql_where=sa.column(name).is_not(None),
            )
            for name in ("trace_id", "request_id", "execution_id")
        ),
    )


class LogHead(TenantOwned, Base):
    """What came of one tenant: the last number given, and how much of today's budget is used."""

    __tablename__ = "log_heads"
    seq: Mapped[int]
    refused: Mapped[int]
    day: Mapped[int]
    day_bytes: Mapped[int]


class LogSettingsRow(TenantOwned, Base):
    """How long a tenant's lines are kept, and what is taken out of them before they are."""

    __tablename__ = "log_settings"
    keep_days: Mapped[int]
    retention: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    hidden: Mapped[list[str]] = mapped_column(Json)
    patterns: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    version: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
