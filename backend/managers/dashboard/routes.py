"""HTTP face of the read models: parse, call, shape. No rules here."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from backend.core.context import Scope
from backend.http.deps import Db, manager_of, requires
from backend.http.schemas import view
from backend.managers.dashboard.manager import DashboardManager
from backend.managers.metrics import STEP_SECONDS

router = APIRouter(prefix="/api/v1", tags=["overview"])
Dashboard = Annotated[DashboardManager, manager_of(DashboardManager)]


class RequestsOut(BaseModel):
    """Figures over the whole window."""

    per_second: float
    p95_ms: float | None
    error_rate: float | None


class PointOut(BaseModel):
    """One step of the series."""

    at: datetime
    requests_per_second: float
    p95_ms: float | None
    error_rate: float | None


class FailureOut(BaseModel):
    """Something a person should look at."""

    at: datetime
    kind: Literal["email", "job"]
    id: str
    title: str
    detail: str


class OverviewOut(BaseModel):
    """Series over the window; counts over the last 24 hours and of all that waits, however old."""

    window_seconds: int
    step_seconds: int = STEP_SECONDS
    requests: RequestsOut
    series: list[PointOut]
    jobs: dict[str, int]
    emails: dict[str, int]
    failures: list[FailureOut]


@router.get("/overview")
async def read_overview(
    scope: Annotated[Scope, requires("overview:read")],
    dashboard: Dashboard,
    db: Db,
    minutes: Annotated[int, Query(ge=1, le=1440)] = 15,
) -> OverviewOut:
    """Read the tenant's overview."""
    async with db.read(scope) as tx:
        found = await dashboard.read_overview(tx, minutes=minutes)
    return OverviewOut(
        window_seconds=found.series.window_seconds,
        requests=RequestsOut(
            per_second=found.series.requests_per_second,
            p95_ms=found.series.p95_ms,
            error_rate=found.series.error_rate,
        ),
        series=[view(PointOut, point) for point in found.series.points],
        jobs=dict(found.jobs),
        emails=dict(found.emails),
        failures=[view(FailureOut, failure) for failure in found.failures],
    )
