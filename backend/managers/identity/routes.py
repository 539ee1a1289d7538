"""HTTP face of clients, signing keys and the caller itself: parse, call, shape. No rules here."""

from typing import Annotated, Final, Literal, cast

from fastapi import APIRouter, Path, Request, Response
from pydantic import AfterValidator

from backend.core.context import AnyScope, Principal, Scope, SystemScope
from backend.core.database import Database, Tx
from backend.core.errors import InvalidInputError
from backend.core.room import PLATFORM_READ, PLATFORM_WRITE
from backend.http.deps import Caller, Db, canonical_id, manager_of, requires
from backend.http.pagination import Page, PageQuery, Slice, page_of
from backend.http.reply import IdempotencyKeyReusedError, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.identity._bounds import CredentialBounds
from backend.managers.identity._clients import Client
from backend.managers.identity.errands import AUTHENTICATE, PLATFORM_CLIENTS, SIGNING_KEYS
from backend.managers.identity.errors import (
    ClientNotFoundError,
    ExpiryInvalidError,
    ScopeBeyondRoleError,
    TenantlessTokenError,
)
from backend.managers.identity.manager import IdentityManager
from backend.managers.identity.schemas import (
    ClientCreate,
    ClientOut,
    ClientPut,
    ClientSecretOut,
    MeOut,
    PlatformClientCreate,
    SigningKeyOut,
    SigningKeyRotated,
    TenantRef,
    TenantRoleOut,
)
from backend.managers.tenant import PlatformRole, RoleTooHighError, RoleUnknownError

router = APIRouter(prefix="/api/v1")
Identity = Annotated[IdentityManager, manager_of(IdentityManager)]
_POSTED: Final = (InvalidInputError, IdempotencyKeyReusedError)
# Version 1 published the parameter by this name.
_CLIENT_ID: Final = "client_row_id"
_LEADS_TO: Final = {_CLIENT_ID: "$response.body#/id"}
ClientId = Annotated[
    str,
    Path(alias=_CLIENT_ID, description="UUIDv7", json_schema_extra={"format": "uuid"}),
    AfterValidator(canonical_id),
]
PlatformClientWriter = Annotated[
    SystemScope, requires("platform_client:write", errand=PLATFORM_CLIENTS, fresh=True)
]
_BOUNDS: Final = (ScopeBeyondRoleError, ExpiryInvalidError)
_SHOWN_ONCE: Final = {"Cache-Control": "no-store"}


@router.get("/me", tags=["me"], responses=problems(TenantlessTokenError))
async def get_me(request: Request, caller: Caller, identity: Identity, db: Db) -> MeOut:
    """Say who the caller is, in which tenant, and what they may do."""
    scope = SystemScope(
        AUTHENTICATE, actor=caller.subject, request_id=request.scope.get("request_id", "")
    )
    async with db.read(scope) as tx:
        found = await identity.describe_caller(tx, caller)
    return MeOut(
        subject=caller.subject,
        kind=cast("Literal['user', 'client', 'api_key']", caller.kind),
        name=found.name,
        tenant=view(TenantRef, found.tenant),
        role=caller.role,
        permissions=sorted(caller.permissions),
        platform_admin=caller.platform_role == "administrator",
        platform_role=cast("PlatformRole | None", caller.platform_role or None),
        tenants=[view(TenantRoleOut, tenant) for tenant in found.tenants],
    )


@router.get("/clients", tags=["clients"])
async def list_clients(
    scope: Annotated[Scope, requires("client:read")], identity: Identity, db: Db, page: PageQuery
) -> Page[ClientOut]:
    """List the tenant's OAuth clients, newest first."""
    return await _list(scope, identity, db, page)


@router.post(
    "/clients",
    tags=["clients"],
    status_code=201,
    response_model=ClientSecretOut,
    responses={
        201: leads_to(change_client=_LEADS_TO, rotate_client=_LEADS_TO, delete_client=_LEADS_TO),
        **problems(*_POSTED, RoleTooHighError, RoleUnknownError, *_BOUNDS),
    },
)
async def create_client(
    request: Request,
    body: ClientCreate,
    scope: Annotated[Scope, requires("client:write")],
    caller: Caller,
    identity: Identity,
    db: Db,
) -> Response:
    """Create an OAuth client; its secret is shown this once."""
    return await _create(request, body, scope, caller, identity, db)


@router.put(
    "/clients/{client_row_id}",  # noqa: FAST003 - see ClientId
    tags=["clients"],
    responses=problems(
        ClientNotFoundError, RoleTooHighError, InvalidInputError, RoleUnknownError, *_BOUNDS
    ),
)
async def change_client(
    client_id: ClientId,
    body: ClientPut,
    scope: Annotated[Scope, requires("client:write")],
    caller: Caller,
    identity: Identity,
    db: Db,
) -> ClientOut:
    """Give a client another name, role and bounds; running tokens are held to them at once."""
    async with db.transaction(scope) as tx:
        changed = await identity.clients.change_client(
            tx,
            client_id,
            name=body.name,
            role=body.role,
            granter=caller.permissions,
            bounds=CredentialBounds(body.scopes, body.expires_at, body.networks),
        )
    return view(ClientOut, changed)


@router.post(
    "/clients/{client_row_id}/rotate",  # noqa: FAST003 - see ClientId
    tags=["clients"],
    response_model=ClientSecretOut,
    responses=problems(*_POSTED, ClientNotFoundError, RoleTooHighError),
)
async def rotate_client(
    request: Request,
    client_id: ClientId,
    scope: Annotated[Scope, requires("client:write")],
    caller: Caller,
    identity: Identity,
    db: Db,
) -> Response:
    """Give a client a new secret; the old one is void at once."""
    return await _rotate(request, client_id, scope, caller, identity, db)


