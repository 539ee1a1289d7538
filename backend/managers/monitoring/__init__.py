"""Monitoring: health of every dependency, and this process's series for Prometheus."""

from backend.managers.monitoring._events import EventSeries
from backend.managers.monitoring.manager import Check, Health, MonitoringManager

__all__ = ["Check", "EventSeries", "Health", "MonitoringManager"]
