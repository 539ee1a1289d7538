"""The orchestrator's tables: jobs, their graphs, the limits per tenant, the live workers."""

from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned

# Literals, not binds: a partial index serves only a statement that spells its condition out
# (SQLite always, PostgreSQL as soon as it plans generically).
READY: Final[sa.ColumnElement[str]] = sa.literal_column("'ready'", sa.Text())
RUNNING: Final[sa.ColumnElement[str]] = sa.literal_column("'running'", sa.Text())
AWAITING: Final[sa.ColumnElement[str]] = sa.literal_column("'awaiting'", sa.Text())


def _where(condition: str | sa.ColumnElement[bool]) -> dict[str, Any]:
    clause = sa.literal_column(condition, sa.Boolean()) if isinstance(condition, str) else condition
    return {"sqlite_where": clause, "postgresql_where": clause}


class JobRow(TenantOwned, Base):
    """One piece of work and all that is known of it."""

    __tablename__ = "jobs"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    graph_id: Mapped[str | None] = mapped_column(Id)
    # Its name within its graph, and what of those it waits for it takes to start.
    key: Mapped[str | None]
    runs_on: Mapped[str] = mapped_column(default="success")
    # From when nothing is waited for any more; of a job without a graph its due time says it.
    delay_seconds: Mapped[float] = mapped_column(default=0.0)
    # What it takes from those it waits for, and which one it is a part of.
    wiring: Mapped[dict[str, Any] | None] = mapped_column(Json)
    part_of: Mapped[str | None] = mapped_column(Id)
    kind: Mapped[str] = mapped_column()
    args: Mapped[dict[str, Any]]
    subject: Mapped[str | None]
    state: Mapped[str] = mapped_column(default="ready")
    waiting: Mapped[int] = mapped_column(default=0)
    priority: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column()
    timeout_seconds: Mapped[float]
    attempt: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    # Attempts before the last retry: they are counted, and use up nothing any more.
    forgiven: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int]
    backoff_seconds: Mapped[float]
    # The attempt that was answered from elsewhere: who answers it again is told the same.
    answered: Mapped[int | None]
    worker: Mapped[str | None] = mapped_column()
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    result: Mapped[Any | None] = mapped_column(Json)
    error: Mapped[str | None]
    traceparent: Mapped[str]
    actor: Mapped[str]
    dedup_key: Mapped[str | None] = mapped_column()
    created_at: Mapped[datetime] = mapped_column()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        # Not of those without a key: each change of one would be noted among as many equal entries.
        sa.Index(
            "uq_jobs_tenant_id_kind_dedup_key",
            *(tenant_id, kind, dedup_key),
            unique=True,
            **_where(dedup_key.is_not(None)),
        ),
        # The order of claiming. Only ready rows: the index stays as small as the backlog.
        sa.Index(
            "ix_jobs_ready", tenant_id, priority.desc(), due_at, id, **_where("state = 'ready'")
        ),
        # "Does this tenant have anything due?" in one probe, however much waits for later.
        sa.Index("ix_jobs_due", tenant_id, due_at, **_where("state = 'ready'")),
        sa.Index("ix_jobs_running", tenant_id, worker, **_where("state = 'running'")),
        sa.Index("ix_jobs_tenant_id_state_created_at", tenant_id, state, created_at, id),
        sa.Index("ix_jobs_kind", tenant_id, kind, state, created_at, id),
        sa.Index(
            "ix_jobs_graph", tenant_id, "graph_id", "state", id, **_where("graph_id IS NOT NULL")
        ),
        # Whether a graph has a task of this name, however many it has.
        sa.Index("ix_jobs_key", tenant_id, "graph_id", "key", **_where("graph_id IS NOT NULL")),
        sa.Index(
            "ix_jobs_subject",
            *(tenant_id, "subject", state, created_at, id),
            **_where("subject IS NOT NULL"),
        ),
        # Whose time to be answered has passed, whatever the tenant.
        sa.Index("ix_jobs_awaiting", due_at, **_where("state = 'awaiting'")),
        # What retention looks for, whatever the tenant.
        sa.Index("ix_jobs_finished_at", "finished_at", **_where("finished_at IS NOT NULL")),
        # A queue table turns over completely many times a day: the default of 20 % dead rows
        # before a vacuum would let claims wade through them.
        {"postgresql_with": {"autovacuum_vacuum_scale_factor": "0.02", "fillfactor": "80"}},
    )


