"""HTTP face of how long the trail is kept: a tenant's, and the platform's own."""

from typing import Annotated

from fastapi import APIRouter, Request, Response

from backend.core.context import AnyScope, Scope, SystemScope
from backend.http.deps import Db, manager_of, requires
from backend.http.reply import problems, reply
from backend.http.schemas import view
from backend.managers.audit.errands import READ_PLATFORM, RETAIN_PLATFORM
from backend.managers.audit.errors import RetentionTooShortError
from backend.managers.audit.manager import AuditManager
from backend.managers.audit.schemas import AuditRetentionOut, AuditRetentionPut

router = APIRouter(prefix="/api/v1", tags=["audit"])
Audit = Annotated[AuditManager, manager_of(AuditManager)]


async def _shown(scope: AnyScope, audit: AuditManager, db: Db) -> AuditRetentionOut:
    async with db.read(scope) as tx:
        return view(AuditRetentionOut, await audit.retention.get(tx))


async def _saved(
    request: Request, scope: AnyScope, audit: AuditManager, db: Db, body: AuditRetentionPut
) -> Response:
    async with db.transaction(scope) as tx:
        made = await audit.retention.put(tx, body.keep_days)
        return reply(request, tx, view(AuditRetentionOut, made))


@router.get("/audit-retention")
async def get_audit_retention(
    scope: Annotated[Scope, requires("audit:read")], audit: Audit, db: Db
) -> AuditRetentionOut:
    """Get how long the tenant's trail is kept, and up to which number it was let go."""
    return await _shown(scope, audit, db)


@router.put(
    "/audit-retention",
    response_model=AuditRetentionOut,
    responses=problems(RetentionTooShortError),
)
async def put_audit_retention(
    request: Request,
    body: AuditRetentionPut,
    scope: Annotated[Scope, requires("audit_retention:write")],
    audit: Audit,
    db: Db,
) -> Response:
    """Keep the tenant's trail for so many days; null keeps it for ever.

    Older records go in bites, once a signed checkpoint covers them, was handed outside if there is
    a place for that, and a stream has brought them away if there is one. Proofs and checkpoints of
    the rest go on to hold.
    """
    return await _saved(request, scope, audit, db, body)


@router.get("/platform/audit-retention", tags=["platform"])
async def get_platform_audit_retention(
    scope: Annotated[SystemScope, requires("platform_audit:read", errand=READ_PLATFORM)],
    audit: Audit,
    db: Db,
) -> AuditRetentionOut:
    """Get how long the platform's own trail is kept, and up to which number it was let go."""
    return await _shown(scope, audit, db)


@router.put(
    "/platform/audit-retention",
    tags=["platform"],
    response_model=AuditRetentionOut,
    responses=problems(RetentionTooShortError),
)
async def put_platform_audit_retention(
    request: Request,
    body: AuditRetentionPut,
    scope: Annotated[SystemScope, requires("platform_audit:write", errand=RETAIN_PLATFORM)],
    audit: Audit,
    db: Db,
) -> Response:
    """Keep the platform's own trail for so many days; null keeps it for ever."""
    return await _saved(request, scope, audit, db, body)
