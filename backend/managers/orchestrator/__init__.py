"""Durable jobs: submitted in the caller's transaction, run at least once, recovered after crashes.

Tables: ``jobs``, ``job_attempts``, ``job_tenants``, ``job_workers``; ``job_graphs`` and
``job_edges`` hold the dependencies between jobs. Audits ``job.submitted``, ``job.cancelled``,
``job.bulk_cancelled``, ``job.args_changed``, ``job.retried``, ``job.bulk_retried``,
``job.answered``, ``job_limits.changed``, ``job_graph.submitted``, ``.paused``, ``.resumed``,
``.cancelled`` and ``.retried``, and of the platform ``worker.drained`` and ``worker.resumed``.
Signals ``jobs`` (there may be work), ``job_cancel`` (a running job should stop) and ``job_drain``
(a worker should ask whether it is to drain).

Other managers describe their background work as a :class:`JobKind` and hand it to
:meth:`OrchestratorManager.register`; :class:`Worker` runs it.
"""

from backend.core.room import (
    OPERATOR,
    VIEWER,
    WORKFLOW,
    Ending,
    FleetCheck,
    FleetGauge,
    Room,
    RouteClass,
    Sweep,
    Tick,
)
from backend.managers.orchestrator._answers import Callbacks
from backend.managers.orchestrator._drafts import GraphDraft, TaskDraft
from backend.managers.orchestrator._lists import STATES
from backend.managers.orchestrator._worker import OnEvent, Worker
from backend.managers.orchestrator._workers import WORKER_STATES
from backend.managers.orchestrator.errands import (
    CLAIM,
    COUNT,
    RETENTION,
    SCHEDULES,
    WATCH,
    WORK,
    WORKERS,
)
from backend.managers.orchestrator.errors import (
    JobNotCancellableError,
    JobNotFoundError,
    JobNotRetryableError,
    NoWorkerError,
    UnknownKindError,
)
from backend.managers.orchestrator.kinds import (
    Batch,
    Claim,
    Fleet,
    Job,
    JobKind,
    JobRequest,
    Outcome,
    Retried,
)
from backend.managers.orchestrator.manager import OrchestratorManager
from backend.managers.orchestrator.models import (
    EdgeRow,
    GraphRow,
    JobAttemptRow,
    JobFiringRow,
    JobLimitsRow,
    JobRow,
    JobScheduleRow,
    WorkerRow,
)
from backend.managers.orchestrator.settings import OrchestratorSettings

SCHEDULE_SECONDS = 5.0
READ = "job:read"
"""The permission to look at jobs."""
JOBS = "jobs"
"""Where the API has them, below its version."""
ANSWER_SECONDS = 5.0
"""So much later than its time an attempt that nobody answered fails."""

ROOM = Room(
    name="orchestrator",
    manager=OrchestratorManager,
    models=(
        *(JobRow, JobAttemptRow, GraphRow, EdgeRow, JobLimitsRow, WorkerRow),
        *(JobScheduleRow, JobFiringRow),
    ),
    permissions={READ: VIEWER | WORKFLOW, "job:write": OPERATOR | WORKFLOW},
    vague_topics=("jobs",),
    errands=(WORK, CLAIM, COUNT, WATCH, WORKERS, SCHEDULES, RETENTION),
    routers=(
        "backend.managers.orchestrator.routes:router",
        "backend.managers.orchestrator.graph_routes:graph_router",
        "backend.managers.orchestrator.schedule_routes:schedule_router",
        "backend.managers.orchestrator.worker_routes:worker_router",
    ),
    mounts="backend.managers.orchestrator.callback_routes:callback_routes",
    document="backend.managers.orchestrator.callback_routes:DOCUMENT",
    route_classes=(
        RouteClass(
            "job_graphs",
            "/api/v1/job-graphs",
            body_bytes=lambda settings: settings.graph_bytes,
        ),
    ),
    events=dict.fromkeys(
        (
            "job.succeeded",
            "job.dead",
            "job.cancelled",
            "job.retried",
            "job_graph.succeeded",
            "job_graph.failed",
            "job_graph.cancelled",
            "job_schedule.missed",
        ),
        READ,
    ),
    ticks=(
        Tick(
            "orchestrator.schedules",
            SCHEDULE_SECONDS,
            lambda jobs, database: jobs.schedules.run(database),
        ),
        Tick(
            "orchestrator.answers",
            ANSWER_SECONDS,
            lambda jobs, database: jobs.answers.give_up(database),
        ),
    ),
    standing=OrchestratorManager.keep_standing,
    erasures={
        JobRow.__tablename__: OrchestratorManager.erase_finished,
        JobAttemptRow.__tablename__: OrchestratorManager.erase_attempts,
    },
    pauses=(OrchestratorManager.tell_running_since,),
    stocks={
        "jobs_waiting": OrchestratorManager.count_waiting,
        "jobs_running": OrchestratorManager.count_running,
    },
    figures=dict.fromkeys(("job.succeeded", "job.dead", "job.cancelled"), ("jobs_ended",)),
    endings={
        "job.succeeded": Ending("jobs", well=True),
        "job.dead": Ending("jobs", well=False),
    },
    sweeps=(Sweep(RETENTION, OrchestratorManager.sweep_finished),),
    fleet_checks=(FleetCheck("workers", WATCH, OrchestratorManager.check_workers),),
    gauges=(
        FleetGauge(
            "email_sender_orchestrator_jobs",
            "Jobs that are not finished, by state.",
            COUNT,
            OrchestratorManager.count_unfinished,
            label="state",
            values=("ready", "running", "awaiting"),
        ),
        FleetGauge(
            "email_sender_orchestrator_workers",
            "Workers, by state; silent ones are told of for an hour.",
            WATCH,
            lambda jobs, tx: jobs.workers.count(tx),
            label="state",
            values=WORKER_STATES,
        ),
    ),
)

__all__ = [
    "COUNT",
    "JOBS",
    "READ",
    "RETENTION",
    "ROOM",
    "STATES",
    "WATCH",
    "WORK",
    "Batch",
    "Callbacks",
    "Claim",
    "Fleet",
    "GraphDraft",
    "Job",
    "JobKind",
    "JobNotCancellableError",
    "JobNotFoundError",
    "JobNotRetryableError",
    "JobRequest",
    "NoWorkerError",
    "OnEvent",
    "OrchestratorManager",
    "OrchestratorSettings",
    "Outcome",
    "Retried",
    "TaskDraft",
    "UnknownKindError",
    "Worker",
]
