"""HTTP face of API keys: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from backend.core.context import AnyScope, Principal, Scope, SystemScope
from backend.core.database import Database
from backend.core.errors import InvalidInputError
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.pagination import Page, PageQuery, Slice, page_of
from backend.http.reply import IdempotencyKeyReusedError, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.gateway.errands import PLATFORM_KEYS
from backend.managers.gateway.errors import ApiKeyNotFoundError
from backend.managers.gateway.manager import GatewayManager
from backend.managers.gateway.schemas import (
    ApiKeyCreate,
    ApiKeyOut,
    ApiKeyPut,
    ApiKeySecretOut,
    PlatformApiKeyCreate,
)
from backend.managers.identity import Bounds, ExpiryInvalidError, ScopeBeyondRoleError
from backend.managers.tenant import RoleTooHighError, RoleUnknownError

router = APIRouter(prefix="/api/v1")
Gateway = Annotated[GatewayManager, manager_of(GatewayManager)]
_POSTED: Final = (InvalidInputError, IdempotencyKeyReusedError)
PlatformKeyWriter = Annotated[SystemScope, requires("platform_api_key:write", errand=PLATFORM_KEYS)]
_KEY_ID: Final = {"key_id": "$response.body#/id"}
_SHOWN_ONCE: Final = {"Cache-Control": "no-store"}


@router.get("/api-keys", tags=["api keys"])
async def list_api_keys(
    scope: Annotated[Scope, requires("api_key:read")], gateway: Gateway, db: Db, page: PageQuery
) -> Page[ApiKeyOut]:
    """List the tenant's API keys, newest first."""
    return await _list(scope, gateway, db, page)


@router.post(
    "/api-keys",
    tags=["api keys"],
    status_code=201,
    response_model=ApiKeySecretOut,
    responses={
        201: leads_to(change_api_key=_KEY_ID, revoke_api_key=_KEY_ID),
        **problems(
            *_POSTED, RoleTooHighError, RoleUnknownError, ScopeBeyondRoleError, ExpiryInvalidError
        ),
    },
)
async def create_api_key(
    request: Request,
    body: ApiKeyCreate,
    scope: Annotated[Scope, requires("api_key:write")],
    caller: Caller,
    gateway: Gateway,
    db: Db,
) -> Response:
    """Create an API key; the key is shown this once."""
    return await _create(request, body, scope, caller, gateway, db)


@router.put(
    "/api-keys/{key_id}",
    tags=["api keys"],
    responses=problems(
        ApiKeyNotFoundError,
        RoleTooHighError,
        InvalidInputError,
        RoleUnknownError,
        ScopeBeyondRoleError,
        ExpiryInvalidError,
    ),
)
async def change_api_key(
    key_id: IdPath,
    body: ApiKeyPut,
    scope: Annotated[Scope, requires("api_key:write")],
    caller: Caller,
    gateway: Gateway,
    db: Db,
) -> ApiKeyOut:
    """Give an API key another name, role and bounds, at once."""
    async with db.transaction(scope) as tx:
        changed = await gateway.api_keys.change_api_key(
            tx,
            key_id,
            name=body.name,
            role=body.role,
            granter=caller.permissions,
            bounds=Bounds(body.scopes, body.expires_at, body.networks),
        )
    return view(ApiKeyOut, changed)


@router.delete(
    "/api-keys/{key_id}",
    tags=["api keys"],
    status_code=204,
    responses=problems(ApiKeyNotFoundError, RoleTooHighError),
)
async def revoke_api_key(
    key_id: IdPath,
    scope: Annotated[Scope, requires("api_key:write")],
    caller: Caller,
    gateway: Gateway,
    db: Db,
) -> None:
    """Revoke an API key; it stops working at once."""
    async with db.transaction(scope) as tx:
        await gateway.api_keys.revoke_api_key(tx, key_id, remover=caller.permissions)


@router.get("/platform/api-keys", tags=["platform"])
async def list_platform_api_keys(
    scope: Annotated[SystemScope, requires("platform_api_key:read", errand=PLATFORM_KEYS)],
    gateway: Gateway,
    db: Db,
    page: PageQuery,
) -> Page[ApiKeyOut]:
    """List the API keys that act on the platform itself, newest first."""
    return await _list(scope, gateway, db, page)


@router.post(
    "/platform/api-keys",
    tags=["platform"],
    status_code=201,
    response_model=ApiKeySecretOut,
    responses={
        201: leads_to(revoke_platform_api_key=_KEY_ID),
        **problems(*_POSTED, RoleTooHighError, ScopeBeyondRoleError, ExpiryInvalidError),
    },
)
async def create_platform_api_key(
    request: Request,
    body: PlatformApiKeyCreate,
    scope: PlatformKeyWriter,
    caller: Caller,
    gateway: Gateway,
    db: Db,
) -> Response:
    """Create an API key that acts on the platform itself; the key is shown this once."""
    return await _create(request, body, scope, caller, gateway, db)


@router.delete(
    "/platform/api-keys/{key_id}",
    tags=["platform"],
    status_code=204,
    responses=problems(ApiKeyNotFoundError, RoleTooHighError),
)
async def revoke_platform_api_key(
    key_id: IdPath, scope: PlatformKeyWriter, caller: Caller, gateway: Gateway, db: Db
) -> None:
    """Revoke an API key of the platform; it stops working at once."""
    async with db.transaction(scope) as tx:
        await gateway.api_keys.revoke_api_key(tx, key_id, remover=caller.permissions)


async def _list(
    scope: AnyScope, gateway: GatewayManager, db: Database, page: Slice
) -> Page[ApiKeyOut]:
    async with db.read(scope) as tx:
        rows = await gateway.api_keys.list_api_keys(tx, limit=page.limit, before_id=page.before_id)
    return page_of(ApiKeyOut, rows, page)


async def _create(
    request: Request,
    body: ApiKeyCreate,
    scope: AnyScope,
    caller: Principal,
    gateway: GatewayManager,
    db: Database,
) -> Response:
    async with db.transaction(scope) as tx:
        made, key = await gateway.api_keys.create_api_key(
            tx,
            name=body.name,
            role=body.role,
            granter=caller.permissions,
            bounds=Bounds(body.scopes, body.expires_at, body.networks),
        )
        return reply(
            request, tx, view(ApiKeySecretOut, made, key=key), status=201, headers=_SHOWN_ONCE
        )
