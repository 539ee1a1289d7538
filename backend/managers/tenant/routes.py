"""HTTP face of tenants and members: parse, call, shape. No rules here."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from backend.core.context import Scope, SystemScope
from backend.core.errors import InvalidInputError
from backend.core.room import PLATFORM_READ, PLATFORM_WRITE
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import SHOWN_ONCE, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.tenant._roles import ROLE_PATTERN, RoleDefinition
from backend.managers.tenant.errands import MEMBERS, PLATFORM
from backend.managers.tenant.errors import (
    LastAdministratorError,
    LastOwnerError,
    MemberNotFoundError,
    OwnAccountError,
    PermissionUnknownError,
    RoleBuiltInError,
    RoleChangedError,
    RoleHeldError,
    RoleNotFoundError,
    RoleTooHighError,
    RoleUnknownError,
    SlugTakenError,
    TenantNotFoundError,
    TooManyRolesError,
)
from backend.managers.tenant.manager import TenantManager
from backend.managers.tenant.schemas import (
    MemberOut,
    MemberPatch,
    OwnerInvitationOut,
    OwnerInvite,
    PlatformRolePut,
    PlatformUserOut,
    RoleOut,
    RolePut,
    TenantCreate,
    TenantCreatedOut,
    TenantOut,
)

router = APIRouter(prefix="/api/v1")
Tenants = Annotated[TenantManager, manager_of(TenantManager)]
PlatformReader = Annotated[SystemScope, requires(PLATFORM_READ, errand=PLATFORM)]
PlatformWriter = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=PLATFORM)]
MemberReader = Annotated[SystemScope, requires("member:read", errand=MEMBERS)]
MemberWriter = Annotated[SystemScope, requires("member:write", errand=MEMBERS)]
_TENANT = {"tenant_id": "$response.body#/id"}
RoleNamePath = Annotated[
    str,
    Path(description="Name of a role", pattern=ROLE_PATTERN, max_length=40, examples=["billing"]),
]
PlatformFreshly = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=PLATFORM, fresh=True)]
RoleGranter = Annotated[SystemScope, requires("platform_role:write", errand=PLATFORM, fresh=True)]
_ROLE_NAME = {"name": "$response.body#/name"}


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
    response_model=TenantCreatedOut,
    responses={
        201: leads_to(
            get_tenant=_TENANT,
            rename_tenant=_TENANT,
            suspend_tenant=_TENANT,
            seal_tenant=_TENANT,
            get_tenant_seal=_TENANT,
            get_tenant_quotas=_TENANT,
            set_tenant_quotas=_TENANT,
            get_tenant_usage=_TENANT,
            delete_tenant={**_TENANT, "slug": "$response.body#/slug"},
            invite_owner=_TENANT,
        ),
        **problems(SlugTakenError, InvalidInputError),
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
    """Create a tenant: the caller owns it, or whoever is invited to.

    Until the invitation is accepted the tenant has no owner.
    """
    if body.owner_email is None and caller.kind != "user":
        raise InvalidInputError("A program owns nothing: name who does").at("owner_email")
    user_id = caller.subject.removeprefix("user:")
    async with db.transaction(scope) as tx:
        tenant, link = await tenants.found_tenant(
            tx, slug=body.slug, name=body.name, owner_email=body.owner_email, founder=user_id
        )
        if link is None:
            return reply(request, tx, view(TenantOut, tenant), status=201)
        made = view(TenantCreatedOut, tenant, owner_invitation_link=link)
        return reply(request, tx, made, status=201, headers=SHOWN_ONCE)


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


@router.post(
    "/platform/tenants/{tenant_id}/invite-owner",
    tags=["platform"],
    status_code=201,
    response_model=OwnerInvitationOut,
    responses=problems(TenantNotFoundError),
)
async def invite_owner(
    request: Request,
    tenant_id: IdPath,
    body: OwnerInvite,
    scope: PlatformFreshly,
    tenants: Tenants,
    db: Db,
) -> Response:
    """Invite somebody to own a tenant, one that has no owner among them."""
    async with db.transaction(scope) as tx:
        link = await tenants.invite_another_owner(tx, tenant_id, body.email)
        return reply(request, tx, OwnerInvitationOut(link=link), status=201, headers=SHOWN_ONCE)


@router.get("/roles", tags=["members"])
async def list_roles(
    scope: Annotated[Scope, requires("role:read")], tenants: Tenants, db: Db
) -> Page[RoleOut]:
    """List all roles and their permissions: the built-in ones, then the tenant's own."""
    async with db.read(scope) as tx:
        roles = await tenants.roles.list(tx)
    return Page[RoleOut](items=[view(RoleOut, role) for role in roles], next_cursor=None)


