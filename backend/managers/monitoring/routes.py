"""HTTP face of health and exposition.

Probes and scrapers have no credentials and are not asked for any; how it was is for who logs in.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from backend.core.context import SystemScope
from backend.core.errors import UnavailableError
from backend.core.room import PLATFORM_READ
from backend.http.deps import Db, manager_of, requires
from backend.http.reply import problems
from backend.http.schemas import view
from backend.managers.monitoring._history import MAX_HOURS, Health, HealthHistory, status_of
from backend.managers.monitoring.errands import HISTORY
from backend.managers.monitoring.manager import MonitoringManager

router = APIRouter(tags=["monitoring"])
status_router = APIRouter(prefix="/api/v1", tags=["status"])
Monitoring = Annotated[MonitoringManager, manager_of(MonitoringManager)]


class HealthOut(BaseModel):
    """One dependency."""

    name: str
    ok: bool
    required: bool
    milliseconds: float
    detail: str


class ReadyOut(BaseModel):
    """Ready when every required dependency is; degraded when another one is not."""

    ready: bool
    status: Literal["ready", "degraded", "not_ready"]
    checks: list[HealthOut]


class LiveOut(BaseModel):
    """The process runs its event loop."""

    live: bool = True


@router.get("/livez")
async def livez() -> LiveOut:
    """Answer that the process is alive; asks nobody else."""
    return LiveOut()


@router.get("/readyz", responses={503: {"model": ReadyOut, "description": "Not ready"}})
async def readyz(monitoring: Monitoring, response: Response) -> ReadyOut:
    """Answer whether every required dependency works, each with its latency."""
    found = await monitoring.check_health()
    status = status_of(found)
    response.status_code = 503 if status == "not_ready" else 200
    return ReadyOut(
        ready=status != "not_ready",
        status=status,
        checks=[view(HealthOut, health) for health in found],
    )


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {}}, "description": "Prometheus text format"},
        **problems(UnavailableError, of_all=True),
    },
)
async def metrics(monitoring: Monitoring) -> Response:
    """Expose this process's series for Prometheus."""
    exposed = await monitoring.expose_fleet()
    return Response(exposed, media_type="text/plain; version=0.0.4; charset=utf-8")


class CheckStatusOut(BaseModel):
    """One dependency: how it is, and over the window."""

    name: str
    ok: bool | None = Field(
        description="Null: it was looked at then, and is not looked at any more"
    )
    required: bool | None = Field(description="Whether the platform is not ready without it")
    detail: str | None = Field(
        description="What it says now; null where only the platform may know"
    )
    uptime: float | None = Field(
        description="Share of looks that found it well; null: nobody looked"
    )


class HealthPointOut(BaseModel):
    """One step of the window, told by the worst it was."""

    at: datetime
    status: Literal["ready", "degraded", "not_ready", "not_measured"]
    failing: list[str]


class IncidentOut(BaseModel):
    """A dependency that failed in one step after another."""

    name: str
    started_at: datetime
    ended_at: datetime | None = Field(description="Null: it failed in the last step looked at")
    detail: str | None = Field(
        description="What it said last; null where only the platform may know"
    )


class StatusOut(BaseModel):
    """How the platform is and was. What nobody looked at is neither up nor down."""

    status: Literal["ready", "degraded", "not_ready"] = Field(description="Now")
    since: datetime
    until: datetime = Field(description="The end of the last whole step")
    step_seconds: int = Field(description="60 for windows of a day at most, else 3600")
    uptime: float | None = Field(
        description="Share of looks at which all that is required worked; null: nobody looked"
    )
    measured: float = Field(description="Share of the steps in which anybody looked")
    checks: list[CheckStatusOut]
    points: list[HealthPointOut]
    incidents: list[IncidentOut] = Field(description="The latest first")


Hours = Annotated[
    int, Query(ge=1, le=MAX_HOURS, description="How far back; by the hour beyond a day")
]
Reader = Annotated[SystemScope, requires("status:read", errand=HISTORY)]
Operator = Annotated[SystemScope, requires(PLATFORM_READ, errand=HISTORY)]


@status_router.get("/status")
async def read_status(
    scope: Reader, monitoring: Monitoring, db: Db, hours: Hours = 24
) -> StatusOut:
    """Read how the platform is and was; what it says of its insides is left out."""
    return await _read(scope, monitoring, db, hours, told=False)


@status_router.get("/platform/status", tags=["platform"])
async def read_platform_status(
    scope: Operator, monitoring: Monitoring, db: Db, hours: Hours = 24
) -> StatusOut:
    """Read how the platform is and was, with what each check said."""
    return await _read(scope, monitoring, db, hours, told=True)


async def _read(
    scope: SystemScope, monitoring: MonitoringManager, db: Db, hours: int, *, told: bool
) -> StatusOut:
    found = await monitoring.check_health()
    async with db.read(scope) as tx:
        history = await monitoring.read_history(tx, hours=hours)
    return _shown(history, {health.name: health for health in found}, told=told)


def _shown(history: HealthHistory, now: Mapping[str, Health], *, told: bool) -> StatusOut:
    checks = []
    for check in history.checks:
        health = now.get(check.name)
        checks.append(
            CheckStatusOut(
                name=check.name,
                ok=None if health is None else health.ok,
                required=None if health is None else health.required,
                detail=health.detail if told and health is not None else None,
                uptime=check.uptime,
            )
        )
    return view(
        StatusOut,
        history,
        status=status_of(now.values()),
        checks=checks,
        points=[view(HealthPointOut, point) for point in history.points],
        incidents=[
            view(IncidentOut, one, detail=one.detail if told else None) for one in history.incidents
        ],
    )
