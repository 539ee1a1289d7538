"""Monitoring: health of every dependency, how it was, and this process's series for Prometheus.

Owns the table ``health_samples``.
"""

from backend.core.room import VIEWER, Room, Sweep, Tick
from backend.managers.monitoring._history import PROBE_SECONDS, Health, HealthHistory
from backend.managers.monitoring.errands import HISTORY
from backend.managers.monitoring.manager import Check, MonitoringManager
from backend.managers.monitoring.models import HealthSampleRow
from backend.managers.monitoring.routes import router, status_router

ROOM = Room(
    name="monitoring",
    manager=MonitoringManager,
    models=(HealthSampleRow,),
    errands=(HISTORY,),
    permissions={"status:read": VIEWER},
    routers=(router, status_router),
    open_paths=frozenset({"/livez", "/readyz", "/metrics"}),
    ticks=(Tick("monitoring.probe", PROBE_SECONDS, MonitoringManager.probe, process="api"),),
    sweeps=(Sweep(HISTORY, MonitoringManager.sweep),),
    observe=MonitoringManager.observe,
    observe_work=MonitoringManager.count_event,
    serving=MonitoringManager.serving,
)

__all__ = ["HISTORY", "ROOM", "Check", "Health", "HealthHistory", "MonitoringManager"]
