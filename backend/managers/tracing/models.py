"""Tables of the tracing room; private to it."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.columns import Base, Id, Json, TenantOwned


class TraceRow(TenantOwned, Base):
    """What is known of a whole trace; its id says when it was first kept.

    ``workflow_id``, ``execution_id`` and ``request_id`` are empty where no span names one.
    """

    __tablename__ = "traces"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    trace_id: Mapped[str]
    service: Mapped[str]
    name: Mapped[str]
    started_ns: Mapped[int]
    duration_ns: Mapped[int]
    spans: Mapped[int]
    errors: Mapped[int]
    size_bytes: Mapped[int]
    kept_for: Mapped[str]
    workflow_id: Mapped[str]
    execution_id: Mapped[str]
    request_id: Mapped[str]
    created_at: Mapped[datetime]
    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "trace_id"),
        sa.Index("ix_traces_workflow_id", "tenant_id", "workflow_id", "id"),
        sa.Index("ix_traces_execution_id", "tenant_id", "execution_id", "id"),
    )


class SpanRow(TenantOwned, Base):
    """A span of a kept trace: times in nanoseconds, kind and status as OTLP numbers them."""

    __tablename__ = "trace_spans"
    trace: Mapped[str] = mapped_column(Id, primary_key=True)
    span_id: Mapped[str] = mapped_column(primary_key=True)
    parent_id: Mapped[str]
    service: Mapped[str]
    name: Mapped[str]
    kind: Mapped[int]
    started_ns: Mapped[int]
    duration_ns: Mapped[int]
    status: Mapped[int]
    message: Mapped[str]
    request_id: Mapped[str]
    attributes: Mapped[dict[str, Any]]
    resource: Mapped[dict[str, Any]]
    events: Mapped[list[Any]] = mapped_column(Json)
    links: Mapped[list[Any]] = mapped_column(Json)
    size_bytes: Mapped[int]
    __table_args__ = (
        sa.Index("ix_trace_spans_service", "tenant_id", "service", "trace"),
        sa.Index("ix_trace_spans_name", "tenant_id", "name", "trace"),
        sa.Index("ix_trace_spans_request_id", "tenant_id", "request_id", "trace"),
    )


class OperationRow(TenantOwned, Base):
    """What came of an operation in a minute, in one process: of all spans, kept or not."""

    __tablename__ = "trace_operations"
    window_at: Mapped[datetime] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    service: Mapped[str]
    name: Mapped[str]
    spans: Mapped[int]
    errors: Mapped[int]
    seconds_sum: Mapped[float]
    buckets: Mapped[list[int]] = mapped_column(Json)


class CountRow(TenantOwned, Base):
    """What became of a tenant's spans on a day, in UTC."""

    __tablename__ = "trace_counts"
    day: Mapped[str] = mapped_column(primary_key=True)
    kept: Mapped[int]
    kept_bytes: Mapped[int]
    # Of those that are kept, the ones that were for a line of a log alone.
    kept_by_log: Mapped[int]
    dropped_by_policy: Mapped[int]
    dropped_by_overflow: Mapped[int]
    rejected: Mapped[int]
    # On to the collector, and not: that it was asked for says the operator's setting.
    forwarded: Mapped[int]
    not_forwarded: Mapped[int]


class TraceSettingsRow(TenantOwned, Base):
    """What a tenant has said of its traces; what is null is the operator's."""

    __tablename__ = "trace_settings"
    share: Mapped[float | None]
    keep_days: Mapped[int | None]
    keep_sampled: Mapped[bool]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
