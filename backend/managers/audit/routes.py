"""HTTP face of the audit trail: parse, call, shape. No rules here."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import AnyScope, Scope, SystemScope
from backend.core.database import ReadTx
from backend.http.deps import Db, manager_of, requires
from backend.http.pagination import Page, PageQuery, Slice, page_of
from backend.http.reply import reply
from backend.http.schemas import view
from backend.managers.audit.errands import READ_PLATFORM
from backend.managers.audit.manager import AuditManager
from backend.managers.audit.schemas import AuditOut, ChainReportOut

router = APIRouter(prefix="/api/v1", tags=["audit"])
Audit = Annotated[AuditManager, manager_of(AuditManager)]
Filter = Annotated[str | None, Query(max_length=200, description="Exact, or a prefix with `*`")]


async def _page(
    tx: ReadTx,
    audit: AuditManager,
    page: Slice,
    action: str | None,
    actor: str | None,
    target: str | None,
) -> Page[AuditOut]:
    rows = await audit.list_records(
        tx, limit=page.limit, before_id=page.before_id, action=action, actor=actor, target=target
    )
    return page_of(AuditOut, rows, page)


async def _verified(request: Request, scope: AnyScope, audit: AuditManager, db: Db) -> Response:
    async with db.read(scope) as tx:
        report = await audit.verify_chain(tx)
    # Two transactions: one that writes would hold its lock for as long as the chain is read.
    async with db.transaction(scope) as tx:
        tx.audit("audit.verified", f"tenant:{scope.tenant_id}", valid=report.valid)
        return reply(request, tx, view(ChainReportOut, report))


@router.get("/audit")
async def list_audit(
    scope: Annotated[Scope, requires("audit:read")],
    audit: Audit,
    db: Db,
    page: PageQuery,
    action: Filter = None,
    actor: Filter = None,
    target: Filter = None,
) -> Page[AuditOut]:
    """List the tenant's acts, newest first."""
    async with db.read(scope) as tx:
        return await _page(tx, audit, page, action, actor, target)


@router.post("/audit/verify", response_model=ChainReportOut)
async def verify_audit(
    request: Request,
    scope: Annotated[Scope, requires("audit:verify")],
    audit: Audit,
    db: Db,
) -> Response:
    """Recompute the tenant's whole hash chain and say where it first fails, if it does."""
    return await _verified(request, scope, audit, db)


@router.get("/platform/audit", tags=["platform"])
async def list_platform_audit(
    scope: Annotated[SystemScope, requires("platform_audit:read", errand=READ_PLATFORM)],
    audit: Audit,
    db: Db,
    page: PageQuery,
    action: Filter = None,
    actor: Filter = None,
    target: Filter = None,
) -> Page[AuditOut]:
    """List the platform's own acts: tenants, log-ins, signing keys."""
    async with db.read(scope) as tx:
        return await _page(tx, audit, page, action, actor, target)


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
