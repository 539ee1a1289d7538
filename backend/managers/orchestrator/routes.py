"""HTTP face of jobs: parse, call, shape. No rules here."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.pagination import (
    CreatedAfter,
    CreatedBefore,
    Page,
    PageQuery,
    decode_cursor,
    encode_cursor,
    page_of,
)
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.orchestrator.errors import (
    JobNotCancellableError,
    JobNotFoundError,
    JobNotRetryableError,
)
from backend.managers.orchestrator.kinds import State
from backend.managers.orchestrator.manager import OrchestratorManager
from backend.managers.orchestrator.schemas import JobOut, JobsRetriedOut, JobsRetry

router = APIRouter(prefix="/api/v1", tags=["job"])
Jobs = Annotated[OrchestratorManager, manager_of(OrchestratorManager)]
Reader = Annotated[Scope, requires("job:read")]
Writer = Annotated[Scope, requires("job:write")]
_JOB_ID = {"job_id": "$response.body#/id"}


@router.get("/jobs")
async def list_jobs(
    scope: Reader,
    jobs: Jobs,
    db: Db,
    page: PageQuery,
    state: State | None = None,
    kind: Annotated[str | None, Query(max_length=100, description="Exact kind")] = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
) -> Page[JobOut]:
    """List jobs, newest first."""
    async with db.read(scope) as tx:
        rows = await jobs.list_jobs(
            tx,
            state=state,
            kind=kind,
            created_after=created_after,
            created_before=created_before,
            limit=page.limit,
            before_id=page.before_id,
        )
    return page_of(JobOut, rows, page)


@router.post("/jobs/retry", response_model=JobsRetriedOut)
async def retry_jobs(
    request: Request, body: JobsRetry, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Start a part of the dead or the cancelled jobs again, each with all its attempts.

    Go on with `next_cursor` until it is null: every job is come past once, also one that meanwhile
    failed again.
    """
    asked = body.model_dump(exclude={"cursor"})
    before_id = None if body.cursor is None else decode_cursor(body.cursor)
    async with db.transaction(scope) as tx:
        done = await jobs.retry_jobs(tx, **asked, before_id=before_id)
        after = None if done.last_id is None else encode_cursor(done.last_id)
        return reply(request, tx, view(JobsRetriedOut, done, next_cursor=after))


@router.get("/jobs/{job_id}", responses=problems(JobNotFoundError))
async def get_job(job_id: IdPath, scope: Reader, jobs: Jobs, db: Db) -> JobOut:
    """Get one job."""
    async with db.read(scope) as tx:
        return view(JobOut, await jobs.get_job(tx, job_id))


@router.post(
    "/jobs/{job_id}/cancel",
    response_model=JobOut,
    responses={
        200: leads_to(get_job=_JOB_ID, retry_job=_JOB_ID),
        **problems(JobNotFoundError, JobNotCancellableError),
    },
)
async def cancel_job(
    job_id: IdPath, request: Request, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Cancel a waiting job at once, or ask a running one to stop."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(JobOut, await jobs.cancel_job(tx, job_id)))


@router.post(
    "/jobs/{job_id}/retry",
    response_model=JobOut,
    responses={
        200: leads_to(get_job=_JOB_ID, cancel_job=_JOB_ID),
        **problems(JobNotFoundError, JobNotRetryableError),
    },
)
async def retry_job(
    job_id: IdPath, request: Request, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Start a dead or cancelled job again with all its attempts."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(JobOut, await jobs.retry_job(tx, job_id)))
