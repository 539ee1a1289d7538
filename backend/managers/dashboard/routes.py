"""HTTP face of the read models: parse, call, shape. No rules here."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from backend.core.context import Scope, SystemScope
from backend.core.database import Database
from backend.core.room import PLATFORM_READ
from backend.http.deps import Db, manager_of, requires
from backend.http.schemas import view
from backend.managers.dashboard.manager import DashboardManager, PlatformOverview
from backend.managers.metrics import MAX_MINUTES, ROLLUPS, STEP_SECONDS
from backend.managers.monitoring import PLATFORM_SLOS
from backend.managers.orchestrator import WATCH, Fleet, OrchestratorManager
from backend.managers.tenant import PLATFORM

router = APIRouter(prefix="/api/v1", tags=["overview"])
Dashboard = Annotated[DashboardManager, manager_of(DashboardManager)]
Jobs = Annotated[OrchestratorManager, manager_of(OrchestratorManager)]
Reader = Annotated[Scope, requires("overview:read")]
Administrator = Annotated[SystemScope, requires(PLATFORM_READ, errand=ROLLUPS)]


class RequestsOut(BaseModel):
    """Figures of API requests over the whole window; what the console reads is not among them."""

    per_second: float
    p95_ms: float | None
    error_rate: float | None = Field(
        description="Share that the platform failed to serve (5xx); says nothing of mail"
    )


class PointOut(BaseModel):
    """One step of the series."""

    at: datetime
    requests_per_second: float
    p95_ms: float | None
    error_rate: float | None


class DeliveryOut(BaseModel):
    """What became of the messages made in the window, as far as they are settled."""

    settled: int = Field(description="Accepted, partial, bounced or suppressed; cancelled are not")
    accepted: int = Field(description="Taken over by the mail server of every recipient")
    partial: int = Field(description="Taken over for some recipients and not for others")
    bounced: int = Field(description="Taken over for no recipient")
    suppressed: int = Field(description="Never sent: every recipient is on the suppression list")
    accepted_share: float | None = Field(
        description="Accepted over settled; null while nothing is settled"
    )


class WorkersOut(BaseModel):
    """The platform's workers, without which no tenant's mail goes out."""

    alive: int = Field(description="That take work")
    draining: int = Field(description="That live and take nothing more")
    seen_at: datetime | None = Field(description="Last heartbeat of any; null: never one")


class CauseOut(BaseModel):
    """Something that is not as it should be."""

    severity: Literal["ok", "idle", "warning", "unknown", "critical"]
    cause: str = Field(description="A word that stays, for programs")
    sentence: str
    address: str = Field(description="Of the console's page that shows the rows")


class VerdictOut(CauseOut):
    """How it is, in one sentence, with the cause when it is not well.

    `idle` is neither well nor wrong: nothing was asked, so nothing can be said of errors. `unknown`
    is worse than a warning: nobody has looked.
    """

    others: list[CauseOut] = Field(description="What else is wrong, the worst first")


class AcceptanceOut(BaseModel):
    """How long the mail server took to take messages: from submission, or when they were due."""

    messages: int = Field(description="Of so many, the newest accepted ones of the window")
    p50_seconds: float | None = Field(description="Null: none was accepted")
    p95_seconds: float | None


class ReasonOut(BaseModel):
    """Why messages failed, in the words of their mail servers; addresses are left out."""

    reason: str
    messages: int = Field(description="Of the newest thousand that bounced, in whole or in part")


class FailureOut(BaseModel):
    """Something a person should look at."""

    at: datetime
    kind: Literal["email", "job"]
    id: str
    title: str
    detail: str


class OverviewOut(BaseModel):
    """Series over the window; counts of what was made in it, and of all that waits, however old."""

    verdict: VerdictOut
    made_at: datetime = Field(description="When it was read")
    window_seconds: int
    step_seconds: int = Field(
        STEP_SECONDS, description="Of the series: 10 up to six hours, 60 up to a day, 3600 beyond"
    )
    requests: RequestsOut
    series: list[PointOut]
    jobs: dict[str, int]
    emails: dict[str, int]
    delivery: DeliveryOut
    acceptance: AcceptanceOut
    reasons: list[ReasonOut] = Field(description="Eight at most, those of most messages first")
    workers: WorkersOut
    failures: list[FailureOut]


class TenantServedOut(BaseModel):
    """What one tenant asked for in the window."""

    id: str
    slug: str
    name: str
    requests: int
    error_rate: float | None
    p95_ms: float | None


class PlatformOverviewOut(BaseModel):
    """The platform across its tenants."""

    verdict: VerdictOut
    made_at: datetime = Field(description="When it was read")
    window_seconds: int
    workers: WorkersOut
    requests: int = Field(description="Of all tenants")
    error_rate: float | None = Field(description="Share that failed (5xx); null: nobody asked")
    asking: int = Field(description="Tenants that asked for anything")
    tenants: list[TenantServedOut] = Field(description="Fifty at most, the slowest first")


@router.get("/overview")
async def read_overview(
    scope: Reader,
    dashboard: Dashboard,
    jobs: Jobs,
    db: Db,
    minutes: Annotated[int, Query(ge=1, le=MAX_MINUTES, description="Up to 90 days")] = 15,
) -> OverviewOut:
    """Read the tenant's overview."""
    async with db.read(scope) as tx:
        found = await dashboard.read_overview(tx, minutes=minutes)
        facts = await dashboard.read_facts(tx, found)
        made_at = tx.now()
    fleet = await _fleet(scope, jobs, db)
    return OverviewOut(
        verdict=view(VerdictOut, dashboard.judge(facts, fleet)),
        made_at=made_at,
        window_seconds=found.series.window_seconds,
        step_seconds=found.series.step_seconds,
        requests=RequestsOut(
            per_second=found.series.requests_per_second,
            p95_ms=found.series.p95_ms,
            error_rate=found.series.error_rate,
        ),
        series=[view(PointOut, point) for point in found.series.points],
        jobs=dict(found.jobs),
        emails=dict(found.emails),
        delivery=view(DeliveryOut, found.delivery),
        acceptance=view(AcceptanceOut, found.acceptance),
        reasons=[view(ReasonOut, one) for one in found.reasons],
        workers=view(WorkersOut, fleet),
        failures=[view(FailureOut, failure) for failure in found.failures],
    )


