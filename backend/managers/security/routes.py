"""HTTP face of named keys, but for what they do: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request, Response

from backend.core.context import Scope
from backend.http.deps import Db, manager_of, requires
from backend.http.etag import IfMatch, etag, expected_version
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import SHOWN_ONCE, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.security._keys import Policy
from backend.managers.security.errors import (
    KeyChangedError,
    KeyDisabledError,
    KeyNameTakenError,
    KeyNotExportableError,
    KeyNotFoundError,
    KeyPolicyError,
    SealedError,
    TooManyKeysError,
    VersionInUseError,
)
from backend.managers.security.manager import SecurityManager
from backend.managers.security.schemas import (
    KeyCreate,
    KeyExport,
    KeyExportOut,
    KeyName,
    KeyOpeningOut,
    KeyOut,
    KeyPut,
    KeyVersionOut,
    KeyVersionsOut,
)

router = APIRouter(prefix="/api/v1/keys", tags=["key"])
Security = Annotated[SecurityManager, manager_of(SecurityManager)]
Reader = Annotated[Scope, requires("key:read")]
Writer = Annotated[Scope, requires("key:write")]
FreshWriter = Annotated[Scope, requires("key:write", fresh=True)]
NamePath = Annotated[KeyName, Path(description="The key's name", examples=["orders"])]
_NAMED: Final = {"name": "$response.body#/name"}
_USED_BY: Final = (
    "encrypt",
    "encrypt_batch",
    "decrypt",
    "decrypt_batch",
    "rewrap",
    "rewrap_batch",
    "make_data_key",
    "make_data_keys",
    "compute_hmac",
    "compute_hmac_batch",
    "sign",
    "sign_batch",
    "verify",
    "verify_batch",
)


@router.get("")
async def list_keys(scope: Reader, security: Security, db: Db, page: PageQuery) -> Page[KeyOut]:
    """List the named keys, newest first."""
    async with db.read(scope) as tx:
        rows = await security.keys.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(KeyOut, rows, page)


@router.post(
    "",
    status_code=201,
    response_model=KeyOut,
    responses={
        201: leads_to(
            **dict.fromkeys(
                (
                    "get_key",
                    "put_key",
                    "list_key_versions",
                    "list_key_openings",
                    "rotate_key",
                    "export_key",
                    "delete_key",
                    *_USED_BY,
                ),
                _NAMED,
            )
        ),
        **problems(KeyPolicyError, KeyNameTakenError, TooManyKeysError, SealedError),
    },
)
async def create_key(
    request: Request, body: KeyCreate, scope: Writer, security: Security, db: Db
) -> Response:
    """Make a named key with its first version."""
    policy = Policy(**body.model_dump(exclude={"name", "type"}))
    async with db.transaction(scope) as tx:
        made = await security.keys.create(tx, name=body.name, key_type=body.type, policy=policy)
        return reply(request, tx, view(KeyOut, made), status=201)


@router.get("/{name}", responses=problems(KeyNotFoundError))
async def get_key(
    response: Response, name: NamePath, scope: Reader, security: Security, db: Db
) -> KeyOut:
    """Get one key. The ETag goes into If-Match when changing it."""
    async with db.read(scope) as tx:
        found = await security.keys.get(tx, name)
    response.headers["ETag"] = etag(found.revision)
    return view(KeyOut, found)


@router.put(
    "/{name}",
    responses=problems(KeyNotFoundError, KeyChangedError, KeyPolicyError, VersionInUseError),
)
async def put_key(
    response: Response,
    name: NamePath,
    body: KeyPut,
    scope: Writer,
    security: Security,
    db: Db,
    if_match: IfMatch = None,
) -> KeyOut:
    """Give a key another policy; it holds at once, everywhere."""
    async with db.transaction(scope) as tx:
        made = await security.keys.change(
            tx,
            name,
            Policy(**body.model_dump(exclude={"even_if_used"})),
            expected_revision=expected_version(if_match, KeyChangedError),
            even_if_used=body.even_if_used,
        )
    response.headers["ETag"] = etag(made.revision)
    return view(KeyOut, made)


@router.get("/{name}/versions", responses=problems(KeyNotFoundError))
async def list_key_versions(
    name: NamePath,
    scope: Reader,
    security: Security,
    db: Db,
    below: Annotated[
        int | None, Query(ge=1, le=2**32, description="`next_below` of the answer before")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Versions an answer")] = 50,
) -> KeyVersionsOut:
    """List a key's versions, newest first, with the public half of those that have one."""
    async with db.read(scope) as tx:
        rows = await security.keys.versions(tx, name, limit=limit + 1, below=below)
    shown = [view(KeyVersionOut, row) for row in rows[:limit]]
    return KeyVersionsOut(items=shown, next_below=shown[-1].number if len(rows) > limit else None)


@router.get("/{name}/openings", responses=problems(KeyNotFoundError))
async def list_key_openings(
    name: NamePath, scope: Reader, security: Security, db: Db, page: PageQuery
) -> Page[KeyOpeningOut]:
    """List who opens what the key's versions made: who keeps ciphertexts under earlier ones."""
    async with db.read(scope) as tx:
        rows = await security.keys.openings(tx, name, limit=page.limit, before_id=page.before_id)
    return page_of(KeyOpeningOut, rows, page)


@router.post(
    "/{name}/rotate",
    response_model=KeyOut,
    responses=problems(KeyNotFoundError, KeyDisabledError, SealedError),
)
async def rotate_key(
    request: Request, name: NamePath, scope: Writer, security: Security, db: Db
) -> Response:
    """Make a new version of a key, which does all that is done from then on."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(KeyOut, await security.keys.rotate(tx, name)))


@router.post(
    "/{name}/export",
    response_model=KeyExportOut,
    responses=problems(KeyNotFoundError, KeyNotExportableError, KeyDisabledError, SealedError),
)
async def export_key(
    request: Request,
    name: NamePath,
    body: KeyExport,
    scope: FreshWriter,
    security: Security,
    db: Db,
) -> Response:
    """Hand out the material of a version of an exportable key."""
    try:
        async with db.transaction(scope) as tx:
            found = await security.keys.export(tx, name, body.version)
            return reply(request, tx, view(KeyExportOut, found), headers=SHOWN_ONCE)
    except (KeyNotExportableError, KeyDisabledError, SealedError) as exc:
        async with db.transaction(scope) as tx:
            await security.keys.record_refusal(tx, name, "export", exc)
        raise


@router.delete(
    "/{name}",
    responses={
        200: leads_to(restore_key=_NAMED),
        **problems(KeyNotFoundError, KeyDisabledError),
    },
)
async def delete_key(
    name: NamePath,
    scope: FreshWriter,
    security: Security,
    db: Db,
    wait_days: Annotated[int, Query(ge=1, le=90, description="Until it is destroyed")] = 30,
) -> KeyOut:
    """Refuse every use of a key from now on, and destroy it once the days are over."""
    async with db.transaction(scope) as tx:
        return view(KeyOut, await security.keys.delete(tx, name, wait_days=wait_days))


@router.post("/{name}/restore", response_model=KeyOut, responses=problems(KeyNotFoundError))
async def restore_key(
    request: Request, name: NamePath, scope: Writer, security: Security, db: Db
) -> Response:
    """Call back a key that waits for its deletion."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(KeyOut, await security.keys.restore(tx, name)))
