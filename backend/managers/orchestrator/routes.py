"""HTTP face of jobs: parse, call, shape. No rules here."""

from functools import partial
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.http.deps import Caller, Db, IdPath, IdQuery, manager_of, requires
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
from backend.kit.turns import Turns
from backend.managers.logging import LoggingManager
from backend.managers.orchestrator.errors import (
    JobArgsFixedError,
    JobForbiddenError,
    JobInvalidError,
    JobNotCancellableError,
    JobNotFoundError,
    JobNotRetryableError,
)
from backend.managers.orchestrator.kinds import JobRequest, State
from backend.managers.orchestrator.manager import OrchestratorManager
from backend.managers.orchestrator.schemas import (
    JobArgsOut,
    JobAttemptOut,
    JobAttemptsOut,
    JobCreate,
    JobKindOut,
    JobKindsOut,
    JobOut,
    JobPayloadOut,
    JobRetry,
    JobsCancel,
    JobsCancelledOut,
    JobsPart,
    JobsRetriedOut,
    JobsRetry,
    JobTotalsOut,
)

router = APIRouter(prefix="/api/v1", tags=["job"])
Jobs = Annotated[OrchestratorManager, manager_of(OrchestratorManager)]
Logs = Annotated[LoggingManager, manager_of(LoggingManager)]
Reader = Annotated[Scope, requires("job:read")]
Writer = Annotated[Scope, requires("job:write")]
_JOB_ID = {"job_id": "$response.body#/id"}


def _which(body: JobsPart) -> dict[str, Any]:
    """The filters of a part of a list, as the manager takes them."""
    before_id = None if body.cursor is None else decode_cursor(body.cursor)
    return {**body.model_dump(exclude={"cursor"}), "before_id": before_id}


@router.get("/jobs")
async def list_jobs(
    scope: Reader,
    jobs: Jobs,
    db: Db,
    page: PageQuery,
    state: State | None = None,
    kind: Annotated[str | None, Query(max_length=100, description="Exact kind")] = None,
    subject: Annotated[str | None, Query(max_length=200, description="What it is about")] = None,
    graph_id: IdQuery = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
) -> Page[JobOut]:
    """List jobs, newest first."""
    async with db.read(scope) as tx:
        rows = await jobs.list_jobs(
            tx,
            state=state,
            kind=kind,
            subject=subject,
            graph_id=graph_id,
            created_after=created_after,
            created_before=created_before,
            limit=page.limit,
            before_id=page.before_id,
        )
    return page_of(JobOut, rows, page)


@router.post(
    "/jobs",
    status_code=201,
    response_model=JobOut,
    responses={
        201: leads_to(
            get_job=_JOB_ID,
            get_job_payload=_JOB_ID,
            list_job_attempts=_JOB_ID,
            read_job_args=_JOB_ID,
            cancel_job=_JOB_ID,
        ),
        200: {"model": JobOut, "description": "There is one of its key: it stays as it is"},
        **problems(JobInvalidError, JobForbiddenError),
    },
)
async def create_job(
    request: Request, body: JobCreate, scope: Writer, caller: Caller, jobs: Jobs, db: Db
) -> Response:
    """Submit one job of a kind that `GET /api/v1/job-kinds` lists.

    It runs some time later; how far it is says the job. With a `dedup_key` that another job of its
    kind has, that one is answered, by 200.
    """
    asked = body.model_dump(mode="json", exclude={"kind"})
    async with db.transaction(scope) as tx:
        made, is_new = await jobs.hand_in(
            tx, body.kind, cast("JobRequest", asked), permissions=caller.permissions
        )
        return reply(request, tx, view(JobOut, made), status=201 if is_new else 200)


@router.get("/job-kinds")
async def list_job_kinds(_: Reader, jobs: Jobs) -> JobKindsOut:
    """List the kinds of jobs that may be submitted, each with what it takes."""
    return JobKindsOut(items=[view(JobKindOut, one) for one in jobs.offers.list()])


