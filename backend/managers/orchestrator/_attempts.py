"""What became of attempts that did not succeed: kept beside their job, which goes on.

A job that succeeds at once has nothing here, and costs nothing: its own row tells of the latest
attempt until another begins.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.managers.orchestrator._rows import claim_of
from backend.managers.orchestrator.kinds import Attempt, AttemptOutcome, Claim, storable
from backend.managers.orchestrator.models import JobAttemptRow, JobRow

KEPT: Final = 20
"""Attempts of a job that are kept: mail is tried for days."""
_KEY: Final = ("tenant_id", "job_id", "attempt")
_OF_STATE: Final[Mapping[str, AttemptOutcome]] = {
    "running": "running",
    "awaiting": "awaiting",
    "succeeded": "succeeded",
    "dead": "failed",
    "cancelled": "cancelled",
}


def as_ended(
    tx: Tx, claim: Claim, outcome: AttemptOutcome, *, worker: str | None, error: str | None
) -> dict[str, Any]:
    """The row of an attempt that ends now."""
    return {
        "tenant_id": claim.tenant_id,
        "job_id": claim.id,
        "attempt": claim.attempt,
        "outcome": outcome,
        "worker": worker,
        "started_at": claim.started_at,
        "ended_at": tx.now(),
        # That it was cancelled is no reason of its own.
        "error": None if error is None or error == outcome else storable(error),
    }


async def note(tx: Tx, rows: Sequence[dict[str, Any]]) -> None:
    """Keep what became of these attempts, and of each job no more than the latest."""
    await tx.insert_missing(JobAttemptRow, rows, conflict=_KEY)
    old = [
        (row["tenant_id"], row["job_id"], row["attempt"] - KEPT)
        for row in rows
        if row["attempt"] > KEPT
    ]
    if old:
        key = sa.tuple_(JobAttemptRow.tenant_id, JobAttemptRow.job_id, JobAttemptRow.attempt)
        await tx.execute(
            sa.delete(JobAttemptRow)
            .where(key.in_(old))
            .execution_options(synchronize_session=False)
        )


async def cancel_waiting(tx: Tx, jobs: Sequence[JobRow]) -> None:
    """Cancel jobs that are locked and do not run; an attempt that waits for an answer ends."""
    unanswered = [claim_of(job) for job in jobs if job.state == "awaiting"]
    for job in jobs:
        job.state = "cancelled"
        # Why the latest attempt failed stays; that it was cancelled its state says.
        job.error = job.error or "cancelled"
        job.finished_at = tx.now()
    await tx.session.flush()
    await note(
        tx, [as_ended(tx, each, "cancelled", worker=None, error=None) for each in unanswered]
    )


async def list_attempts(tx: ReadTx, job: JobRow) -> list[Attempt]:
    """The latest attempts at a job, the newest first; the last of them as the job itself has it."""
    kept = await tx.execute(
        sa.select(
            JobAttemptRow.attempt,
            JobAttemptRow.outcome,
            JobAttemptRow.worker,
            JobAttemptRow.started_at,
            JobAttemptRow.ended_at,
            JobAttemptRow.error,
        )
        .where(JobAttemptRow.tenant_id == job.tenant_id, JobAttemptRow.job_id == job.id)
        .order_by(JobAttemptRow.attempt.desc())
    )
    found = [Attempt(*row) for row in kept]
    outcome = _OF_STATE.get(job.state)
    if outcome == "cancelled" and job.worker is None:
        outcome = None  # it waited, and what became of the attempt before that is not known
    is_kept = bool(found) and found[0].attempt >= job.attempt
    if job.attempt and outcome is not None and not is_kept:
        found.insert(
            0,
            Attempt(
                attempt=job.attempt,
                outcome=outcome,
                worker=job.worker,
                started_at=job.started_at,
                ended_at=job.finished_at,
                error=job.error,
            ),
        )
    return found
