"""HTTP face of data keys and of sealing anew: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from backend.core.context import Scope
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.security.data_key_schemas import (
    DataKeyListOut,
    DataKeyVersionOut,
    RetirementKeyOut,
    RetirementOut,
    RewrapJobListOut,
    RewrapJobOut,
)
from backend.managers.security.errors import (
    RewrapNotFoundError,
    RewrapStateError,
)
from backend.managers.security.manager import SecurityManager

router = APIRouter(prefix="/api/v1", tags=["data_key"])
Security = Annotated[SecurityManager, manager_of(SecurityManager)]
Reader = Annotated[Scope, requires("data_key:read")]
Writer = Annotated[Scope, requires("data_key:write")]
_ID: Final = {"rewrap_id": "$response.body#/id"}
_MOVED: Final = (RewrapNotFoundError, RewrapStateError)


@router.get("/data-keys")
async def list_data_keys(scope: Reader, security: Security, db: Db) -> DataKeyListOut:
    """List the versions of the tenant's data key, oldest first."""
    async with db.read(scope) as tx:
        found = await security.rotation.list_versions(tx)
    return DataKeyListOut(items=[view(DataKeyVersionOut, one) for one in found])


@router.post(
    "/data-keys/rotate",
    status_code=201,
    response_model=DataKeyVersionOut,
)
async def rotate_data_key(request: Request, scope: Writer, security: Security, db: Db) -> Response:
    """Replace the data key, and seal everything anew with the next version.

    It seals once every process knows it, about a minute later. Until then it is the next one, and
    whoever asks again is answered with it.
    """
    async with db.transaction(scope) as tx:
        made = await security.rotate_data_key(tx)
        return reply(request, tx, view(DataKeyVersionOut, made), status=201)


@router.get("/data-keys/retirements")
async def list_data_key_retirements(
    scope: Reader, security: Security, db: Db, page: PageQuery
) -> Page[RetirementOut]:
    """List the signed records of data keys that were destroyed, newest first."""
    async with db.read(scope) as tx:
        rows = await security.rotation.list_retirements(
            tx, limit=page.limit, before_id=page.before_id
        )
    return page_of(RetirementOut, rows, page)


@router.get("/data-keys/retirement-key")
async def get_retirement_key(_: Reader, security: Security) -> RetirementKeyOut:
    """Get the public key that checks the signatures of retirement records."""
    return view(RetirementKeyOut, security.rewraps.signer)


@router.get("/rewraps")
async def list_rewraps(scope: Reader, security: Security, db: Db) -> RewrapJobListOut:
    """List the walk that seals anew, the one that goes on or the last; none at first."""
    async with db.read(scope) as tx:
        found = await security.rewraps.find(tx)
    return RewrapJobListOut(items=[] if found is None else [view(RewrapJobOut, found)])


@router.post(
    "/rewraps",
    status_code=201,
    response_model=RewrapJobOut,
    responses={201: leads_to(get_rewrap=_ID, pause_rewrap=_ID, cancel_rewrap=_ID)},
)
async def start_rewrap(request: Request, scope: Writer, security: Security, db: Db) -> Response:
    """Seal everything anew that is not under the newest version, from the beginning.

    It takes the place of a walk that goes on. A rotation starts one by itself.
    """
    async with db.transaction(scope) as tx:
        made = await security.start_rewrap(tx)
        return reply(request, tx, view(RewrapJobOut, made), status=201)


@router.get("/rewraps/{rewrap_id}", responses=problems(RewrapNotFoundError))
async def get_rewrap(rewrap_id: IdPath, scope: Reader, security: Security, db: Db) -> RewrapJobOut:
    """Get a walk that seals anew, with its progress."""
    async with db.read(scope) as tx:
        return view(RewrapJobOut, await security.rewraps.get(tx, rewrap_id))


@router.post(
    "/rewraps/{rewrap_id}/pause",
    response_model=RewrapJobOut,
    responses={200: leads_to(resume_rewrap=_ID), **problems(*_MOVED)},
)
async def pause_rewrap(
    rewrap_id: IdPath, request: Request, scope: Writer, security: Security, db: Db
) -> Response:
    """Pause a walk after the rows that it is writing."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(RewrapJobOut, await security.rewraps.pause(tx, rewrap_id)))


@router.post(
    "/rewraps/{rewrap_id}/resume", response_model=RewrapJobOut, responses=problems(*_MOVED)
)
async def resume_rewrap(
    rewrap_id: IdPath, request: Request, scope: Writer, security: Security, db: Db
) -> Response:
    """Let a paused walk go on from where it was."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(RewrapJobOut, await security.rewraps.resume(tx, rewrap_id)))


@router.post(
    "/rewraps/{rewrap_id}/cancel", response_model=RewrapJobOut, responses=problems(*_MOVED)
)
async def cancel_rewrap(
    rewrap_id: IdPath, request: Request, scope: Writer, security: Security, db: Db
) -> Response:
    """End a walk. What it sealed anew stays so; old versions stay for the rest."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(RewrapJobOut, await security.rewraps.cancel(tx, rewrap_id)))
