"""HTTP face of schedules: parse, call, shape. No rules here."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.openapi import ONLY_READS
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import Time, view
from backend.kit.wall_clock import zone_named
from backend.managers.orchestrator._timing import changes_of_clocks, next_of, read_timing
from backend.managers.orchestrator.errors import (
    GraphInvalidError,
    JobForbiddenError,
    JobScheduleChangedError,
    JobScheduleExistsError,
    JobScheduleInvalidError,
    JobScheduleNotFoundError,
    TooManyJobSchedulesError,
)
from backend.managers.orchestrator.manager import OrchestratorManager
from backend.managers.orchestrator.schedule_schemas import (
    JobFiringOut,
    JobFiringsOut,
    JobScheduleBackfill,
    JobScheduleBackfillOut,
    JobScheduleOut,
    JobSchedulePreview,
    JobSchedulePreviewOut,
    JobSchedulePut,
    JobScheduleRunOut,
)

schedule_router = APIRouter(prefix="/api/v1/job-schedules", tags=["job"])
Jobs = Annotated[OrchestratorManager, manager_of(OrchestratorManager)]
Reader = Annotated[Scope, requires("job:read")]
Writer = Annotated[Scope, requires("job:write")]
_ID = {"schedule_id": "$response.body#/id"}
_LEADS = {
    "get_job_schedule": _ID,
    "put_job_schedule": _ID,
    "delete_job_schedule": _ID,
    "pause_job_schedule": _ID,
    "run_job_schedule": _ID,
    "backfill_job_schedule": _ID,
    "list_job_schedule_firings": _ID,
}
_MOST_FIRINGS = 1000
_WEEK = timedelta(days=7)


@schedule_router.get("")
async def list_job_schedules(
    scope: Reader, jobs: Jobs, db: Db, page: PageQuery
) -> Page[JobScheduleOut]:
    """List schedules, newest first."""
    async with db.read(scope) as tx:
        found = await jobs.schedules.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(JobScheduleOut, [JobScheduleOut.of(one) for one in found], page)


@schedule_router.post(
    "",
    status_code=201,
    response_model=JobScheduleOut,
    responses={
        201: leads_to(**_LEADS),
        **problems(
            JobScheduleInvalidError,
            GraphInvalidError,
            JobForbiddenError,
            JobScheduleExistsError,
            TooManyJobSchedulesError,
        ),
    },
)
async def create_job_schedule(
    request: Request, body: JobSchedulePut, scope: Writer, caller: Caller, jobs: Jobs, db: Db
) -> Response:
    """Have jobs submitted again and again, or once at a time to come."""
    async with db.transaction(scope) as tx:
        made = await jobs.schedules.create(tx, body.draft(), permissions=caller.permissions)
        headers = {"ETag": etag(str(made.revision))}
        return reply(request, tx, JobScheduleOut.of(made), status=201, headers=headers)


@schedule_router.post(
    "/preview",
    responses=problems(JobScheduleInvalidError),
    openapi_extra={ONLY_READS: True},
)
async def preview_job_schedule(
    body: JobSchedulePreview, scope: Reader, db: Db
) -> JobSchedulePreviewOut:
    """Say when a timing would be due, and when clocks change next; nothing is kept."""
    async with db.read(scope) as tx:
        after = body.after or tx.now()
    timing = read_timing(body.timing.model_dump(mode="json"))
    zone = zone_named(getattr(timing, "zone", "UTC"))
    return JobSchedulePreviewOut(
        times=list(next_of(timing, after, body.count)),
        changes=list(changes_of_clocks(zone, after, 2)),
    )


@schedule_router.get("/{schedule_id}", responses=problems(JobScheduleNotFoundError))
async def get_job_schedule(
    response: Response, schedule_id: IdPath, scope: Reader, jobs: Jobs, db: Db
) -> JobScheduleOut:
    """Get one schedule. The ETag goes into If-Match."""
    async with db.read(scope) as tx:
        found = await jobs.schedules.get(tx, schedule_id)
    response.headers["ETag"] = etag(str(found.revision))
    return JobScheduleOut.of(found)


@schedule_router.put(
    "/{schedule_id}",
    response_model=JobScheduleOut,
    responses=problems(
        JobScheduleNotFoundError,
        JobScheduleInvalidError,
        GraphInvalidError,
        JobForbiddenError,
        JobScheduleExistsError,
        JobScheduleChangedError,
    ),
)
async def put_job_schedule(
    request: Request,
    schedule_id: IdPath,
    body: JobSchedulePut,
    scope: Writer,
    caller: Caller,
    jobs: Jobs,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Change a schedule; it is due by what it says now, from now on."""
    async with db.transaction(scope) as tx:
        made = await jobs.schedules.replace(
            tx,
            schedule_id,
            body.draft(),
            permissions=caller.permissions,
            expected_version=expected_version(if_match, JobScheduleChangedError),
        )
        headers = {"ETag": etag(str(made.revision))}
        return reply(request, tx, JobScheduleOut.of(made), headers=headers)


