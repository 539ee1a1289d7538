"""Metrics: the platform's own series, rolled up every ten seconds and kept in the database.

Owns the table ``metric_rollups``.
"""

from backend.core.room import Room, Sweep, Tick
from backend.managers.metrics.errands import ROLLUPS
from backend.managers.metrics.manager import STEP_SECONDS, MetricsManager, Point, Series
from backend.managers.metrics.models import RollupRow

ROOM = Room(
    name="metrics",
    manager=MetricsManager,
    models=(RollupRow,),
    errands=(ROLLUPS,),
    ticks=(Tick("metrics.flush", STEP_SECONDS, MetricsManager.flush, process="api"),),
    sweeps=(Sweep(ROLLUPS, MetricsManager.sweep),),
    observe=MetricsManager.observe,
    serving=MetricsManager.serving,
)

__all__ = ["ROLLUPS", "ROOM", "STEP_SECONDS", "MetricsManager", "Point", "Series"]
