"""Monitoring: health of every dependency, and this process's series for Prometheus."""

from backend.core.room import Room
from backend.managers.monitoring.manager import Check, Health, MonitoringManager
from backend.managers.monitoring.routes import router

ROOM = Room(
    name="monitoring",
    manager=MonitoringManager,
    routers=(router,),
    open_paths=frozenset({"/livez", "/readyz", "/metrics"}),
    observe=MonitoringManager.observe,
    observe_work=MonitoringManager.count_event,
)

__all__ = ["ROOM", "Check", "Health", "MonitoringManager"]
