"""HTTP face of the audit trail: parse, call, shape. No rules here."""

from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from backend.core.context import AnyScope, Scope, SystemScope
from backend.core.database import ReadTx
from backend.http.deps import Db, manager_of, requires
from backend.http.pagination import (
    CreatedAfter,
    CreatedBefore,
    Page,
    PageQuery,
    Slice,
    encode_cursor,
    page_of,
)
from backend.http.reply import problems, reply
from backend.http.schemas import view
from backend.managers.audit._search import Wanted
from backend.managers.audit.errands import READ_PLATFORM
from backend.managers.audit.errors import RangeNeededError
from backend.managers.audit.manager import AuditManager
from backend.managers.audit.schemas import AuditOut, ChainReportOut, FacetsOut

router = APIRouter(prefix="/api/v1", tags=["audit"])
Audit = Annotated[AuditManager, manager_of(AuditManager)]
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
