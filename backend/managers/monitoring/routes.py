"""HTTP face of health, exposition and objectives.

Probes and scrapers have no credentials and are not asked for any; how it was is for who logs in.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import BaseModel, Field

from backend.core.context import Scope, SystemScope
from backend.core.errors import UnavailableError
from backend.core.room import PLATFORM_READ, PLATFORM_WRITE
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.monitoring import _platform
from backend.managers.monitoring._history import MAX_HOURS, Health, HealthHistory, status_of
from backend.managers.monitoring._platform import EvidenceKind, PlatformSlo, PlatformSloWord
from backend.managers.monitoring._slos import SloDraft, SloStanding
from backend.managers.monitoring.errands import EVIDENCE, HISTORY, PLATFORM_SLOS
from backend.managers.monitoring.errors import (
    EvidenceTimeError,
    SloChangedError,
    SloExistsError,
    SloInvalidError,
    SloNotFoundError,
    TooManySlosError,
)
from backend.managers.monitoring.manager import MonitoringManager
from backend.managers.monitoring.schemas import (
    BudgetOut,
    BurnOut,
    EvidenceCreate,
    PlatformSloDetailOut,
    PlatformSloOut,
    PlatformSlosOut,
    SloDayOut,
    SloDetailOut,
    SloEvidenceOut,
    SloOut,
    SloPut,
)

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


# --- objectives -----------------------------------------------------------------------------

slo_router = APIRouter(prefix="/api/v1", tags=["slo"])
SloReader = Annotated[Scope, requires("slo:read")]
SloWriter = Annotated[Scope, requires("slo:write")]
PlatformReader = Annotated[SystemScope, requires(PLATFORM_READ, errand=PLATFORM_SLOS)]
Recorder = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=EVIDENCE)]
_SLO_ID: Final = {"slo_id": "$response.body#/id"}
Word = Annotated[PlatformSloWord, Path(examples=["uptime"])]


@slo_router.get("/slos")
async def list_slos(
    scope: SloReader, monitoring: Monitoring, db: Db, page: PageQuery
) -> Page[SloOut]:
    """List the tenant's objectives and how they stand, newest first."""
    async with db.read(scope) as tx:
        found = await monitoring.slos.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(SloOut, [SloOut(**_standing(one)) for one in found], page)


@slo_router.post(
    "/slos",
    status_code=201,
    response_model=SloOut,
    responses={
        201: leads_to(get_slo=_SLO_ID, put_slo=_SLO_ID, delete_slo=_SLO_ID),
        **problems(SloInvalidError, SloExistsError, TooManySlosError),
    },
)
async def create_slo(
    request: Request, body: SloPut, scope: SloWriter, monitoring: Monitoring, db: Db
) -> Response:
    """Promise something; it is measured from now on."""
    async with db.transaction(scope) as tx:
        made = await monitoring.slos.create(tx, SloDraft(**body.model_dump()))
        (standing,) = await monitoring.slos.stand(tx, [made])
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, SloOut(**_standing(standing)), status=201, headers=headers)


@slo_router.get("/slos/{slo_id}", responses=problems(SloNotFoundError))
async def get_slo(
    response: Response, slo_id: IdPath, scope: SloReader, monitoring: Monitoring, db: Db
) -> SloDetailOut:
    """Get one objective with its error budget, burn rates and days. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await monitoring.slos.describe(tx, slo_id)
    response.headers["ETag"] = etag(found.slo.version)
    budget = view(BudgetOut, found.budget)
    return SloDetailOut(**_standing(found), budget=budget, **_detail(found))


@slo_router.put(
    "/slos/{slo_id}",
    response_model=SloOut,
    responses=problems(SloNotFoundError, SloInvalidError, SloExistsError, SloChangedError),
)
async def put_slo(
    request: Request,
    slo_id: IdPath,
    body: SloPut,
    scope: SloWriter,
    monitoring: Monitoring,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Promise something else; counts stay while they are of the same."""
    async with db.transaction(scope) as tx:
        made = await monitoring.slos.replace(
            tx,
            slo_id,
            SloDraft(**body.model_dump()),
            expected_version=expected_version(if_match, SloChangedError),
        )
        (standing,) = await monitoring.slos.stand(tx, [made])
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, SloOut(**_standing(standing)), headers=headers)


