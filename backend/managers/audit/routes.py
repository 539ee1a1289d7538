"""HTTP face of the audit trail: parse, call, shape. No rules here."""

from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from backend.core.context import AnyScope, Scope, SystemScope
from backend.core.database import ReadTx
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.pagination import (
    CreatedAfter,
    CreatedBefore,
    Page,
    PageQuery,
    Slice,
    encode_cursor,
    page_of,
)
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.audit._formats import FORMATS
from backend.managers.audit._search import Wanted
from backend.managers.audit.errands import READ_PLATFORM
from backend.managers.audit.errors import (
    ExportNotFoundError,
    ExportNotReadyError,
    RangeNeededError,
    StreamInvalidError,
    StreamNotFoundError,
    TooManyExportsError,
)
from backend.managers.audit.manager import AuditManager
from backend.managers.audit.schemas import (
    AuditOut,
    ChainReportOut,
    ExportCreate,
    ExportOut,
    FacetsOut,
    StreamOut,
    StreamPut,
    StreamSavedOut,
)

router = APIRouter(prefix="/api/v1", tags=["audit"])
Audit = Annotated[AuditManager, manager_of(AuditManager)]
_VERIFICATION: Final = {"verification_id": "$response.body#/id"}
Reader = Annotated[Scope, requires("audit:read")]
Size = Annotated[int, Query(ge=1, le=2**53, description="Of the tree, in leaves", examples=[1])]
Filter = Annotated[str | None, Query(max_length=200, description="Exact, or a prefix with `*`")]
Words = Annotated[
    str | None,
    Query(
        max_length=200,
        description="Words that all occur in a record, in whatever case; with `created_after`",
    ),
]


async def _filters(
    action: Filter = None,
    actor: Filter = None,
    target: Filter = None,
    request_id: Filter = None,
    workflow: Filter = None,
    execution: Filter = None,
    created_after: CreatedAfter = None,
    created_before: CreatedBefore = None,
) -> Wanted:
    return Wanted(
        action=action,
        actor=actor,
        target=target,
        request_id=request_id,
        workflow=workflow,
        execution=execution,
        after=created_after,
        before=created_before,
    )


Filters = Annotated[Wanted, Depends(_filters)]


async def _search(filters: Filters, q: Words = None) -> Wanted:
    return replace(filters, words=q)


Search = Annotated[Wanted, Depends(_search)]


async def _page(tx: ReadTx, audit: AuditManager, page: Slice, wanted: Wanted) -> Page[AuditOut]:
    found = await audit.search(tx, wanted, limit=page.limit, before_id=page.before_id)
    made = page_of(AuditOut, found.entries, page)
    if found.looked_until is not None:
        made.next_cursor = encode_cursor(found.looked_until)
    return made


async def _verified(request: Request, scope: AnyScope, audit: AuditManager, db: Db) -> Response:
    async with db.read(scope) as tx:
        report = await audit.verify_chain(tx, limit=audit.settings.verify_records)
    # Two transactions: one that writes would hold its lock for as long as the chain is read.
    async with db.transaction(scope) as tx:
        tx.audit("audit.verified", f"tenant:{scope.tenant_id}", valid=report.valid)
        return reply(request, tx, view(ChainReportOut, report))


@router.get("/audit", responses=problems(RangeNeededError))
async def list_audit(
    scope: Annotated[Scope, requires("audit:read")],
    audit: Audit,
    db: Db,
    page: PageQuery,
    wanted: Search,
) -> Page[AuditOut]:
    """Search the tenant's acts, newest first.

    Words are looked for in 5000 records a call: a page may be short, or empty, and `next_cursor`
    still say where to go on.
    """
    async with db.read(scope) as tx:
        return await _page(tx, audit, page, wanted)


@router.get("/audit/facets", responses=problems(RangeNeededError))
async def count_audit(
    scope: Annotated[Scope, requires("audit:read")], audit: Audit, db: Db, wanted: Filters
) -> FacetsOut:
    """Count the tenant's acts by act, actor and time, as the filters leave them.

    Without a range it is the last day; at most 92 days, and the newest 10 000 records of them.
    """
    async with db.read(scope) as tx:
        return view(FacetsOut, await audit.count_records(tx, wanted))


@router.post("/audit/verify", response_model=ChainReportOut)
async def verify_audit(
    request: Request,
    scope: Annotated[Scope, requires("audit:verify")],
    audit: Audit,
    db: Db,
) -> Response:
    """Recompute the tenant's chain and say where it first fails, if it does.

    Up to a bound that the operator sets: a longer trail is looked at from where the last
    verification has ended.
    """
    return await _verified(request, scope, audit, db)


@router.get("/platform/audit", tags=["platform"], responses=problems(RangeNeededError))
async def list_platform_audit(
    scope: Annotated[SystemScope, requires("platform_audit:read", errand=READ_PLATFORM)],
    audit: Audit,
    db: Db,
    page: PageQuery,
    wanted: Search,
) -> Page[AuditOut]:
    """Search the platform's own acts: tenants, log-ins, signing keys.

    Words are looked for in 5000 records a call: a page may be short, or empty, and `next_cursor`
    still say where to go on.
    """
    async with db.read(scope) as tx:
        return await _page(tx, audit, page, wanted)


@router.get("/platform/audit/facets", tags=["platform"], responses=problems(RangeNeededError))
async def count_platform_audit(
    scope: Annotated[SystemScope, requires("platform_audit:read", errand=READ_PLATFORM)],
    audit: Audit,
    db: Db,
    wanted: Filters,
) -> FacetsOut:
    """Count the platform's own acts by act, actor and time, as the filters leave them.

    Without a range it is the last day; at most 92 days, and the newest 10 000 records of them.
    """
    async with db.read(scope) as tx:
        return view(FacetsOut, await audit.count_records(tx, wanted))


