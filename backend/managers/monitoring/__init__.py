"""Monitoring: health of every dependency, and this process's series for Prometheus."""

from backend.managers.monitoring.manager import Check, Health, MonitoringManager

__all__ = ["Check", "Health", "MonitoringManager"]