@router.get("/overview/workers")
async def read_workers(scope: Reader, jobs: Jobs, db: Db) -> WorkersOut:
    """Read whether anybody works; the rest of the overview costs more."""
    return view(WorkersOut, await _fleet(scope, jobs, db))


@router.get("/platform/overview", tags=["platform"])
async def read_platform_overview(
    scope: Administrator,
    dashboard: Dashboard,
    jobs: Jobs,
    db: Db,
    minutes: Annotated[int, Query(ge=1, le=60)] = 15,
) -> PlatformOverviewOut:
    """Read how the platform does across its tenants."""
    async with db.read(scope) as tx:
        requests, errors, asking, served = await dashboard.read_platform(tx, minutes=minutes)
    async with db.read(SystemScope(PLATFORM, scope.actor, scope.request_id)) as tx:
        tenants = await dashboard.name_served(tx, served)
    found = PlatformOverview(requests, errors, asking, tenants)
    async with db.read(SystemScope(PLATFORM_SLOS, scope.actor, scope.request_id)) as tx:
        facts = await dashboard.read_platform_facts(tx, found, minutes=minutes)
        made_at = tx.now()
    fleet = await _fleet(scope, jobs, db)
    return PlatformOverviewOut(
        verdict=view(VerdictOut, dashboard.judge(facts, fleet, due=fleet.due)),
        made_at=made_at,
        window_seconds=60 * minutes,
        workers=view(WorkersOut, fleet),
        requests=requests,
        error_rate=facts.error_rate,
        asking=asking,
        tenants=[
            TenantServedOut(
                id=tenant.id,
                slug=tenant.slug,
                name=tenant.name,
                requests=one.requests,
                error_rate=one.error_rate,
                p95_ms=one.p95_ms,
            )
            for tenant, one in tenants
        ],
    )


async def _fleet(scope: Scope | SystemScope, jobs: OrchestratorManager, db: Database) -> Fleet:
    async with db.read(SystemScope(WATCH, scope.actor, scope.request_id)) as tx:
        return await jobs.read_fleet(tx)
