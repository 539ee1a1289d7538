"""Dashboard: read models of what the console shows. Owns no table."""

from backend.core.room import VIEWER, Room
from backend.managers.dashboard.manager import DashboardManager, Failure, Overview
from backend.managers.dashboard.routes import router

ROOM = Room(
    name="dashboard",
    manager=DashboardManager,
    permissions={"overview:read": VIEWER},
    routers=(router,),
)

__all__ = ["ROOM", "DashboardManager", "Failure", "Overview"]