@router.get("/jobs/totals")
async def count_jobs(scope: Reader, jobs: Jobs, db: Db) -> JobTotalsOut:
    """Count jobs by kind and state, and say why the newest dead ones died.

    A count stops where it becomes costly, and says so.
    """
    async with db.read(scope) as tx:
        found = await jobs.total(tx)
    return view(JobTotalsOut, found, items=found.counts, failures_of=found.looked_at)


@router.post("/jobs/cancel", response_model=JobsCancelledOut)
async def cancel_jobs(
    request: Request, body: JobsCancel, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Cancel a part of the jobs that wait or run.

    Go on with `next_cursor` until it is null: every job is come past once.
    """
    async with db.transaction(scope) as tx:
        done = await jobs.cancel_jobs(tx, **_which(body))
        after = None if done.last_id is None else encode_cursor(done.last_id)
        return reply(request, tx, view(JobsCancelledOut, done, next_cursor=after))


@router.post("/jobs/retry", response_model=JobsRetriedOut)
async def retry_jobs(
    request: Request, body: JobsRetry, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Start a part of the dead or the cancelled jobs again, each with all its attempts.

    Go on with `next_cursor` until it is null: every job is come past once, also one that meanwhile
    failed again.
    """
    async with db.transaction(scope) as tx:
        done = await jobs.retry_jobs(tx, **_which(body))
        after = None if done.last_id is None else encode_cursor(done.last_id)
        return reply(request, tx, view(JobsRetriedOut, done, next_cursor=after))


@router.get("/jobs/{job_id}", responses=problems(JobNotFoundError))
async def get_job(job_id: IdPath, scope: Reader, jobs: Jobs, db: Db) -> JobOut:
    """Get one job."""
    async with db.read(scope) as tx:
        return view(JobOut, await jobs.get_job(tx, job_id))


@router.get("/jobs/{job_id}/payload", responses=problems(JobNotFoundError, JobForbiddenError))
async def get_job_payload(
    request: Request, job_id: IdPath, scope: Reader, caller: Caller, jobs: Jobs, logs: Logs, db: Db
) -> JobPayloadOut:
    """Show what a job is given, without what the tenant has hidden in its log lines."""
    async with db.read(scope) as tx:
        args = await jobs.get_payload(tx, job_id, permissions=caller.permissions)
        redaction = await logs.get_redaction(tx)
    if args is None:
        return JobPayloadOut(args=None)
    turns: Turns = request.app.state.turns
    return JobPayloadOut(args=await turns.run(scope.tenant_id, partial(redaction.hide, args)))


@router.get("/jobs/{job_id}/attempts", responses=problems(JobNotFoundError))
async def list_job_attempts(job_id: IdPath, scope: Reader, jobs: Jobs, db: Db) -> JobAttemptsOut:
    """List what became of the latest attempts at a job, the newest first."""
    async with db.read(scope) as tx:
        found = await jobs.list_attempts(tx, job_id)
    return JobAttemptsOut(items=[view(JobAttemptOut, one) for one in found])


@router.get(
    "/jobs/{job_id}/args",
    responses=problems(JobNotFoundError, JobForbiddenError, JobArgsFixedError),
)
async def read_job_args(
    job_id: IdPath, scope: Writer, caller: Caller, jobs: Jobs, db: Db
) -> JobArgsOut:
    """Read what a job is given, to start it again with something else."""
    async with db.read(scope) as tx:
        args = await jobs.read_args(tx, job_id, permissions=caller.permissions)
        return JobArgsOut(args=dict(args))


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
        **problems(
            JobNotFoundError,
            JobNotRetryableError,
            JobArgsFixedError,
            JobInvalidError,
            JobForbiddenError,
        ),
    },
)
async def retry_job(
    job_id: IdPath,
    request: Request,
    scope: Writer,
    caller: Caller,
    jobs: Jobs,
    db: Db,
    body: JobRetry = JobRetry(),  # noqa: B008 - it is read only
) -> Response:
    """Start a dead or cancelled job again with all its attempts.

    With `args` it is given these from now on; of a kind that `GET /api/v1/job-kinds` lists.
    """
    async with db.transaction(scope) as tx:
        job = await jobs.retry_job(tx, job_id, args=body.args, permissions=caller.permissions)
        return reply(request, tx, view(JobOut, job))