@slo_router.delete("/slos/{slo_id}", status_code=204, responses=problems(SloNotFoundError))
async def delete_slo(slo_id: IdPath, scope: SloWriter, monitoring: Monitoring, db: Db) -> None:
    """Promise it no more; what was counted for it goes."""
    async with db.transaction(scope) as tx:
        await monitoring.slos.remove(tx, slo_id)


@slo_router.get("/platform/slos", tags=["platform"])
async def list_platform_slos(
    scope: PlatformReader, monitoring: Monitoring, db: Db
) -> PlatformSlosOut:
    """List the platform's own objectives and how they stand."""
    async with db.read(scope) as tx:
        found = await monitoring.platform_slos.list(tx)
    return PlatformSlosOut(items=[PlatformSloOut(**_platforms(one)) for one in found])


@slo_router.get("/platform/slos/{name}", tags=["platform"])
async def get_platform_slo(
    name: Word, scope: PlatformReader, monitoring: Monitoring, db: Db
) -> PlatformSloDetailOut:
    """Get one of the platform's objectives with its burn rates and days."""
    async with db.read(scope) as tx:
        found = await monitoring.platform_slos.describe(tx, name)
    detail: dict[str, Any] = {"burns": [], "days": []}
    if found.standing is not None:
        detail = _detail(found.standing)
    return PlatformSloDetailOut(**_platforms(found), **detail)


@slo_router.get("/platform/evidence", tags=["platform"])
async def list_evidence(
    scope: PlatformReader, db: Db, page: PageQuery, kind: EvidenceKind | None = None
) -> Page[SloEvidenceOut]:
    """List what drills, benchmarks and reviews found, newest first."""
    async with db.read(scope) as tx:
        found = await _platform.read(tx, limit=page.limit, before_id=page.before_id, kind=kind)
    return page_of(SloEvidenceOut, found, page)


@slo_router.post(
    "/platform/evidence",
    status_code=201,
    tags=["platform"],
    response_model=SloEvidenceOut,
    responses=problems(EvidenceTimeError),
)
async def record_evidence(
    request: Request, body: EvidenceCreate, scope: Recorder, db: Db
) -> Response:
    """Record what a drill, a benchmark or a review found; it decides for ninety days."""
    async with db.transaction(scope) as tx:
        made = await _platform.record(tx, **body.model_dump())
        return reply(request, tx, view(SloEvidenceOut, made), status=201)


def _standing(found: SloStanding) -> dict[str, Any]:
    slo = found.slo
    names = SloOut.model_fields
    return {
        **{name: getattr(slo, name) for name in names if hasattr(slo, name)},
        "state": found.judgement.state,
        "reason": found.judgement.reason,
        "since": found.judgement.since,
        "value": found.counted.share,
        "value_before": found.before.share,
        "good": found.counted.good,
        "total": found.counted.total,
        "budget_left": found.budget.left,
        "measured_until": found.measured_until,
    }


def _detail(found: SloStanding) -> dict[str, Any]:
    return {
        "burns": [view(BurnOut, one) for one in found.burns],
        "days": [SloDayOut(at=at, value=one.share, total=one.total) for at, one in found.days],
    }


def _platforms(found: PlatformSlo) -> dict[str, Any]:
    standing = found.standing
    return {
        "id": found.id,
        "name": found.name,
        "target": found.target,
        "unit": found.unit,
        "state": found.judgement.state,
        "reason": found.judgement.reason,
        "since": found.judgement.since,
        "value": found.value,
        "value_before": found.value_before,
        "window_days": standing and standing.slo.window_days,
        "good": standing and standing.counted.good,
        "total": standing and standing.counted.total,
        "budget_left": standing and standing.budget.left,
        "measured_until": standing and standing.measured_until,
        "evidence": found.evidence and view(SloEvidenceOut, found.evidence),
    }
