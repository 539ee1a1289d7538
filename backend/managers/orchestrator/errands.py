"""The orchestrator's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
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

WORK: Final = Errand(
    "orchestrator.work",
    tables_of(JobRow, JobAttemptRow, GraphRow, EdgeRow, JobLimitsRow, WorkerRow),
)
"""Finishing and reaping; the hooks of a kind run within their jobs' tenants instead."""

CLAIM: Final = Errand("orchestrator.claim", tables_of(JobRow, JobLimitsRow), in_order=True)
"""Claiming."""

COUNT: Final = Errand("orchestrator.count", tables_of(JobRow))
"""Counting what waits."""

WATCH: Final = Errand("orchestrator.watch", tables_of(JobRow, WorkerRow))
"""Looking whether anybody works."""

WORKERS: Final = Errand("orchestrator.workers", tables_of(JobRow, WorkerRow), of_platform=True)
"""Looking who works on what, and telling them to drain."""

SCHEDULES: Final = Errand("orchestrator.schedules", tables_of(JobScheduleRow))
"""Finding whose schedules are due; what is submitted is each tenant's."""

RETENTION: Final = Errand(
    "orchestrator.retention", tables_of(JobRow, JobAttemptRow, GraphRow, EdgeRow, JobFiringRow)
)
"""Forgetting what has ended."""
