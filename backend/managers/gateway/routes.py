"""HTTP face of API keys and limits: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import AfterValidator

from backend.core.context import AnyScope, Principal, Scope, SystemScope
from backend.core.database import Database
from backend.core.errors import InvalidInputError
from backend.core.ids import PLATFORM_TENANT
from backend.core.room import PLATFORM_READ, PLATFORM_WRITE
from backend.http.deps import Caller, Db, IdPath, canonical_id, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, Slice, page_of
from backend.http.reply import IdempotencyKeyReusedError, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.gateway._limits import Bounds, Limit, Rate
from backend.managers.gateway.errands import LIMITS, PLATFORM_KEYS
from backend.managers.gateway.errors import (
    ApiKeyNotFoundError,
    LimitChangedError,
    LimitExistsError,
    LimitInvalidError,
    LimitNotFoundError,
    LimitTooWideError,
)
from backend.managers.gateway.manager import GatewayManager
from backend.managers.gateway.schemas import (
    ApiKeyCreate,
    ApiKeyOut,
    ApiKeyPut,
    ApiKeySecretOut,
    LimitCreate,
    LimitOut,
    LimitPut,
    LimitUsageOut,
    PlatformApiKeyCreate,
    PlatformLimitCreate,
    PlatformLimitPut,
    RateModel,
)
from backend.managers.identity import CredentialBounds, ExpiryInvalidError, ScopeBeyondRoleError
from backend.managers.tenant import RoleTooHighError, RoleUnknownError, TenantNotFoundError

router = APIRouter(prefix="/api/v1")
Gateway = Annotated[GatewayManager, manager_of(GatewayManager)]
Reader = Annotated[Scope, requires("limit:read")]
Writer = Annotated[Scope, requires("limit:write")]
PlatformReader = Annotated[SystemScope, requires(PLATFORM_READ, errand=LIMITS)]
PlatformWriter = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=LIMITS)]
TenantQuery = Annotated[
    str | None,
    Query(
        description="Only of this tenant",
        json_schema_extra={"format": "uuid"},
    ),
    AfterValidator(lambda text: None if text is None else canonical_id(text)),
]
_POSTED: Final = (InvalidInputError, IdempotencyKeyReusedError)
PlatformKeyWriter = Annotated[
    SystemScope, requires("platform_api_key:write", errand=PLATFORM_KEYS, fresh=True)
]
_SET: Final = (LimitExistsError, LimitInvalidError)
_CHANGED: Final = (LimitNotFoundError, LimitChangedError, LimitInvalidError)
_ID: Final = {"limit_id": "$response.body#/id"}
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
            bounds=CredentialBounds(body.scopes, body.expires_at, body.networks),
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
            bounds=CredentialBounds(body.scopes, body.expires_at, body.networks),
        )
        return reply(
            request, tx, view(ApiKeySecretOut, made, key=key), status=201, headers=_SHOWN_ONCE
        )


# --- limits ---------------------------------------------------------------------------------------


@router.get("/limits", tags=["limits"])
async def list_limits(scope: Reader, gateway: Gateway, db: Db, page: PageQuery) -> Page[LimitOut]:
    """List the limits set for this tenant, by the platform or by itself, newest first."""
    async with db.read(scope) as tx:
        rows = await gateway.limits.list_limits(tx, limit=page.limit, before_id=page.before_id)
    return page_of(LimitOut, rows, page)


@router.post(
    "/limits",
    tags=["limits"],
    status_code=201,
    response_model=LimitOut,
    responses={
        201: leads_to(get_limit=_ID, change_limit=_ID, delete_limit=_ID),
        **problems(*_POSTED, *_SET, LimitTooWideError),
    },
)
async def create_limit(
    request: Request, body: LimitCreate, scope: Writer, gateway: Gateway, db: Db
) -> Response:
    """Narrow what the tenant's callers may have; it holds everywhere within a second."""
    async with db.transaction(scope) as tx:
        made = await gateway.limits.create_limit(
            tx,
            tenant_id=None,
            kind=body.kind,
            name=body.name,
            bounds=_bounds(body),
            route_class=body.route_class,
        )
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, view(LimitOut, made), status=201, headers=headers)


@router.get("/limit-usage", tags=["limits"])
async def get_limit_usage(scope: Reader, gateway: Gateway) -> LimitUsageOut:
    """Get what holds for this tenant, and how much of it is used just now."""
    return view(LimitUsageOut, await gateway.usage_of(scope.tenant_id))


@router.get("/limits/{limit_id}", tags=["limits"], responses=problems(LimitNotFoundError))
async def get_limit(
    response: Response, limit_id: IdPath, scope: Reader, gateway: Gateway, db: Db
) -> LimitOut:
    """Get one limit. The ETag goes into If-Match when changing it."""
    async with db.read(scope) as tx:
        found = await gateway.limits.get_limit(tx, limit_id)
    return _shown(response, found)


