"""Durable jobs: submitted in the caller's transaction, run at least once, recovered after crashes.

Tables: ``jobs``, ``job_tenants``, ``job_workers``; ``job_graphs`` and ``job_edges`` hold the
dependencies between jobs. Audits ``job.cancelled``, ``job.retried``, ``job_limits.changed``.
Signals ``jobs`` (there may be work) and ``job_cancel`` (a running job should stop).

Other managers describe their background work as a :class:`JobKind` and hand it to
:meth:`OrchestratorManager.register`; :class:`Worker` runs it.
"""

from typing import Final

from backend.managers.orchestrator._worker import OnEvent, Worker
from backend.managers.orchestrator.errors import (
    JobNotCancellableError,
    JobNotFoundError,
    JobNotRetryableError,
    UnknownKindError,
)
from backend.managers.orchestrator.kinds import Batch, Claim, Job, JobKind, JobRequest, Outcome
from backend.managers.orchestrator.manager import OrchestratorManager
from backend.managers.orchestrator.settings import OrchestratorSettings

EVENTS: Final = dict.fromkeys(
    ("job.succeeded", "job.dead", "job.cancelled", "job.retried"), "job:read"
)
"""What it tells of a job, and the permission that reading it takes."""

__all__ = [
    "EVENTS",
    "Batch",
    "Claim",
    "Job",
    "JobKind",
    "JobNotCancellableError",
    "JobNotFoundError",
    "JobNotRetryableError",
    "JobRequest",
    "OnEvent",
    "OrchestratorManager",
    "OrchestratorSettings",
    "Outcome",
    "UnknownKindError",
    "Worker",
]