@router.get("/roles/{name}", tags=["members"], responses=problems(RoleNotFoundError))
async def get_role(
    response: Response,
    name: RoleNamePath,
    scope: Annotated[Scope, requires("role:read")],
    tenants: Tenants,
    db: Db,
) -> RoleOut:
    """Get one role. The ETag goes into If-Match when changing it."""
    async with db.read(scope) as tx:
        role = await tenants.roles.get(tx, name)
    response.headers["ETag"] = etag(str(role.version))
    return view(RoleOut, role)


@router.put(
    "/roles/{name}",
    tags=["members"],
    responses={
        200: leads_to(get_role=_ROLE_NAME, delete_role=_ROLE_NAME),
        **problems(
            RoleBuiltInError,
            TooManyRolesError,
            RoleTooHighError,
            RoleChangedError,
            InvalidInputError,
            PermissionUnknownError,
        ),
    },
)
async def put_role(
    response: Response,
    name: RoleNamePath,
    body: RolePut,
    scope: Annotated[Scope, requires("role:write")],
    caller: Caller,
    tenants: Tenants,
    db: Db,
    if_match: IfMatch = None,
) -> RoleOut:
    """Make a role of the tenant's own, or change it for all who hold it, at once."""
    async with db.transaction(scope) as tx:
        role = await tenants.roles.put(
            tx,
            name=name,
            description=body.description,
            permissions=frozenset(body.permissions),
            expected_version=expected_version(if_match, RoleChangedError),
            granter=caller.permissions,
        )
    response.headers["ETag"] = etag(str(role.version))
    return view(RoleOut, role)


@router.delete(
    "/roles/{name}",
    tags=["members"],
    status_code=204,
    responses=problems(RoleNotFoundError, RoleBuiltInError, RoleHeldError, RoleTooHighError),
)
async def delete_role(
    name: RoleNamePath,
    scope: Annotated[Scope, requires("role:write")],
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> None:
    """Delete a role of the tenant's own that nobody holds."""
    async with db.transaction(scope) as tx:
        await tenants.roles.delete(tx, name, remover=caller.permissions)


@router.get("/members", tags=["members"])
async def list_members(
    scope: MemberReader, tenants: Tenants, db: Db, page: PageQuery
) -> Page[MemberOut]:
    """List the tenant's people, newest first."""
    async with db.read(scope) as tx:
        rows = await tenants.list_members(tx, limit=page.limit, before_id=page.before_id)
    return page_of(MemberOut, rows, page)


@router.put(
    "/members/{user_id}",
    tags=["members"],
    responses=problems(
        MemberNotFoundError, RoleTooHighError, LastOwnerError, InvalidInputError, RoleUnknownError
    ),
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


@router.post(
    "/members/{user_id}/disable",
    tags=["members"],
    response_model=MemberOut,
    responses=problems(MemberNotFoundError, RoleTooHighError, LastOwnerError, OwnAccountError),
)
async def disable_member(
    request: Request,
    user_id: IdPath,
    scope: MemberWriter,
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> Response:
    """Keep a member out of this tenant; tokens bound to it stop working at once."""
    async with db.transaction(scope) as tx:
        member = await tenants.disable_member(tx, user_id=user_id, by=caller.permissions)
        return reply(request, tx, view(MemberOut, member))


@router.post(
    "/members/{user_id}/enable",
    tags=["members"],
    response_model=MemberOut,
    responses=problems(MemberNotFoundError, RoleTooHighError),
)
async def enable_member(
    request: Request,
    user_id: IdPath,
    scope: MemberWriter,
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> Response:
    """Let a member act again, in the role they have."""
    async with db.transaction(scope) as tx:
        member = await tenants.enable_member(tx, user_id=user_id, by=caller.permissions)
        return reply(request, tx, view(MemberOut, member))


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


@router.get("/platform/roles", tags=["platform"])
async def list_platform_roles(_: PlatformReader, tenants: Tenants) -> Page[RoleOut]:
    """List the platform's own roles and their permissions."""
    roles = [
        RoleDefinition(name, True, "", permissions, 0, None)
        for name, permissions in tenants.roles.by_platform.items()
    ]
    return Page[RoleOut](items=[view(RoleOut, role) for role in roles], next_cursor=None)


@router.put(
    "/platform/users/{user_id}/role",
    tags=["platform"],
    responses=problems(MemberNotFoundError, RoleTooHighError, LastAdministratorError),
)
async def set_platform_role(
    user_id: IdPath,
    body: PlatformRolePut,
    scope: RoleGranter,
    caller: Caller,
    tenants: Tenants,
    db: Db,
) -> PlatformUserOut:
    """Make a person administrator, auditor or support of the platform, or none of them."""
    async with db.transaction(scope) as tx:
        await tenants.platform_roles.set(
            tx,
            user_id=user_id,
            platform_role=body.platform_role,
            granter=caller.permissions,
        )
        return view(PlatformUserOut, await tenants.get_user(tx, user_id))
