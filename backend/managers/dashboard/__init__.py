"""Dashboard: read models of what the console shows. Owns no table."""

from backend.managers.dashboard.manager import DashboardManager, Failure, Overview

__all__ = ["DashboardManager", "Failure", "Overview"]
