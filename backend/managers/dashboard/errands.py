"""The dashboard room's work for the platform."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.dashboard.models import DashboardRow, DashboardVersionRow

PLATFORM_DASHBOARDS: Final = Errand(
    "dashboard.platform", tables_of(DashboardRow, DashboardVersionRow), of_platform=True
)
"""Keeping the platform's own dashboards, for somebody whose own tenant keeps the answer."""