@router.delete(
    "/clients/{client_row_id}",  # noqa: FAST003 - see ClientId
    tags=["clients"],
    status_code=204,
    responses=problems(ClientNotFoundError, RoleTooHighError),
)
async def delete_client(
    client_id: ClientId,
    scope: Annotated[Scope, requires("client:write")],
    caller: Caller,
    identity: Identity,
    db: Db,
) -> None:
    """Delete a client; its tokens stop working at once."""
    async with db.transaction(scope) as tx:
        await identity.clients.delete_client(tx, client_id, remover=caller.permissions)


@router.get("/platform/signing-keys", tags=["platform"])
async def list_signing_keys(
    scope: Annotated[SystemScope, requires(PLATFORM_READ, errand=SIGNING_KEYS)],
    identity: Identity,
    db: Db,
) -> Page[SigningKeyOut]:
    """List the keys that sign or still verify tokens, newest first: all there are."""
    async with db.read(scope) as tx:
        keys = await identity.list_signing_keys(tx)
    return Page[SigningKeyOut](items=[view(SigningKeyOut, key) for key in keys], next_cursor=None)


@router.get("/platform/clients", tags=["platform"])
async def list_platform_clients(
    scope: Annotated[SystemScope, requires("platform_client:read", errand=PLATFORM_CLIENTS)],
    identity: Identity,
    db: Db,
    page: PageQuery,
) -> Page[ClientOut]:
    """List the clients that act on the platform itself, newest first."""
    return await _list(scope, identity, db, page)


@router.post(
    "/platform/clients",
    tags=["platform"],
    status_code=201,
    response_model=ClientSecretOut,
    responses={
        201: leads_to(rotate_platform_client=_LEADS_TO, delete_platform_client=_LEADS_TO),
        **problems(*_POSTED, RoleTooHighError, *_BOUNDS),
    },
)
async def create_platform_client(
    request: Request,
    body: PlatformClientCreate,
    scope: PlatformClientWriter,
    caller: Caller,
    identity: Identity,
    db: Db,
) -> Response:
    """Create a client that acts on the platform itself; its secret is shown this once."""
    return await _create(request, body, scope, caller, identity, db)


@router.post(
    "/platform/clients/{client_row_id}/rotate",  # noqa: FAST003 - see ClientId
    tags=["platform"],
    response_model=ClientSecretOut,
    responses=problems(*_POSTED, ClientNotFoundError, RoleTooHighError),
)
async def rotate_platform_client(
    request: Request,
    client_id: ClientId,
    scope: PlatformClientWriter,
    caller: Caller,
    identity: Identity,
    db: Db,
) -> Response:
    """Give a client of the platform a new secret; the old one is void at once."""
    return await _rotate(request, client_id, scope, caller, identity, db)


@router.delete(
    "/platform/clients/{client_row_id}",  # noqa: FAST003 - see ClientId
    tags=["platform"],
    status_code=204,
    responses=problems(ClientNotFoundError, RoleTooHighError),
)
async def delete_platform_client(
    client_id: ClientId,
    scope: PlatformClientWriter,
    caller: Caller,
    identity: Identity,
    db: Db,
) -> None:
    """Delete a client of the platform; its tokens stop working at once."""
    async with db.transaction(scope) as tx:
        await identity.clients.delete_client(tx, client_id, remover=caller.permissions)


async def _list(
    scope: AnyScope, identity: IdentityManager, db: Database, page: Slice
) -> Page[ClientOut]:
    async with db.read(scope) as tx:
        rows = await identity.clients.list_clients(tx, limit=page.limit, before_id=page.before_id)
    return page_of(ClientOut, rows, page)


async def _create(
    request: Request,
    body: ClientCreate,
    scope: AnyScope,
    caller: Principal,
    identity: IdentityManager,
    db: Database,
) -> Response:
    async with db.transaction(scope) as tx:
        client, secret = await identity.clients.create_client(
            tx,
            name=body.name,
            role=body.role,
            granter=caller.permissions,
            bounds=CredentialBounds(body.scopes, body.expires_at, body.networks),
        )
        return _shown(request, tx, client, secret, status=201)


async def _rotate(
    request: Request,
    client_id: str,
    scope: AnyScope,
    caller: Principal,
    identity: IdentityManager,
    db: Database,
) -> Response:
    async with db.transaction(scope) as tx:
        client, secret = await identity.clients.rotate_client(
            tx, client_id, granter=caller.permissions
        )
        return _shown(request, tx, client, secret, status=200)


def _shown(request: Request, tx: Tx, client: Client, secret: str, *, status: int) -> Response:
    made = view(ClientSecretOut, client, client_secret=secret)
    return reply(request, tx, made, status=status, headers=_SHOWN_ONCE)


@router.post(
    "/platform/signing-keys/rotate",
    tags=["platform"],
    response_model=SigningKeyRotated,
    responses=problems(*_POSTED),
)
async def rotate_signing_key(
    request: Request,
    scope: Annotated[SystemScope, requires(PLATFORM_WRITE, errand=SIGNING_KEYS, fresh=True)],
    identity: Identity,
    db: Db,
) -> Response:
    """Sign tokens with a new key; the old ones verify until their last token has expired."""
    async with db.transaction(scope) as tx:
        kid, until = await identity.rotate_signing_key(tx)
        return reply(request, tx, SigningKeyRotated(kid=kid, old_keys_until=until))
