"""Rows of jobs: how they are made, found and seen."""

import uuid
from functools import cache
from typing import Any, cast

import sqlalchemy as sa

from backend.core.database import ReadTx, db_now
from backend.core.telemetry import parse_traceparent
from backend.managers.orchestrator.errors import JobNotFoundError
from backend.managers.orchestrator.kinds import Claim, Job, State
from backend.managers.orchestrator.models import JobRow


@cache
def insert_jobs() -> Any:
    """Insert jobs that are due in ``due_in`` seconds, all with the same columns."""
    # "raw": plain columns and one expression; the unit of work has nothing to add to it.
    return (
        sa.insert(JobRow)
        .values(due_at=db_now(sa.bindparam("due_in", type_=sa.Float())))
        .execution_options(dml_strategy="raw")
    )


def is_id(value: str) -> bool:
    """Whether a text is an id as the database has them."""
    try:
        # UUID() also reads braces and URNs, which the database would refuse.
        return str(uuid.UUID(value)) == value
    except ValueError:
        return False


async def load(tx: ReadTx, job_id: str, *, lock: bool = False, fresh: bool = False) -> JobRow:
    """One job; ``fresh`` if a statement may have changed it since it was read.

    Raises:
        JobNotFoundError: No such job in this tenant.
    """
    statement = sa.select(JobRow).where(JobRow.id == job_id)
    if lock:
        statement = statement.with_for_update()
    if fresh:
        statement = statement.execution_options(populate_existing=True)
    row: JobRow | None = await tx.scalar(statement) if is_id(job_id) else None
    if row is None:
        raise JobNotFoundError
    return row


def view_of(row: JobRow) -> Job:
    """The job as its tenant may see it."""
    return Job(
        id=row.id,
        kind=row.kind,
        state=cast("State", row.state),
        attempt=row.attempt,
        max_attempts=row.forgiven + row.max_attempts,
        priority=row.priority,
        due_at=row.due_at,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        worker=row.worker,
        error=row.error,
        result=row.result,
        subject=row.subject,
        cancel_requested=row.cancel_requested,
        graph_id=row.graph_id,
        task=row.key,
        trace_id=trace[0] if (trace := parse_traceparent(row.traceparent)) else None,
    )


def claim_of(row: JobRow) -> Claim:
    """The job as its kind's hooks see it; nobody holds it."""
    return Claim(
        id=row.id,
        tenant_id=row.tenant_id,
        kind=row.kind,
        args=row.args,
        subject=row.subject,
        attempt=row.attempt,
        crashes=row.crashes,
        max_attempts=row.max_attempts,
        backoff_seconds=row.backoff_seconds,
        timeout_seconds=row.timeout_seconds,
        traceparent=row.traceparent,
        actor=row.actor,
        priority=row.priority,
        forgiven=row.forgiven,
        graph_id=row.graph_id,
        started_at=row.started_at,
    )
