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


class LogExportRow(TenantOwned, Base):
    """How far a tenant's lines have come on their way to Elasticsearch.

    Of the numbers after ``started_seq`` up to ``seq`` each is one of ``exported``, ``dead``,
    ``forgotten`` and ``lost``.
    """

    __tablename__ = "log_exports"
    started_seq: Mapped[int]
    seq: Mapped[int]
    # Lines up to here may have been sent, whatever became of it.
    sent_seq: Mapped[int]
    exported: Mapped[int]
    dead: Mapped[int]
    forgotten: Mapped[int]
    lost: Mapped[int]
    # Whether somebody wants dead letters to be tried once more.
    retrying: Mapped[bool]
    # Counts who took it: only the last one may say what became of lines.
    fence: Mapped[int]
    held_until: Mapped[datetime | None]
    failures: Mapped[int]
    last_error: Mapped[str | None]
    next_try_at: Mapped[datetime]
    delivered_at: Mapped[datetime | None]
    # The line that is refused while others are taken, and since when.
    refused_seq: Mapped[int | None]
    refused_since: Mapped[datetime | None]


class LogDeadLetter(TenantOwned, Base):
    """A line that Elasticsearch does not take, and why; the line itself is where it was."""

    __tablename__ = "log_dead_letters"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    seq: Mapped[int]
    document_id: Mapped[str]
    stream: Mapped[str]
    status: Mapped[int]
    kind: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]
    retrying: Mapped[bool]

    __table_args__ = (
        sa.Index("ix_log_dead_letters_seq", "tenant_id", "seq", unique=True),
        sa.Index(
            "ix_log_dead_letters_retrying",
            "tenant_id",
            "seq",
            sqlite_where=sa.column("retrying", sa.Boolean()).is_(True),
            postgresql_where=sa.column("retrying", sa.Boolean()).is_(True),
        ),
    )