@schedule_router.delete(
    "/{schedule_id}",
    status_code=204,
    responses=problems(JobScheduleNotFoundError, JobScheduleChangedError),
)
async def delete_job_schedule(
    request: Request,
    schedule_id: IdPath,
    scope: Writer,
    jobs: Jobs,
    db: Db,
    if_match: IfMatch = None,
) -> Response:
    """Remove a schedule; what it has submitted goes on."""
    async with db.transaction(scope) as tx:
        await jobs.schedules.remove(
            tx,
            schedule_id,
            expected_version=expected_version(if_match, JobScheduleChangedError),
        )
        return reply(request, tx, None, status=204)


@schedule_router.post(
    "/{schedule_id}/pause",
    response_model=JobScheduleOut,
    responses={
        200: leads_to(resume_job_schedule=_ID),
        **problems(JobScheduleNotFoundError),
    },
)
async def pause_job_schedule(
    request: Request, schedule_id: IdPath, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Submit nothing more until it is resumed; what it has submitted goes on."""
    async with db.transaction(scope) as tx:
        made = await jobs.schedules.switch(tx, schedule_id, enabled=False)
        headers = {"ETag": etag(str(made.revision))}
        return reply(request, tx, JobScheduleOut.of(made), headers=headers)


@schedule_router.post(
    "/{schedule_id}/resume",
    response_model=JobScheduleOut,
    responses=problems(JobScheduleNotFoundError, JobScheduleInvalidError),
)
async def resume_job_schedule(
    request: Request, schedule_id: IdPath, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Go on from now; the times that passed while it was paused are nobody's."""
    async with db.transaction(scope) as tx:
        made = await jobs.schedules.switch(tx, schedule_id, enabled=True)
        headers = {"ETag": etag(str(made.revision))}
        return reply(request, tx, JobScheduleOut.of(made), headers=headers)


@schedule_router.post(
    "/{schedule_id}/run",
    response_model=JobScheduleRunOut,
    responses=problems(JobScheduleNotFoundError, GraphInvalidError, JobForbiddenError),
)
async def run_job_schedule(
    request: Request, schedule_id: IdPath, scope: Writer, caller: Caller, jobs: Jobs, db: Db
) -> Response:
    """Submit what it submits once more, whatever its timing says."""
    async with db.transaction(scope) as tx:
        graph_id = await jobs.schedules.run_now(tx, schedule_id, permissions=caller.permissions)
        return reply(request, tx, JobScheduleRunOut(graph_id=graph_id))


@schedule_router.post(
    "/{schedule_id}/backfill",
    response_model=JobScheduleBackfillOut,
    responses=problems(
        JobScheduleNotFoundError, JobScheduleInvalidError, GraphInvalidError, JobForbiddenError
    ),
)
async def backfill_job_schedule(
    request: Request,
    schedule_id: IdPath,
    body: JobScheduleBackfill,
    scope: Writer,
    caller: Caller,
    jobs: Jobs,
    db: Db,
) -> Response:
    """Run every time of a past stretch that did not, a hundred at most, all at once."""
    async with db.transaction(scope) as tx:
        done = await jobs.schedules.backfill(
            tx,
            schedule_id,
            since=body.since,
            until=body.until,
            permissions=caller.permissions,
        )
        return reply(request, tx, view(JobScheduleBackfillOut, done))


@schedule_router.get("/{schedule_id}/firings", responses=problems(JobScheduleNotFoundError))
async def list_job_schedule_firings(
    schedule_id: IdPath,
    scope: Reader,
    jobs: Jobs,
    db: Db,
    since: Annotated[Time | None, Query(description="Null: a week before `until`")] = None,
    until: Annotated[Time | None, Query(description="Null: now")] = None,
) -> JobFiringsOut:
    """Say what became of the times of a stretch, the newest first; a thousand at most."""
    async with db.read(scope) as tx:
        end = until or tx.now() + timedelta(seconds=1)
        found = await jobs.schedules.list_firings(
            tx, schedule_id, since=since or end - _WEEK, until=end, limit=_MOST_FIRINGS + 1
        )
    return JobFiringsOut(
        items=[view(JobFiringOut, one) for one in found[:_MOST_FIRINGS]],
        complete=len(found) <= _MOST_FIRINGS,
    )