@router.put("/limits/{limit_id}", tags=["limits"], responses=problems(*_CHANGED, LimitTooWideError))
async def change_limit(
    response: Response,
    limit_id: IdPath,
    body: LimitPut,
    scope: Writer,
    gateway: Gateway,
    db: Db,
    if_match: IfMatch = None,
) -> LimitOut:
    """Replace what a limit of the tenant's own allows."""
    async with db.transaction(scope) as tx:
        changed = await gateway.limits.change_limit(
            tx,
            limit_id,
            bounds=_bounds(body),
            expected_version=expected_version(if_match, LimitChangedError),
        )
    return _shown(response, changed)


@router.delete(
    "/limits/{limit_id}",
    tags=["limits"],
    status_code=204,
    responses=problems(LimitNotFoundError, LimitChangedError),
)
async def delete_limit(
    limit_id: IdPath, scope: Writer, gateway: Gateway, db: Db, if_match: IfMatch = None
) -> None:
    """Take a limit of the tenant's own away: the platform's holds."""
    expected = expected_version(if_match, LimitChangedError)
    async with db.transaction(scope) as tx:
        await gateway.limits.delete_limit(tx, limit_id, expected_version=expected)


@router.get("/platform/limits", tags=["platform"])
async def list_platform_limits(
    scope: PlatformReader, gateway: Gateway, db: Db, page: PageQuery, tenant_id: TenantQuery = None
) -> Page[LimitOut]:
    """List all limits, of every tenant, newest first."""
    async with db.read(scope) as tx:
        rows = await gateway.limits.list_limits(
            tx, limit=page.limit, before_id=page.before_id, tenant_id=tenant_id
        )
    return page_of(LimitOut, rows, page)


@router.post(
    "/platform/limits",
    tags=["platform"],
    status_code=201,
    response_model=LimitOut,
    responses={
        201: leads_to(get_platform_limit=_ID, change_platform_limit=_ID, delete_platform_limit=_ID),
        **problems(*_POSTED, *_SET, TenantNotFoundError),
    },
)
async def create_platform_limit(
    request: Request, body: PlatformLimitCreate, scope: PlatformWriter, gateway: Gateway, db: Db
) -> Response:
    """Limit a tenant, or every tenant; it holds everywhere within a second."""
    async with db.transaction(scope) as tx:
        made = await gateway.limits.create_limit(
            tx,
            tenant_id=body.tenant_id,
            kind=body.kind,
            name=body.name,
            bounds=_bounds(body),
            route_class=body.route_class,
        )
        headers = {"ETag": etag(made.version)}
        return reply(request, tx, view(LimitOut, made), status=201, headers=headers)


@router.get("/platform/limit-usage", tags=["platform"])
async def get_platform_limit_usage(
    _: PlatformReader, gateway: Gateway, tenant_id: TenantQuery = None
) -> LimitUsageOut:
    """Get what holds for a tenant, or where no limit names one, and what is used."""
    return view(LimitUsageOut, await gateway.usage_of(tenant_id or PLATFORM_TENANT))


@router.get(
    "/platform/limits/{limit_id}", tags=["platform"], responses=problems(LimitNotFoundError)
)
async def get_platform_limit(
    response: Response, limit_id: IdPath, scope: PlatformReader, gateway: Gateway, db: Db
) -> LimitOut:
    """Get one limit of any tenant. The ETag goes into If-Match when changing it."""
    async with db.read(scope) as tx:
        found = await gateway.limits.get_limit(tx, limit_id)
    return _shown(response, found)


@router.put("/platform/limits/{limit_id}", tags=["platform"], responses=problems(*_CHANGED))
async def change_platform_limit(
    response: Response,
    limit_id: IdPath,
    body: PlatformLimitPut,
    scope: PlatformWriter,
    gateway: Gateway,
    db: Db,
    if_match: IfMatch = None,
) -> LimitOut:
    """Replace what a limit of the platform allows."""
    async with db.transaction(scope) as tx:
        changed = await gateway.limits.change_limit(
            tx,
            limit_id,
            bounds=_bounds(body),
            expected_version=expected_version(if_match, LimitChangedError),
        )
    return _shown(response, changed)


@router.delete(
    "/platform/limits/{limit_id}",
    tags=["platform"],
    status_code=204,
    responses=problems(LimitNotFoundError, LimitChangedError),
)
async def delete_platform_limit(
    limit_id: IdPath, scope: PlatformWriter, gateway: Gateway, db: Db, if_match: IfMatch = None
) -> None:
    """Take a limit of the platform away: what every tenant has, or the settings say, holds."""
    expected = expected_version(if_match, LimitChangedError)
    async with db.transaction(scope) as tx:
        await gateway.limits.delete_limit(tx, limit_id, expected_version=expected)


def _shown(response: Response, limit: Limit) -> LimitOut:
    response.headers["ETag"] = etag(limit.version)
    return view(LimitOut, limit)


def _bounds(body: LimitPut) -> Bounds:
    of_platform = body if isinstance(body, PlatformLimitPut) else PlatformLimitPut()
    return Bounds(
        _rate(body.requests),
        _rate(body.bytes),
        of_platform.concurrency,
        _rate(body.sustained),
        of_platform.cost,
    )


def _rate(model: RateModel | None) -> Rate | None:
    return None if model is None else Rate(model.burst, model.refill, model.seconds)
