"""HTTP face of what the platform does with whole tenants: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.http.deps import Caller, Db, IdPath
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.tenant.errors import (
    ConfirmationError,
    SlugTakenError,
    TenantNeededError,
    TenantNotFoundError,
    TenantStateError,
)
from backend.managers.tenant.routes import (
    PlatformFreshly,
    PlatformReader,
    PlatformWriter,
    Tenants,
)
from backend.managers.tenant.schemas import (
    TenantCertificateOut,
    TenantOut,
    TenantPatch,
    TenantSealCreate,
    TenantSealOut,
    TenantSuspend,
)

router = APIRouter(prefix="/api/v1/platform", tags=["platform"])
_TENANT: Final = {"tenant_id": "$response.body#/id"}
_REFUSALS: Final = (TenantNotFoundError, TenantNeededError, TenantStateError)


@router.put(
    "/tenants/{tenant_id}",
    responses=problems(TenantNotFoundError, TenantNeededError, SlugTakenError),
)
async def rename_tenant(
    tenant_id: IdPath, body: TenantPatch, scope: PlatformWriter, tenants: Tenants, db: Db
) -> TenantOut:
    """Give a tenant another name or slug; addresses with the old slug lead nowhere then."""
    async with db.transaction(scope) as tx:
        tenant = await tenants.lifecycle.rename(tx, tenant_id, slug=body.slug, name=body.name)
    return view(TenantOut, tenant)


@router.post(
    "/tenants/{tenant_id}/suspend",
    response_model=TenantOut,
    responses={200: leads_to(resume_tenant=_TENANT), **problems(*_REFUSALS)},
)
async def suspend_tenant(
    request: Request,
    tenant_id: IdPath,
    body: TenantSuspend,
    scope: PlatformWriter,
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> Response:
    """Refuse everybody of a tenant, with the reason; its jobs wait and running ones end."""
    async with db.transaction(scope) as tx:
        tenant = await tenants.lifecycle.suspend(
            tx, tenant_id, reason=body.reason, through=caller.tenant_id
        )
        return reply(request, tx, view(TenantOut, tenant))


@router.post(
    "/tenants/{tenant_id}/resume", response_model=TenantOut, responses=problems(*_REFUSALS)
)
async def resume_tenant(
    request: Request, tenant_id: IdPath, scope: PlatformWriter, tenants: Tenants, db: Db
) -> Response:
    """End a suspension: what waited goes on."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(TenantOut, await tenants.lifecycle.resume(tx, tenant_id)))


@router.get("/tenants/{tenant_id}/seal", responses=problems(TenantNotFoundError, TenantNeededError))
async def get_tenant_seal(
    tenant_id: IdPath, scope: PlatformReader, tenants: Tenants, db: Db
) -> TenantSealOut:
    """Say whether a tenant's keys are sealed, and why."""
    async with db.read(scope) as tx:
        await tenants.lifecycle.load(tx, tenant_id)
    async with db.read(Scope(scope.actor, tenant_id, scope.request_id)) as tx:
        return view(TenantSealOut, await tenants.lifecycle.find_seal(tx))


@router.post(
    "/tenants/{tenant_id}/seal",
    response_model=TenantSealOut,
    responses={
        200: leads_to(unseal_tenant={"tenant_id": "$response.body#/tenant_id"}),
        **problems(*_REFUSALS),
    },
)
async def seal_tenant(
    request: Request,
    tenant_id: IdPath,
    body: TenantSealCreate,
    scope: PlatformFreshly,
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> Response:
    """Refuse every use of a tenant's keys, in every process within a second; its jobs wait."""
    async with db.transaction(scope) as tx:
        sealed = await tenants.lifecycle.seal(
            tx, tenant_id, reason=body.reason, through=caller.tenant_id
        )
        return reply(request, tx, view(TenantSealOut, sealed))


@router.post(
    "/tenants/{tenant_id}/unseal",
    response_model=TenantSealOut,
    responses=problems(*_REFUSALS),
)
async def unseal_tenant(
    request: Request, tenant_id: IdPath, scope: PlatformFreshly, tenants: Tenants, db: Db
) -> Response:
    """Let a tenant's keys be used again: what waited goes on."""
    async with db.transaction(scope) as tx:
        return reply(
            request, tx, view(TenantSealOut, await tenants.lifecycle.unseal(tx, tenant_id))
        )


@router.delete(
    "/tenants/{tenant_id}",
    responses={
        200: leads_to(restore_tenant=_TENANT),
        **problems(*_REFUSALS, ConfirmationError),
    },
)
async def delete_tenant(
    tenant_id: IdPath,
    slug: Annotated[str, Query(max_length=40, description="The tenant's, to confirm")],
    scope: PlatformFreshly,
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> TenantOut:
    """Refuse everybody of a tenant, and remove its data once the grace period is over."""
    async with db.transaction(scope) as tx:
        tenant = await tenants.lifecycle.delete(tx, tenant_id, slug=slug, through=caller.tenant_id)
    return view(TenantOut, tenant)


@router.post(
    "/tenants/{tenant_id}/restore", response_model=TenantOut, responses=problems(*_REFUSALS)
)
async def restore_tenant(
    request: Request, tenant_id: IdPath, scope: PlatformWriter, tenants: Tenants, db: Db
) -> Response:
    """Call back a tenant that is being deleted: it is what it was before."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(TenantOut, await tenants.lifecycle.restore(tx, tenant_id)))


@router.get("/tenant-certificates")
async def list_tenant_certificates(
    scope: PlatformReader, tenants: Tenants, db: Db, page: PageQuery
) -> Page[TenantCertificateOut]:
    """List what went of tenants whose data is gone, newest deletion first."""
    async with db.read(scope) as tx:
        rows = await tenants.lifecycle.list_certificates(
            tx, limit=page.limit, before_id=page.before_id
        )
    return page_of(TenantCertificateOut, rows, page)
