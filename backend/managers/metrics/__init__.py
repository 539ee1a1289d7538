"""Metrics: the platform's own series, rolled up every ten seconds and kept in the database.

Owns the table ``metric_rollups``.
"""

from backend.managers.metrics.manager import STEP_SECONDS, MetricsManager, Point, Series

__all__ = ["STEP_SECONDS", "MetricsManager", "Point", "Series"]
