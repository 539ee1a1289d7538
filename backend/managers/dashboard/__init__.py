"""Dashboard: read models of what the console shows, and the dashboards that people make.

Owns the tables ``dashboards`` and ``dashboard_versions``. Audits ``dashboard.created``,
``dashboard.imported``, ``dashboard.changed``, ``dashboard.restored`` and ``dashboard.deleted``.
Its job kind ``report`` counts what other rooms have.
"""

from backend.core.room import OPERATOR, VIEWER, Room
from backend.managers.dashboard._dashboards import (
    Dashboard,
    DashboardDraft,
    Dashboards,
    DashboardVersion,
    Visibility,
)
from backend.managers.dashboard._shipped import DashboardTemplate
from backend.managers.dashboard.errands import PLATFORM_DASHBOARDS
from backend.managers.dashboard.errors import (
    DashboardChangedError,
    DashboardExistsError,
    DashboardInvalidError,
    DashboardNotFoundError,
    DashboardVersionNotFoundError,
    TooManyDashboardsError,
)
from backend.managers.dashboard.manager import DashboardManager, Failure, Overview
from backend.managers.dashboard.models import DashboardRow, DashboardVersionRow

ROOM = Room(
    name="dashboard",
    manager=DashboardManager,
    models=(DashboardRow, DashboardVersionRow),
    errands=(PLATFORM_DASHBOARDS,),
    permissions={
        "overview:read": VIEWER,
        "dashboard:read": VIEWER,
        "dashboard:write": OPERATOR,
    },
    routers=(
        "backend.managers.dashboard.routes:router",
        "backend.managers.dashboard.board_routes:boards_router",
        "backend.managers.dashboard.board_routes:platform_boards_router",
        "backend.managers.dashboard.board_routes:templates_router",
    ),
    job_kinds=(lambda dashboard, database: dashboard.reports.kind(database),),
    erasures={
        DashboardRow.__tablename__: lambda boards, tx, who, after: boards.dashboards.erase(
            tx, who, after
        )
    },
)

__all__ = [
    "PLATFORM_DASHBOARDS",
    "ROOM",
    "Dashboard",
    "DashboardChangedError",
    "DashboardDraft",
    "DashboardExistsError",
    "DashboardInvalidError",
    "DashboardManager",
    "DashboardNotFoundError",
    "DashboardTemplate",
    "DashboardVersion",
    "DashboardVersionNotFoundError",
    "Dashboards",
    "Failure",
    "Overview",
    "TooManyDashboardsError",
    "Visibility",
]
