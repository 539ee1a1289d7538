"""Monitoring: health of every dependency, how it was, this process's series, and Prometheus'.

Owns the table ``health_samples``.
"""

from backend.core.room import VIEWER, WORKFLOW, ReadyCheck, Room, Sweep, Tick
from backend.managers.monitoring._history import PROBE_SECONDS, Health, HealthHistory
from backend.managers.monitoring._prometheus import Answer, Asker, Prometheus, Window
from backend.managers.monitoring.errands import HISTORY
from backend.managers.monitoring.errors import (
    BadQueryError,
    PrometheusAbsentError,
    PrometheusUnavailableError,
    QueryBusyError,
    QueryRefusedError,
    QueryTimeoutError,
)
from backend.managers.monitoring.manager import Check, MonitoringManager
from backend.managers.monitoring.models import HealthSampleRow
from backend.managers.monitoring.prometheus_routes import platform_router, prometheus_router
from backend.managers.monitoring.routes import router, status_router
from backend.managers.monitoring.settings import MonitoringSettings

ROOM = Room(
    name="monitoring",
    manager=MonitoringManager,
    models=(HealthSampleRow,),
    errands=(HISTORY,),
    permissions={"status:read": VIEWER, "prometheus:read": VIEWER | WORKFLOW},
    routers=(router, status_router, prometheus_router, platform_router),
    checks=(
        ReadyCheck(
            "prometheus",
            MonitoringManager.check_prometheus,
            required=lambda _: False,
            applies=lambda monitoring: monitoring.prometheus.connected,
        ),
    ),
    open_paths=frozenset({"/livez", "/readyz", "/metrics"}),
    ticks=(Tick("monitoring.probe", PROBE_SECONDS, MonitoringManager.probe, process="api"),),
    sweeps=(Sweep(HISTORY, MonitoringManager.sweep),),
    observe=MonitoringManager.observe,
    observe_work=MonitoringManager.count_event,
    serving=MonitoringManager.serving,
)

__all__ = [
    "HISTORY",
    "ROOM",
    "Answer",
    "Asker",
    "BadQueryError",
    "Check",
    "Health",
    "HealthHistory",
    "MonitoringManager",
    "MonitoringSettings",
    "Prometheus",
    "PrometheusAbsentError",
    "PrometheusUnavailableError",
    "QueryBusyError",
    "QueryRefusedError",
    "QueryTimeoutError",
    "Window",
]