@router.post(
    "/platform/audit/verify",
    tags=["platform"],
    response_model=ChainReportOut,
)
async def verify_platform_audit(
    request: Request,
    scope: Annotated[SystemScope, requires("platform_audit:read", errand=READ_PLATFORM)],
    audit: Audit,
    db: Db,
) -> Response:
    """Recompute the hash chain of the platform's own acts and say where it first fails."""
    return await _verified(request, scope, audit, db)


exports = APIRouter(prefix="/api/v1/audit-exports", tags=["audit"])
Exporter = Annotated[Scope, requires("audit:export")]
# One for all formats: the file's name says which.
_BYTES: Final = "application/octet-stream"
_EXPORT_ID: Final = {"export_id": "$response.body#/id"}


@exports.post(
    "",
    status_code=202,
    response_model=ExportOut,
    responses={
        202: leads_to(
            get_audit_export=_EXPORT_ID,
            download_audit_export=_EXPORT_ID,
            delete_audit_export=_EXPORT_ID,
        ),
        **problems(TooManyExportsError),
    },
)
async def start_audit_export(
    request: Request, body: ExportCreate, scope: Exporter, audit: Audit, db: Db
) -> Response:
    """Have a file made of the tenant's records, oldest first; a job makes it."""
    wanted = Wanted(
        action=body.action,
        actor=body.actor,
        target=body.target,
        request_id=body.request_id,
        workflow=body.workflow,
        execution=body.execution,
        after=body.created_after,
        before=body.created_before,
    )
    async with db.transaction(scope) as tx:
        made = await audit.exports.start(tx, format_name=body.format, wanted=wanted)
        return reply(request, tx, view(ExportOut, made), status=202)


@exports.get("")
async def list_audit_exports(
    scope: Exporter, audit: Audit, db: Db, page: PageQuery
) -> Page[ExportOut]:
    """List the files that there are or will be, newest first."""
    async with db.read(scope) as tx:
        rows = await audit.exports.list(tx, limit=page.limit, before_id=page.before_id)
        return page_of(ExportOut, rows, page)


@exports.get("/{export_id}", responses=problems(ExportNotFoundError))
async def get_audit_export(export_id: IdPath, scope: Exporter, audit: Audit, db: Db) -> ExportOut:
    """Get one export: how far it is."""
    async with db.read(scope) as tx:
        return view(ExportOut, await audit.exports.get(tx, export_id))


@exports.get(
    "/{export_id}/file",
    response_class=Response,
    responses={
        200: {
            "content": {_BYTES: {"schema": {"type": "string", "format": "binary"}}},
            "description": "The file, in the export's format",
        },
        **problems(ExportNotFoundError, ExportNotReadyError),
    },
)
async def download_audit_export(
    export_id: IdPath, scope: Exporter, audit: Audit, db: Db
) -> Response:
    """Download the file; that it was is on record."""
    async with db.transaction(scope) as tx:
        export = await audit.exports.open(tx, export_id)
    form = FORMATS[export.format]
    name = f"audit-{export.created_at:%Y%m%dT%H%M%SZ}.{form.suffix}"
    return StreamingResponse(
        audit.exports.read(db, scope, export),
        media_type=_BYTES,
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@exports.delete("/{export_id}", status_code=204, responses=problems(ExportNotFoundError))
async def delete_audit_export(export_id: IdPath, scope: Exporter, audit: Audit, db: Db) -> None:
    """Forget a file, whether it is ready or being made."""
    async with db.transaction(scope) as tx:
        await audit.exports.delete(tx, export_id)


streams = APIRouter(prefix="/api/v1/audit-stream", tags=["audit"])


@streams.get("", responses=problems(StreamNotFoundError))
async def get_audit_stream(
    scope: Annotated[Scope, requires("audit_stream:read")], audit: Audit, db: Db
) -> StreamOut:
    """Get where the tenant's trail is pushed to, and how far behind it is."""
    async with db.read(scope) as tx:
        return view(StreamOut, await audit.streams.get(tx))


@streams.put(
    "",
    response_model=StreamSavedOut,
    responses={
        200: leads_to(get_audit_stream={}, delete_audit_stream={}),
        **problems(StreamInvalidError),
    },
)
async def put_audit_stream(
    request: Request,
    body: StreamPut,
    scope: Annotated[Scope, requires("audit_stream:write")],
    audit: Audit,
    db: Db,
) -> Response:
    """Push the tenant's trail to a webhook or a syslog receiver.

    A changed one keeps its place. Every record arrives at least once, in the order of `seq`; what
    is sent again has the same `webhook-id`. What fails is tried again after five minutes at most.
    """
    async with db.transaction(scope) as tx:
        made, secret = await audit.streams.put(
            tx,
            kind=body.kind,
            target=body.target,
            format_name=body.format,
            ca_certificate=body.ca_certificate,
            paused=body.paused,
            from_beginning=body.from_beginning,
        )
        return reply(request, tx, view(StreamSavedOut, made, secret=secret, secret_withheld=None))


@streams.delete("", status_code=204, responses=problems(StreamNotFoundError))
async def delete_audit_stream(
    scope: Annotated[Scope, requires("audit_stream:write")], audit: Audit, db: Db
) -> None:
    """Push the tenant's trail nowhere any more; where it was is forgotten."""
    async with db.transaction(scope) as tx:
        await audit.streams.delete(tx)
