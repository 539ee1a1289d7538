"""HTTP face of graphs of jobs: parse, call, shape. No rules here."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from backend.core.context import Scope
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.large import LargeBodyRoute
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.kit.turns import Turns
from backend.managers.orchestrator._graphs import GraphState
from backend.managers.orchestrator.errors import (
    GraphInvalidError,
    GraphNotFoundError,
    GraphNotRetryableError,
    GraphOverError,
    JobForbiddenError,
    JobNotRetryableError,
)
from backend.managers.orchestrator.graph_schemas import (
    GraphBoxOut,
    GraphCreate,
    GraphOut,
    GraphOutlineOut,
    GraphRetry,
    GraphTaskOut,
)
from backend.managers.orchestrator.kinds import State
from backend.managers.orchestrator.manager import OrchestratorManager

graph_router = APIRouter(prefix="/api/v1/job-graphs", tags=["job"], route_class=LargeBodyRoute)
Jobs = Annotated[OrchestratorManager, manager_of(OrchestratorManager)]
Reader = Annotated[Scope, requires("job:read")]
Writer = Annotated[Scope, requires("job:write")]
_ID = {"graph_id": "$response.body#/id"}
_LEADS = {
    "get_job_graph": _ID,
    "list_job_graph_tasks": _ID,
    "get_job_graph_outline": _ID,
    "pause_job_graph": _ID,
    "resume_job_graph": _ID,
    "cancel_job_graph": _ID,
}


@graph_router.get("")
async def list_job_graphs(
    scope: Reader, jobs: Jobs, db: Db, page: PageQuery, state: GraphState | None = None
) -> Page[GraphOut]:
    """List graphs of jobs, newest first."""
    async with db.read(scope) as tx:
        found = await jobs.graphs.list(tx, state=state, limit=page.limit, before_id=page.before_id)
    return page_of(GraphOut, found, page)


@graph_router.post(
    "",
    status_code=201,
    response_model=GraphOut,
    responses={
        201: leads_to(**_LEADS),
        200: {"model": GraphOut, "description": "There is one of its key: it stays as it is"},
        **problems(GraphInvalidError, JobForbiddenError),
    },
)
async def create_job_graph(
    request: Request, body: GraphCreate, scope: Writer, caller: Caller, jobs: Jobs, db: Db
) -> Response:
    """Submit jobs that wait for each other; all of them, or none.

    With a `dedup_key` that another graph has, that one is answered, by 200.
    """
    async with db.transaction(scope) as tx:
        made, is_new = await jobs.graphs.submit(tx, body.draft(), permissions=caller.permissions)
        return reply(request, tx, view(GraphOut, made), status=201 if is_new else 200)


@graph_router.get("/{graph_id}", responses=problems(GraphNotFoundError))
async def get_job_graph(graph_id: IdPath, scope: Reader, jobs: Jobs, db: Db) -> GraphOut:
    """Get one graph and how far it is."""
    async with db.read(scope) as tx:
        return view(GraphOut, await jobs.graphs.get(tx, graph_id))


@graph_router.get("/{graph_id}/tasks", responses=problems(GraphNotFoundError))
async def list_job_graph_tasks(
    graph_id: IdPath,
    scope: Reader,
    jobs: Jobs,
    db: Db,
    page: PageQuery,
    state: State | None = None,
) -> Page[GraphTaskOut]:
    """List a graph's jobs, in the order in which they were handed in."""
    async with db.read(scope) as tx:
        found = await jobs.graphs.list_tasks(
            tx, graph_id, state=state, limit=page.limit, after_id=page.before_id
        )
    return page_of(GraphTaskOut, found, page)


@graph_router.get("/{graph_id}/outline", responses=problems(GraphNotFoundError))
async def get_job_graph_outline(
    request: Request, graph_id: IdPath, scope: Reader, jobs: Jobs, db: Db
) -> GraphOutlineOut:
    """Get who waits for whom in a graph, with what is alike in one box if there are many."""
    async with db.read(scope) as tx:
        draw = await jobs.graphs.outline(tx, graph_id)
    turns: Turns = request.app.state.turns
    boxes = await turns.run(scope.tenant_id, draw)
    return GraphOutlineOut(boxes=[view(GraphBoxOut, one) for one in boxes])


@graph_router.post(
    "/{graph_id}/pause",
    response_model=GraphOut,
    responses=problems(GraphNotFoundError, GraphOverError),
)
async def pause_job_graph(
    request: Request, graph_id: IdPath, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Start no more of a graph's jobs; those that run go on."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(GraphOut, await jobs.graphs.pause(tx, graph_id)))


@graph_router.post(
    "/{graph_id}/resume",
    response_model=GraphOut,
    responses=problems(GraphNotFoundError, GraphOverError),
)
async def resume_job_graph(
    request: Request, graph_id: IdPath, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Go on with a graph that was paused."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(GraphOut, await jobs.graphs.resume(tx, graph_id)))


@graph_router.post(
    "/{graph_id}/cancel",
    response_model=GraphOut,
    responses={
        200: leads_to(retry_job_graph=_ID),
        **problems(GraphNotFoundError, GraphOverError),
    },
)
async def cancel_job_graph(
    request: Request, graph_id: IdPath, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Cancel what waits at once, and ask what runs to stop."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(GraphOut, await jobs.graphs.cancel(tx, graph_id)))


@graph_router.post(
    "/{graph_id}/retry",
    response_model=GraphOut,
    responses=problems(GraphNotFoundError, GraphNotRetryableError, JobNotRetryableError),
)
async def retry_job_graph(
    request: Request, graph_id: IdPath, body: GraphRetry, scope: Writer, jobs: Jobs, db: Db
) -> Response:
    """Start again what did not succeed, or one job and what waits for it."""
    async with db.transaction(scope) as tx:
        made = await jobs.graphs.retry(tx, graph_id, job_ids=[body.job_id] if body.job_id else ())
        return reply(request, tx, view(GraphOut, made))
