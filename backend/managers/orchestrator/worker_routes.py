"""HTTP face of workers, for who runs the platform: parse, call, shape. No rules here."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from backend.core.context import SystemScope
from backend.core.database import Database, Tx
from backend.core.room import PLATFORM_READ, PLATFORM_WRITE
from backend.http.deps import Db, manager_of, requires
from backend.http.pagination import NamedPageQuery, Page, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.orchestrator._workers import SeenWorker
from backend.managers.orchestrator.errands import WORKERS
from backend.managers.orchestrator.errors import WorkerNotFoundError, WorkerSilentError
from backend.managers.orchestrator.manager import OrchestratorManager
from backend.managers.orchestrator.worker_schemas import WorkerOut, WorkerSwitchedOut

worker_router = APIRouter(prefix="/api/v1/platform/workers", tags=["platform"])
Jobs = Annotated[OrchestratorManager, manager_of(OrchestratorManager)]
Reader = Annotated[SystemScope, requires(PLATFORM_READ, errand=WORKERS)]
Writer = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=WORKERS)]
WorkerId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_.:-]{1,200}$", description="As the list has it")
]
_ID = {"worker_id": "$response.body#/id"}


@worker_router.get("")
async def list_workers(scope: Reader, jobs: Jobs, db: Db, page: NamedPageQuery) -> Page[WorkerOut]:
    """List the platform's workers by host; one that fell silent is told of for an hour."""
    async with db.read(scope) as tx:
        found = await jobs.workers.list(tx, limit=page.limit, after_name=page.after_name)
    return page_of(WorkerOut, found, page)


@worker_router.post(
    "/{worker_id}/drain",
    response_model=WorkerSwitchedOut,
    responses={
        200: leads_to(resume_worker=_ID),
        **problems(WorkerNotFoundError, WorkerSilentError),
    },
)
async def drain_worker(
    request: Request, worker_id: WorkerId, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Have a worker take nothing more; what it runs goes on to its end.

    It hears within a heartbeat, and is `drained` once it has and nothing runs any more. It stays
    alive: whoever wants it gone stops it then.
    """
    return await _switch(request, scope, jobs, db, jobs.workers.drain, worker_id)


@worker_router.post(
    "/{worker_id}/resume",
    response_model=WorkerSwitchedOut,
    responses=problems(WorkerNotFoundError, WorkerSilentError),
)
async def resume_worker(
    request: Request, worker_id: WorkerId, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Have a worker that drains take work again."""
    return await _switch(request, scope, jobs, db, jobs.workers.resume, worker_id)


async def _switch(
    request: Request,
    scope: SystemScope,
    jobs: OrchestratorManager,
    db: Database,
    switch: Callable[[Tx, str], Awaitable[SeenWorker]],
    worker_id: str,
) -> Response:
    async with db.transaction(scope) as tx:
        seen = await switch(tx, worker_id)
        counts = await jobs.workers.count(tx)
        return reply(request, tx, view(WorkerSwitchedOut, seen, working=counts["working"]))
