"""HTTP face of tenants and members: parse, call, shape. No rules here."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Request, Response

from backend.core.context import Scope, SystemScope
from backend.core.room import PLATFORM_READ, PLATFORM_WRITE
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.tenant._password import hash_password
from backend.managers.tenant.errands import MEMBERS, PLATFORM
from backend.managers.tenant.errors import (
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    RoleTooHighError,
    SlugTakenError,
    TenantNotFoundError,
)
from backend.managers.tenant.manager import TenantManager
from backend.managers.tenant.schemas import (
    MemberCreate,
    MemberOut,
    MemberPatch,
    RoleOut,
    TenantCreate,
    TenantOut,
)

router = APIRouter(prefix="/api/v1")
Tenants = Annotated[TenantManager, manager_of(TenantManager)]
PlatformReader = Annotated[SystemScope, requires(PLATFORM_READ, errand=PLATFORM)]
PlatformWriter = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=PLATFORM)]
MemberReader = Annotated[SystemScope, requires("member:read", errand=MEMBERS)]
MemberWriter = Annotated[SystemScope, requires("member:write", errand=MEMBERS)]
_TENANT = {"tenant_id": "$response.body#/id"}
_USER_ID = {"user_id": "$response.body#/id"}


@router.get("/platform/tenants", tags=["platform"])
async def list_tenants(
    scope: PlatformReader, tenants: Tenants, db: Db, page: PageQuery
) -> Page[TenantOut]:
    """List all tenants, newest first."""
    async with db.read(scope) as tx:
        rows = await tenants.list_tenants(tx, limit=page.limit, before_id=page.before_id)
    return page_of(TenantOut, rows, page)


@router.post(
    "/platform/tenants",
    tags=["platform"],
    status_code=201,
    response_model=TenantOut,
    responses={
        201: leads_to(
            get_tenant=_TENANT,
            rename_tenant=_TENANT,
            suspend_tenant=_TENANT,
            get_tenant_quotas=_TENANT,
            set_tenant_quotas=_TENANT,
            get_tenant_usage=_TENANT,
            delete_tenant={**_TENANT, "slug": "$response.body#/slug"},
        ),
        **problems(SlugTakenError, MemberNotFoundError),
    },
)
async def create_tenant(
    request: Request,
    body: TenantCreate,
    scope: PlatformWriter,
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> Response:
    """Create a tenant and make somebody its owner: the caller, unless an e-mail says who."""
    # Only people hold the platform's permissions.
    user_id = caller.subject.removeprefix("user:")
    async with db.transaction(scope) as tx:
        tenant = await tenants.create_tenant(tx, slug=body.slug, name=body.name)
        await tenants.add_first_owner(
            tx, tenant_id=tenant.id, email=body.owner_email, otherwise=user_id
        )
        return reply(request, tx, view(TenantOut, tenant), status=201)


@router.get(
    "/platform/tenants/{tenant_id}",
    tags=["platform"],
    responses=problems(TenantNotFoundError),
)
async def get_tenant(
    tenant_id: IdPath, scope: PlatformReader, tenants: Tenants, db: Db
) -> TenantOut:
    """Get one tenant."""
    async with db.read(scope) as tx:
        return view(TenantOut, await tenants.get_tenant(tx, tenant_id))


@router.get("/roles", tags=["members"])
async def list_roles(_: Annotated[Scope, requires("role:read")], tenants: Tenants) -> Page[RoleOut]:
    """List the built-in roles and their permissions."""
    return Page[RoleOut](
        items=[
            RoleOut(name=name, permissions=sorted(permissions))
            for name, permissions in tenants.roles.by_name.items()
        ],
        next_cursor=None,
    )


@router.get("/members", tags=["members"])
async def list_members(
    scope: MemberReader, tenants: Tenants, db: Db, page: PageQuery
) -> Page[MemberOut]:
    """List the tenant's people, newest first."""
    async with db.read(scope) as tx:
        rows = await tenants.list_members(tx, limit=page.limit, before_id=page.before_id)
    return page_of(MemberOut, rows, page)


@router.post(
    "/members",
    tags=["members"],
    status_code=201,
    response_model=MemberOut,
    responses={
        201: leads_to(set_member_role=_USER_ID, remove_member=_USER_ID),
        **problems(MemberExistsError, LoginExistsError, MemberNotFoundError, RoleTooHighError),
    },
)
async def add_member(
    request: Request,
    body: MemberCreate,
    scope: MemberWriter,
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> Response:
    """Add a person: one known by e-mail, or a new one when a password is given."""
    password = body.password.get_secret_value() if body.password else None
    hashed = await asyncio.to_thread(hash_password, password) if password else None
    async with db.transaction(scope) as tx:
        member = await tenants.invite_member(
            tx,
            email=body.email,
            name=body.name,
            role=body.role,
            password_hash=hashed,
            granter=caller.permissions,
        )
        return reply(request, tx, view(MemberOut, member), status=201)


@router.put(
    "/members/{user_id}",
    tags=["members"],
    responses=problems(MemberNotFoundError, RoleTooHighError, LastOwnerError),
)
async def set_member_role(
    user_id: IdPath,
    body: MemberPatch,
    scope: MemberWriter,
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> MemberOut:
    """Change a member's role."""
    async with db.transaction(scope) as tx:
        member = await tenants.set_role(
            tx, user_id=user_id, role=body.role, granter=caller.permissions
        )
    return view(MemberOut, member)


@router.delete(
    "/members/{user_id}",
    tags=["members"],
    status_code=204,
    responses=problems(MemberNotFoundError, RoleTooHighError, LastOwnerError),
)
async def remove_member(
    user_id: IdPath, scope: MemberWriter, caller: Caller, tenants: Tenants, db: Db
) -> None:
    """End a membership; tokens bound to it stop working at once."""
    async with db.transaction(scope) as tx:
        await tenants.remove_member(tx, user_id=user_id, remover=caller.permissions)
