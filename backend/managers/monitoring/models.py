"""Tables of the monitoring manager. Private: other managers ask the manager."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, TenantOwned


class HealthSampleRow(TenantOwned, Base):
    """A minute or an hour of looks at the platform's health, of all processes together.

    The row without a name is of the whole: ``looked`` times, of which ``impaired`` found something
    wrong that is not required, and ``failed`` something that is. A row with a name is of one check
    and there only if it failed: ``failed`` times, ``detail`` being what it said last.
    """

    __tablename__ = "health_samples"
    step_seconds: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    looked: Mapped[int]
    impaired: Mapped[int]
    failed: Mapped[int]
    detail: Mapped[str | None]


class SloRow(TenantOwned, Base):
    """An objective of a tenant.

    ``source`` is what is counted: requests, a metric, or what events tell the end of. Of those that
    are looked at by a clock ``measured_until`` is how far, and ``problem`` why no further.
    """

    __tablename__ = "slo_objectives"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]
    source: Mapped[str]
    metric: Mapped[str | None]
    good_metric: Mapped[str | None]
    within_ms: Mapped[float | None] = mapped_column(sa.Float)
    within_seconds: Mapped[float | None] = mapped_column(sa.Float)
    objective: Mapped[float] = mapped_column(sa.Float)
    window_days: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    measured_until: Mapped[datetime | None]
    problem: Mapped[str | None]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)


class OutcomeRow(TenantOwned, Base):
    """Five minutes or an hour of what ended, and how much of it ended well.

    ``counted`` is what: requests, what events tell of, or an objective by its id.
    """

    __tablename__ = "slo_outcomes"
    step_seconds: Mapped[int] = mapped_column(primary_key=True)
    counted: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    good: Mapped[int]
    total: Mapped[int]

    # The sweep's alone, which spans tenants.
    __table_args__ = (sa.Index("ix_slo_outcomes_at", "step_seconds", "at"),)


class OutcomeHeadRow(TenantOwned, Base):
    """Up to which event the tenant's outcomes are counted."""

    __tablename__ = "slo_outcome_heads"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    seq: Mapped[int]


class PrometheusQueryRow(TenantOwned, Base):
    """A query that people keep under a name; ``revision`` counts its versions from 1."""

    __tablename__ = "prometheus_queries"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    query: Mapped[str]
    revision: Mapped[int]
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "name"),)


class EvidenceRow(TenantOwned, Base):
    """What a drill or a benchmark of the platform measured, and when."""

    __tablename__ = "slo_evidence"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    kind: Mapped[str]
    value: Mapped[float] = mapped_column(sa.Float)
    at: Mapped[datetime]
    source: Mapped[str]
    note: Mapped[str]
    created_at: Mapped[datetime]
    created_by: Mapped[str]

    __table_args__ = (sa.Index("ix_slo_evidence_kind", "tenant_id", "kind", "at", "id"),)
