"""HTTP face of forgetting people: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Request, Response

from backend.core.context import Scope, SystemScope
from backend.core.ids import PLATFORM_TENANT
from backend.core.room import PLATFORM_READ, PLATFORM_WRITE
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.compliance.errands import PLATFORM_ERASURES
from backend.managers.compliance.errors import (
    ErasureNotFoundError,
    SubjectInUseError,
    SubjectUnclearError,
)
from backend.managers.compliance.manager import ComplianceManager
from backend.managers.compliance.schemas import ErasureOut, SubjectErase

router = APIRouter(prefix="/api/v1", tags=["subject"])
Compliance = Annotated[ComplianceManager, manager_of(ComplianceManager)]
Reader = Annotated[Scope, requires("subject:read")]
Eraser = Annotated[Scope, requires("subject:erase", fresh=True)]
Looker = Annotated[SystemScope, requires(PLATFORM_READ, errand=PLATFORM_ERASURES)]
OfPlatform = Annotated[SystemScope, requires(PLATFORM_WRITE, errand=PLATFORM_ERASURES, fresh=True)]
_REFUSED: Final = problems(SubjectInUseError, SubjectUnclearError)
_ID: Final = {"erasure_id": "$response.body#/id"}


@router.post(
    "/subjects/erase",
    status_code=202,
    response_model=ErasureOut,
    responses={202: leads_to(get_erasure=_ID), **_REFUSED},
)
async def erase_subject(
    body: SubjectErase, request: Request, scope: Eraser, compliance: Compliance, db: Db
) -> Response:
    """Forget a person, for good: what the audit trail tells of them, and their rows.

    The trail says `erased` from now on and is proved as before. It cannot be undone. A worker
    looks for the rest: see how far it is, and find the signed certificate at the end, in the
    erasure. While one goes on, it is the answer to whoever asks again.
    """
    async with db.transaction(scope) as tx:
        made, _ = await compliance.erase_subject(tx, user_id=body.user_id, address=body.address)
        return reply(request, tx, view(ErasureOut, made), status=202)


@router.get("/subjects/erasures")
async def list_erasures(
    scope: Reader, compliance: Compliance, db: Db, page: PageQuery
) -> Page[ErasureOut]:
    """List the people who were erased, or are being, newest first."""
    async with db.read(scope) as tx:
        rows = await compliance.list_erasures(tx, limit=page.limit, before_id=page.before_id)
    return page_of(ErasureOut, rows, page)


@router.get("/subjects/erasures/{erasure_id}", responses=problems(ErasureNotFoundError))
async def get_erasure(
    erasure_id: IdPath, scope: Reader, compliance: Compliance, db: Db
) -> ErasureOut:
    """Show one erasure: how far it is, and its certificate when it is complete."""
    async with db.read(scope) as tx:
        return view(ErasureOut, await compliance.get_erasure(tx, erasure_id))


@router.post(
    "/platform/subjects/erase",
    status_code=202,
    response_model=ErasureOut,
    responses={202: leads_to(get_platform_erasure=_ID), **_REFUSED},
)
async def erase_platform_subject(
    body: SubjectErase, request: Request, scope: OfPlatform, compliance: Compliance, db: Db
) -> Response:
    """Forget a person in what the platform itself keeps: its trail of log-ins, its mail.

    Their account, and what tenants keep of them, is not touched.
    """
    async with db.transaction(scope) as tx:
        async with tx.within(PLATFORM_TENANT) as part:
            made, _ = await compliance.erase_subject(
                part, user_id=body.user_id, address=body.address
            )
        return reply(request, tx, view(ErasureOut, made), status=202)


@router.get("/platform/subjects/erasures")
async def list_platform_erasures(
    scope: Looker, compliance: Compliance, db: Db, page: PageQuery
) -> Page[ErasureOut]:
    """List the people whom the platform has erased, or is erasing, newest first."""
    async with db.read(scope) as tx:
        rows = await compliance.list_erasures(tx, limit=page.limit, before_id=page.before_id)
    return page_of(ErasureOut, rows, page)


@router.get("/platform/subjects/erasures/{erasure_id}", responses=problems(ErasureNotFoundError))
async def get_platform_erasure(
    erasure_id: IdPath, scope: Looker, compliance: Compliance, db: Db
) -> ErasureOut:
    """Show one erasure of the platform's: how far it is, and its certificate at the end."""
    async with db.read(scope) as tx:
        return view(ErasureOut, await compliance.get_erasure(tx, erasure_id))