class JobAttemptRow(TenantOwned, Base):
    """What became of an attempt that did not succeed."""

    __tablename__ = "job_attempts"
    job_id: Mapped[str] = mapped_column(Id, primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    worker: Mapped[str | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime]
    error: Mapped[str | None]

    # What retention looks for, whatever the tenant.
    __table_args__ = (sa.Index("ix_job_attempts_ended_at", "ended_at"),)


class GraphRow(TenantOwned, Base):
    """A set of jobs that depend on each other and end together."""

    __tablename__ = "job_graphs"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    state: Mapped[str]
    paused: Mapped[bool] = mapped_column(default=False)
    total: Mapped[int] = mapped_column(default=0)
    succeeded: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    skipped: Mapped[int] = mapped_column(default=0)
    dedup_key: Mapped[str | None] = mapped_column()
    actor: Mapped[str]
    # What its submitter held, of the permissions that kinds take: what it grows is held to them.
    rights: Mapped[list[str] | None] = mapped_column(Json)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index(
            "uq_job_graphs_tenant_id_dedup_key",
            *("tenant_id", dedup_key),
            unique=True,
            **_where(dedup_key.is_not(None)),
        ),
        sa.Index("ix_job_graphs_tenant_id_created_at", "tenant_id", "created_at", "id"),
        sa.Index("ix_job_graphs_state", "tenant_id", "state", "id"),
        sa.Index("ix_job_graphs_finished_at", "finished_at", **_where("finished_at IS NOT NULL")),
    )


class EdgeRow(TenantOwned, Base):
    """``child`` waits for ``parent``."""

    __tablename__ = "job_edges"
    parent_id: Mapped[str] = mapped_column(Id, primary_key=True)
    child_id: Mapped[str] = mapped_column(Id, primary_key=True)

    __table_args__ = (sa.Index("ix_job_edges_child_id", "tenant_id", "child_id", "parent_id"),)


class JobScheduleRow(TenantOwned, Base):
    """What is submitted again and again, and when next; null: never again, or it is paused."""

    __tablename__ = "job_schedules"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    timing: Mapped[dict[str, Any]] = mapped_column(Json)
    graph: Mapped[dict[str, Any]] = mapped_column(Json)
    # Of who saved it last, as a graph's.
    rights: Mapped[list[str] | None] = mapped_column(Json)
    overlap: Mapped[str]
    catch_up: Mapped[str]
    jitter_seconds: Mapped[int]
    enabled: Mapped[bool]
    # What the timing says, and when it is looked at: that and the jitter.
    due_at: Mapped[datetime | None]
    next_at: Mapped[datetime | None]
    last_graph_id: Mapped[str | None] = mapped_column(Id)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]
    revision: Mapped[int]

    __table_args__ = (
        sa.UniqueConstraint("tenant_id", "name"),
        sa.Index(
            "ix_job_schedules_next_at", "tenant_id", "next_at", **_where("next_at IS NOT NULL")
        ),
        sa.Index("ix_job_schedules_due", "next_at", **_where("next_at IS NOT NULL")),
    )


class JobFiringRow(TenantOwned, Base):
    """A time at which a schedule was due, and what became of it; of old missed ones many times."""

    __tablename__ = "job_firings"
    schedule_id: Mapped[str] = mapped_column(Id, primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    outcome: Mapped[str]
    why: Mapped[str | None]
    graph_id: Mapped[str | None] = mapped_column(Id)
    decided_at: Mapped[datetime]
    # How many times it stands for, and the last of them.
    times: Mapped[int]
    until: Mapped[datetime | None]

    __table_args__ = (sa.Index("ix_job_firings_decided_at", "decided_at"),)


class JobLimitsRow(TenantOwned, Base):
    """How much of the fleet one tenant may use. Locked while its jobs are claimed."""

    __tablename__ = "job_tenants"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    max_running: Mapped[int | None]
    weight: Mapped[float] = mapped_column(default=1.0)
    rate: Mapped[float | None]
    burst: Mapped[int | None]
    # The rate limit as one instant (GCRA): when the next start is allowed. Unlike a count of
    # tokens it can be compared in SQL on every database, so a tenant without tokens is never
    # a candidate and cannot crowd out the others.
    open_at: Mapped[datetime | None]
    last_claim_at: Mapped[datetime | None]
    paused: Mapped[bool] = mapped_column(default=False)
    # By the platform, whatever the tenant's own limits say: it is suspended, or leaves.
    held: Mapped[bool] = mapped_column(default=False)
    # The platform's, beside the tenant's own max_running.
    quota_running: Mapped[int | None]

    __table_args__ = (
        sa.CheckConstraint("weight > 0", name="weight_positive"),
        sa.CheckConstraint("rate IS NULL OR rate > 0", name="rate_positive"),
        {"postgresql_with": {"fillfactor": "50"}},
    )


class WorkerRow(Base):
    """A process that claims jobs, alive as long as ``beat_at`` keeps changing."""

    __tablename__ = "job_workers"
    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    beat_at: Mapped[datetime]
    started_at: Mapped[datetime]
    # Of the program, and how many jobs it runs at once; null: it is older than these columns.
    version: Mapped[str | None]
    slots: Mapped[int | None]
    # Told to take nothing more; and it has heard, with no claim on its way any more. An older one
    # may be beating while the columns are new: it names neither.
    draining: Mapped[bool] = mapped_column(default=False, server_default=sa.false())
    heeded: Mapped[bool] = mapped_column(default=False, server_default=sa.false())

    __table_args__ = ({"postgresql_with": {"fillfactor": "50"}},)
