"""HTTP face of traces: parse, open a transaction, one call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from backend.core.context import Scope
from backend.http.deps import Db, manager_of, requires
from backend.http.pagination import CreatedAfter, CreatedBefore, Page, PageQuery, page_of
from backend.http.reply import problems
from backend.http.schemas import view
from backend.managers.tracing._search import WantedTraces
from backend.managers.tracing.errors import (
    AttributeInvalidError,
    KeptTooLongError,
    TraceNotFoundError,
)
from backend.managers.tracing.manager import TracingManager
from backend.managers.tracing.schemas import (
    ComparisonOut,
    DifferenceOut,
    OperationOut,
    OperationsOut,
    TraceOut,
    TraceSettingsOut,
    TraceSettingsPut,
    TraceTreeOut,
)

router = APIRouter(prefix="/api/v1", tags=["trace"])
Tracing = Annotated[TracingManager, manager_of(TracingManager)]
Reader = Annotated[Scope, requires("trace:read")]
Configurer = Annotated[Scope, requires("trace_settings:write")]
_ID: Final = r"^[0-9a-f]{32}$"
_EXAMPLE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
TraceId = Annotated[
    str, Path(pattern=_ID, description="W3C trace id: 32 hex digits", examples=[_EXAMPLE])
]
Other = Annotated[
    str, Query(pattern=_ID, description="The trace to compare with", examples=[_EXAMPLE])
]


def _text(description: str, most: int = 512) -> object:
    return Query(min_length=1, max_length=most, description=description)


@router.get("/traces", responses=problems(AttributeInvalidError))
async def list_traces(
    scope: Reader,
    tracing: Tracing,
    db: Db,
    page: PageQuery,
    service: Annotated[str | None, _text("That has a span in it")] = None,
    operation: Annotated[str | None, _text("The name of a span in it")] = None,
    workflow_id: Annotated[str | None, _text("n8n's id of the workflow")] = None,
    execution_id: Annotated[str | None, _text("n8n's id of the execution")] = None,
    request_id: Annotated[str | None, _text("`X-Request-Id` of a request in it", 100)] = None,
    attribute: Annotated[
        str | None,
        Query(
            max_length=1024,
            pattern=r'^[^"=\x00]+=[^\x00]*$',
            description="`name=value` of a span; of the last day unless a range is given",
            examples=["http.response.status_code=503"],
        ),
    ] = None,
    min_ms: Annotated[float | None, Query(ge=0, le=1e12, description="Took so long")] = None,
    failed: Annotated[bool | None, Query(description="Whether a span in it failed")] = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
) -> Page[TraceOut]:
    """List kept traces, newest first; all that is asked for has to hold."""
    wanted = WantedTraces(
        service=service,
        operation=operation,
        workflow_id=workflow_id,
        execution_id=execution_id,
        request_id=request_id,
        attribute=attribute,
        min_ms=min_ms,
        failed=failed,
        after=created_after,
        before=created_before,
    )
    async with db.read(scope) as tx:
        rows = await tracing.search.list(tx, wanted, limit=page.limit, before_id=page.before_id)
    return page_of(TraceOut, rows, page)


@router.get("/traces/{trace_id}", responses=problems(TraceNotFoundError))
async def get_trace(trace_id: TraceId, scope: Reader, tracing: Tracing, db: Db) -> TraceTreeOut:
    """Get one trace with its spans, depth first."""
    async with db.read(scope) as tx:
        return view(TraceTreeOut, await tracing.search.get(tx, trace_id))


@router.get("/traces/{trace_id}/comparison", responses=problems(TraceNotFoundError))
async def compare_traces(
    trace_id: TraceId, other: Other, scope: Reader, tracing: Tracing, db: Db
) -> ComparisonOut:
    """Compare two traces by operation, what differs most first."""
    async with db.read(scope) as tx:
        one, two, operations = await tracing.search.compare(tx, trace_id, other)
    return ComparisonOut(
        trace=view(TraceOut, one.trace),
        other=view(TraceOut, two.trace),
        operations=[view(DifferenceOut, each) for each in operations],
    )


@router.get("/trace-operations")
async def list_trace_operations(
    scope: Reader,
    tracing: Tracing,
    db: Db,
    minutes: Annotated[int, Query(ge=1, le=360, description="How far back")] = 60,
    service: Annotated[str | None, _text("Only this service's")] = None,
) -> OperationsOut:
    """Rate, errors and duration by operation, of all spans whether kept or not."""
    async with db.read(scope) as tx:
        found = await tracing.search.list_operations(tx, minutes=minutes, service=service)
    return OperationsOut(minutes=minutes, items=[view(OperationOut, each) for each in found])


@router.get("/trace-settings")
async def get_trace_settings(scope: Reader, tracing: Tracing, db: Db) -> TraceSettingsOut:
    """What of this tenant's traces is kept, for how long, and what became of today's spans."""
    async with db.read(scope) as tx:
        return view(TraceSettingsOut, await tracing.wanted.get(tx))


@router.put("/trace-settings", responses=problems(KeptTooLongError))
async def put_trace_settings(
    body: TraceSettingsPut, scope: Configurer, tracing: Tracing, db: Db
) -> TraceSettingsOut:
    """Say what of this tenant's traces is kept, and for how long; effective within seconds."""
    async with db.transaction(scope) as tx:
        saved = await tracing.wanted.put(
            tx,
            share=body.share,
            keep_days=body.keep_days,
            keep_sampled=body.keep_sampled,
        )
    return view(TraceSettingsOut, saved)
