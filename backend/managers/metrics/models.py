"""Tables of the metrics manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned


class RollupRow(TenantOwned, Base):
    """Ten seconds of one tenant's requests as one process saw them."""

    __tablename__ = "metric_rollups"
    window_at: Mapped[datetime] = mapped_column(primary_key=True)
    process: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int]
    errors: Mapped[int]
    refusals: Mapped[int]
    seconds_sum: Mapped[float] = mapped_column(sa.Float)
    buckets: Mapped[list[int]] = mapped_column(Json)

    # The sweep's alone, which spans tenants.
    __table_args__ = (sa.Index("ix_metric_rollups_window_at", "window_at"),)


class RequestHourRow(TenantOwned, Base):
    """An hour of one tenant's requests, of all processes together."""

    __tablename__ = "metric_request_hours"
    hour_at: Mapped[datetime] = mapped_column(primary_key=True)
    requests: Mapped[int]
    errors: Mapped[int]
    refusals: Mapped[int]
    seconds_sum: Mapped[float] = mapped_column(sa.Float)
    buckets: Mapped[list[int]] = mapped_column(Json)

    # Of folding and of the sweep, which span tenants.
    __table_args__ = (sa.Index("ix_metric_request_hours_hour_at", "hour_at"),)


class MetricTenantRow(TenantOwned, Base):
    """What there is once for a tenant with series of its own; whoever changes those holds its lock.

    ``generation`` counts removals: what a process remembers of an older one is read anew.
    ``keep_days`` is by length of a window in seconds, as text; None: the platform's.
    """

    __tablename__ = "metric_tenants"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    series: Mapped[int]
    next_id: Mapped[int]
    generation: Mapped[int]
    keep_days: Mapped[dict[str, Any] | None] = mapped_column(Json)
    swept_at: Mapped[datetime]
    updated_at: Mapped[datetime | None]
    updated_by: Mapped[str | None]

    __table_args__ = (
        # The sweep's alone: whose series were not looked at for longest?
        sa.Index("ix_metric_tenants_swept_at", "swept_at"),
    )


class MetricHeadRow(TenantOwned, Base):
    """What came of one tenant; none of it waits for whoever folds, who holds the row above.

    ``day`` is the one, in days since 1970, of which processes have taken ``day_points`` out of the
    budget; up to ``event_seq`` the tenant's events are in series.
    """

    __tablename__ = "metric_heads"
    day: Mapped[int]
    day_points: Mapped[int]
    event_seq: Mapped[int]


class SeriesRow(TenantOwned, Base):
    """One series: a name with one set of labels, and what it came to since it is there."""

    __tablename__ = "metric_series"
    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str]
    kind: Mapped[str]
    labels: Mapped[dict[str, Any]] = mapped_column(Json)
    labels_key: Mapped[str]
    created_at: Mapped[datetime]
    last_at: Mapped[datetime]
    observations: Mapped[int]
    total: Mapped[float] = mapped_column(sa.Float)
    last_value: Mapped[float | None] = mapped_column(sa.Float)

    __table_args__ = (sa.UniqueConstraint("tenant_id", "name", "labels_key"),)


class BatchRow(TenantOwned, Base):
    """Points as they came, durable and waiting to be added to their windows."""

    __tablename__ = "metric_batches"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    points: Mapped[bytes]


class ChunkRow(TenantOwned, Base):
    """Neighbouring windows of one series and one length (:mod:`backend.managers.metrics._windows`).

    ``waiting`` says that the windows of the next length do not know all of it yet.
    """

    __tablename__ = "metric_chunks"
    step_seconds: Mapped[int] = mapped_column(primary_key=True)
    series_id: Mapped[int] = mapped_column(primary_key=True)
    start_seconds: Mapped[int] = mapped_column(primary_key=True)
    windows: Mapped[bytes]
    buckets: Mapped[bytes]
    waiting: Mapped[bool]

    __table_args__ = (
        sa.Index("ix_metric_chunks_age", "tenant_id", "step_seconds", "start_seconds"),
        sa.Index(
            "ix_metric_chunks_waiting",
            "tenant_id",
            "step_seconds",
            sqlite_where=sa.column("waiting").is_(True),
            postgresql_where=sa.column("waiting").is_(True),
        ),
    )
