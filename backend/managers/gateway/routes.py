"""HTTP face of clients, API keys and the caller itself: parse, call, shape. No rules here."""

from typing import Annotated, Final, Literal, cast

from fastapi import APIRouter, Request, Response

from backend.core.context import Scope, SystemScope
from backend.core.errors import InvalidInputError
from backend.core.room import PLATFORM_WRITE
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.gateway.errands import AUTHENTICATE, SIGNING_KEYS
from backend.managers.gateway.errors import (
    ApiKeyNotFoundError,
    ClientNotFoundError,
    ExpiryInvalidError,
    IdempotencyKeyReusedError,
    TenantlessTokenError,
)
from backend.managers.gateway.manager import GatewayManager
from backend.managers.gateway.schemas import (
    ApiKeyCreate,
    ApiKeyOut,
    ApiKeySecretOut,
    ClientCreate,
    ClientOut,
    ClientSecretOut,
    MeOut,
    SigningKeyRotated,
    TenantRef,
    TenantRoleOut,
)
from backend.managers.tenant import RoleTooHighError

router = APIRouter(prefix="/api/v1")
Gateway = Annotated[GatewayManager, manager_of(GatewayManager)]
_POSTED: Final = (InvalidInputError, IdempotencyKeyReusedError)
_CLIENT_ID: Final = {"client_row_id": "$response.body#/id"}
_SHOWN_ONCE: Final = {"Cache-Control": "no-store"}


@router.get("/me", tags=["me"], responses=problems(TenantlessTokenError))
async def get_me(request: Request, caller: Caller, gateway: Gateway, db: Db) -> MeOut:
    """Say who the caller is, in which tenant, and what they may do."""
    scope = SystemScope(
        AUTHENTICATE, actor=caller.subject, request_id=request.scope.get("request_id", "")
    )
    async with db.read(scope) as tx:
        found = await gateway.describe_caller(tx, caller)
    return MeOut(
        subject=caller.subject,
        kind=cast("Literal['user', 'client', 'api_key']", caller.kind),
        name=found.name,
        tenant=view(TenantRef, found.tenant),
        role=caller.role,
        permissions=sorted(caller.permissions),
        platform_admin=caller.platform_admin,
        tenants=[view(TenantRoleOut, tenant) for tenant in found.tenants],
    )


@router.get("/clients", tags=["clients"])
async def list_clients(
    scope: Annotated[Scope, requires("client:read")], gateway: Gateway, db: Db, page: PageQuery
) -> Page[ClientOut]:
    """List the tenant's OAuth clients, newest first."""
    async with db.read(scope) as tx:
        rows = await gateway.list_clients(tx, limit=page.limit, before_id=page.before_id)
    return page_of(ClientOut, rows, page)


@router.post(
    "/clients",
    tags=["clients"],
    status_code=201,
    response_model=ClientSecretOut,
    responses={
        201: leads_to(rotate_client=_CLIENT_ID, delete_client=_CLIENT_ID),
        **problems(*_POSTED, RoleTooHighError),
    },
)
async def create_client(
    request: Request,
    body: ClientCreate,
    scope: Annotated[Scope, requires("client:write")],
    caller: Caller,
    gateway: Gateway,
    db: Db,
) -> Response:
    """Create an OAuth client; its secret is shown this once."""
    async with db.transaction(scope) as tx:
        client, secret = await gateway.create_client(
            tx, name=body.name, role=body.role, granter=caller.permissions
        )
        return reply(
            request,
            tx,
            view(ClientSecretOut, client, client_secret=secret),
            status=201,
            headers=_SHOWN_ONCE,
        )


@router.post(
    "/clients/{client_row_id}/rotate",
    tags=["clients"],
    response_model=ClientSecretOut,
    responses=problems(*_POSTED, ClientNotFoundError, RoleTooHighError),
)
async def rotate_client(
    request: Request,
    client_row_id: IdPath,
    scope: Annotated[Scope, requires("client:write")],
    caller: Caller,
    gateway: Gateway,
    db: Db,
) -> Response:
    """Give a client a new secret; the old one is void at once."""
    async with db.transaction(scope) as tx:
        client, secret = await gateway.rotate_client(tx, client_row_id, granter=caller.permissions)
        return reply(
            request, tx, view(ClientSecretOut, client, client_secret=secret), headers=_SHOWN_ONCE
        )


@router.delete(
    "/clients/{client_row_id}",
    tags=["clients"],
    status_code=204,
    responses=problems(ClientNotFoundError),
)
async def delete_client(
    client_row_id: IdPath,
    scope: Annotated[Scope, requires("client:write")],
    gateway: Gateway,
    db: Db,
) -> None:
    """Delete a client; its tokens stop working at once."""
    async with db.transaction(scope) as tx:
        await gateway.delete_client(tx, client_row_id)


@router.get("/api-keys", tags=["api keys"])
async def list_api_keys(
    scope: Annotated[Scope, requires("api_key:read")], gateway: Gateway, db: Db, page: PageQuery
) -> Page[ApiKeyOut]:
    """List the tenant's API keys, newest first."""
    async with db.read(scope) as tx:
        rows = await gateway.list_api_keys(tx, limit=page.limit, before_id=page.before_id)
    return page_of(ApiKeyOut, rows, page)


@router.post(
    "/api-keys",
    tags=["api keys"],
    status_code=201,
    response_model=ApiKeySecretOut,
    responses={
        201: leads_to(revoke_api_key={"key_id": "$response.body#/id"}),
        **problems(*_POSTED, RoleTooHighError, ExpiryInvalidError),
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
    async with db.transaction(scope) as tx:
        made, key = await gateway.create_api_key(
            tx,
            name=body.name,
            role=body.role,
            expires_at=body.expires_at,
            granter=caller.permissions,
        )
        return reply(
            request, tx, view(ApiKeySecretOut, made, key=key), status=201, headers=_SHOWN_ONCE
        )


@router.delete(
    "/api-keys/{key_id}",
    tags=["api keys"],
    status_code=204,
    responses=problems(ApiKeyNotFoundError),
)
async def revoke_api_key(
    key_id: IdPath,
    scope: Annotated[Scope, requires("api_key:write")],
    gateway: Gateway,
    db: Db,
) -> None:
    """Revoke an API key; it stops working at once."""
    async with db.transaction(scope) as tx:
        await gateway.revoke_api_key(tx, key_id)


@router.post(
    "/platform/signing-keys/rotate",
    tags=["platform"],
    response_model=SigningKeyRotated,
    responses=problems(*_POSTED),
)
async def rotate_signing_key(
    request: Request,
    scope: Annotated[SystemScope, requires(PLATFORM_WRITE, errand=SIGNING_KEYS)],
    gateway: Gateway,
    db: Db,
) -> Response:
    """Sign tokens with a new key; the old ones verify until their last token has expired."""
    async with db.transaction(scope) as tx:
        kid, until = await gateway.rotate_signing_key(tx)
        return reply(request, tx, SigningKeyRotated(kid=kid, old_keys_until=until))
