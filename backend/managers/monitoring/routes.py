"""HTTP face of health and exposition. No authentication: probes and scrapers have none."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from backend.core.errors import UnavailableError
from backend.http.deps import manager_of
from backend.http.reply import problems
from backend.http.schemas import view
from backend.managers.monitoring.manager import MonitoringManager

router = APIRouter(tags=["monitoring"])
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
    ready = all(health.ok for health in found if health.required)
    response.status_code = 200 if ready else 503
    whole = all(health.ok for health in found)
    return ReadyOut(
        ready=ready,
        status="ready" if whole else "degraded" if ready else "not_ready",
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
