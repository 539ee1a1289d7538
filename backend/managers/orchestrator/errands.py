"""The orchestrator's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.orchestrator.models import EdgeRow, GraphRow, JobLimitsRow, JobRow, WorkerRow

WORK: Final = Errand(
    "orchestrator.work", tables_of(JobRow, GraphRow, EdgeRow, JobLimitsRow, WorkerRow)
)
"""Claiming, finishing and reaping; the hooks of a kind run within their jobs' tenants instead."""

COUNT: Final = Errand("orchestrator.count", tables_of(JobRow))
"""Counting what waits."""

WATCH: Final = Errand("orchestrator.watch", tables_of(JobRow, WorkerRow))
"""Looking whether anybody works."""

RETENTION: Final = Errand("orchestrator.retention", tables_of(JobRow))
"""Forgetting what has ended."""
