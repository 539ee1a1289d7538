"""HTTP face of plans, quotas and usage: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from backend.core.context import Scope, SystemScope
from backend.http.deps import Db, IdPath, requires
from backend.http.pagination import NamedPageQuery, Page, page_of
from backend.http.reply import leads_to, problems
from backend.http.schemas import Slug, view
from backend.managers.tenant.errors import (
    PlanBuiltInError,
    PlanInUseError,
    PlanNotFoundError,
    SpanTooLongError,
    TenantNeededError,
    TenantNotFoundError,
)
from backend.managers.tenant.routes import PlatformReader, PlatformWriter, Tenants
from backend.managers.tenant.schemas import (
    PlanOut,
    PlanPut,
    QuotaOut,
    QuotasOut,
    QuotasPut,
    UsageOut,
)

router = APIRouter(prefix="/api/v1")
NamePath = Annotated[Slug, Path(description="Plan name", examples=["starter"])]
_Day = Annotated[str | None, Query(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
From = Annotated[_Day, Query(alias="from", description="First day, UTC; 29 days before `to`")]
To = Annotated[_Day, Query(description="Last day, UTC; today")]
UsageReader = Annotated[Scope, requires("usage:read", counted=False)]
_NAMED: Final = {"name": "$request.path.name"}


@router.get("/platform/plans", tags=["platform"])
async def list_plans(
    scope: PlatformReader, tenants: Tenants, db: Db, page: NamedPageQuery
) -> Page[PlanOut]:
    """List the plans by name."""
    async with db.read(scope) as tx:
        rows = await tenants.plans.list(tx, limit=page.limit, after_name=page.after_name)
    return page_of(PlanOut, rows, page)


@router.get("/platform/plans/{name}", tags=["platform"], responses=problems(PlanNotFoundError))
async def get_plan(name: NamePath, scope: PlatformReader, tenants: Tenants, db: Db) -> PlanOut:
    """Get one plan."""
    async with db.read(scope) as tx:
        return view(PlanOut, await tenants.plans.get(tx, name))


@router.put(
    "/platform/plans/{name}",
    tags=["platform"],
    responses={
        200: leads_to(get_plan=_NAMED, delete_plan=_NAMED),
        **problems(PlanBuiltInError),
    },
)
async def put_plan(
    name: NamePath, body: PlanPut, scope: PlatformWriter, tenants: Tenants, db: Db
) -> PlanOut:
    """Make a plan, or give all its tenants other quotas from now on."""
    async with db.transaction(scope) as tx:
        return view(PlanOut, await tenants.plans.put(tx, name, body.limits()))


@router.delete(
    "/platform/plans/{name}",
    tags=["platform"],
    status_code=204,
    responses=problems(PlanNotFoundError, PlanBuiltInError, PlanInUseError),
)
async def delete_plan(name: NamePath, scope: PlatformWriter, tenants: Tenants, db: Db) -> None:
    """Remove a plan that no tenant has."""
    async with db.transaction(scope) as tx:
        await tenants.plans.delete(tx, name)


@router.get(
    "/platform/tenants/{tenant_id}/quotas",
    tags=["platform"],
    responses=problems(TenantNotFoundError, TenantNeededError),
)
async def get_tenant_quotas(
    tenant_id: IdPath, scope: PlatformReader, tenants: Tenants, db: Db
) -> QuotasOut:
    """What a tenant may, by what, and what it has used of it."""
    async with db.read(scope) as tx:
        found = await tenants.plans.quotas_of_tenant(tx, tenant_id)
    async with db.read(_within(scope, tenant_id)) as tx:
        return view(QuotasOut, found, items=await tenants.describe_quotas(tx, found.limits))


@router.put(
    "/platform/tenants/{tenant_id}/quotas",
    tags=["platform"],
    responses=problems(TenantNotFoundError, TenantNeededError, PlanNotFoundError),
)
async def set_tenant_quotas(
    tenant_id: IdPath, body: QuotasPut, scope: PlatformWriter, tenants: Tenants, db: Db
) -> QuotasOut:
    """Give a tenant another plan, or other overrides of it; effective at once."""
    async with db.transaction(scope) as tx:
        found = await tenants.plans.set_quotas(
            tx, tenant_id, plan=body.plan, overrides=body.limits()
        )
    async with db.read(_within(scope, tenant_id)) as tx:
        return view(QuotasOut, found, items=await tenants.describe_quotas(tx, found.limits))


@router.get(
    "/platform/tenants/{tenant_id}/usage",
    tags=["platform"],
    responses=problems(TenantNotFoundError, SpanTooLongError),
)
async def get_tenant_usage(
    tenant_id: IdPath,
    scope: PlatformReader,
    tenants: Tenants,
    db: Db,
    first: From = None,
    to: To = None,
) -> UsageOut:
    """What a tenant did by day, and how much it has now."""
    async with db.read(scope) as tx:
        await tenants.get_tenant(tx, tenant_id)
    async with db.read(_within(scope, tenant_id)) as tx:
        return view(UsageOut, await tenants.usage.describe(tx, first, to))


@router.get("/usage", tags=["usage"], responses=problems(SpanTooLongError))
async def get_usage(
    scope: UsageReader, tenants: Tenants, db: Db, first: From = None, to: To = None
) -> UsageOut:
    """What this tenant did by day, and how much it has now."""
    async with db.read(scope) as tx:
        return view(UsageOut, await tenants.usage.describe(tx, first, to))


@router.get("/quotas", tags=["usage"])
async def list_quotas(scope: UsageReader, tenants: Tenants, db: Db) -> Page[QuotaOut]:
    """What this tenant may, and what it has used of it."""
    async with db.read(scope) as tx:
        limits = await tenants.quotas_of(tx, scope.tenant_id)
        found = await tenants.describe_quotas(tx, limits)
    return Page[QuotaOut](items=[view(QuotaOut, one) for one in found], next_cursor=None)


def _within(scope: SystemScope, tenant_id: str) -> Scope:
    """The platform's look at what is one tenant's, behind both walls."""
    return Scope(scope.actor, tenant_id, scope.request_id, scope.traceparent, scope.run)
