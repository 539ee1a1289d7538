"""HTTP face of questions about access and of access reviews: parse, call, shape. No rules here."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope, SystemScope
from backend.core.errors import InvalidInputError
from backend.http.deps import Caller, Db, IdPath, manager_of, requires
from backend.http.openapi import ONLY_READS
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import IdempotencyKeyReusedError, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.access.errands import ACCESS
from backend.managers.access.errors import (
    AccessGrownError,
    DueDateInvalidError,
    HolderNotFoundError,
    ReviewClosedError,
    ReviewNotFoundError,
    ReviewUndecidedError,
    TooManyHoldersError,
)
from backend.managers.access.manager import AccessManager
from backend.managers.access.schemas import (
    AccessAnswer,
    AccessCheck,
    AccessPreview,
    AccessPreviewOut,
    EvidenceOut,
    HolderOut,
    HoldersOut,
    Permission,
    ReviewCreate,
    ReviewDecisions,
    ReviewDetailOut,
    ReviewLineOut,
    ReviewOut,
    Subject,
)
from backend.managers.tenant import LastOwnerError, PermissionUnknownError, RoleTooHighError

router = APIRouter(prefix="/api/v1", tags=["access"])
Access = Annotated[AccessManager, manager_of(AccessManager)]
Looker = Annotated[SystemScope, requires("access:read", errand=ACCESS)]
Checker = Annotated[SystemScope, requires("access:check", errand=ACCESS)]
Reviewer = Annotated[SystemScope, requires("access_review:write", errand=ACCESS)]
_POSTED: Final = (InvalidInputError, IdempotencyKeyReusedError)
_REVIEW: Final = {"review_id": "$response.body#/id"}


@router.get(
    "/access/who-can",
    responses=problems(TooManyHoldersError, InvalidInputError, PermissionUnknownError),
)
async def list_who_can(
    permission: Annotated[Permission, Query()],
    scope: Looker,
    access: Access,
    db: Db,
) -> HoldersOut:
    """List all who may do something now: people, clients and keys."""
    async with db.read(scope) as tx:
        found = await access.who_can(tx, permission)
    return HoldersOut(permission=permission, holders=[view(HolderOut, one) for one in found])


@router.get("/access/what-can", responses=problems(HolderNotFoundError, InvalidInputError))
async def get_what_can(
    scope: Looker,
    caller: Caller,
    access: Access,
    db: Db,
    subject: Annotated[Subject | None, Query()] = None,
) -> HolderOut:
    """Say what a member, client or key may do now: whoever asks, unless another is named."""
    async with db.read(scope) as tx:
        return view(HolderOut, await access.holders.find(tx, subject or caller.subject))


@router.post(
    "/access/check",
    responses=problems(HolderNotFoundError, InvalidInputError, PermissionUnknownError),
    openapi_extra={ONLY_READS: True},
)
async def check_access(
    body: AccessCheck, scope: Checker, caller: Caller, access: Access, db: Db
) -> AccessAnswer:
    """Say whether somebody may do something now: whoever asks, unless another is named."""
    subject = body.subject or caller.subject
    # Of this moment: no answer is kept for an Idempotency-Key.
    async with db.read(scope) as tx:
        allowed = await access.check(tx, subject, body.permission)
    return AccessAnswer(allowed=allowed, subject=subject, permission=body.permission)


@router.post(
    "/access/preview",
    responses=problems(TooManyHoldersError, InvalidInputError, PermissionUnknownError),
    openapi_extra={ONLY_READS: True},
)
async def preview_access(
    body: AccessPreview, scope: Looker, access: Access, db: Db
) -> AccessPreviewOut:
    """Say what would change, and for whom, if a role permitted this; nothing is changed."""
    async with db.read(scope) as tx:
        found = await access.preview(tx, body.role, frozenset(body.permissions))
    return view(AccessPreviewOut, found)


@router.get("/access-reviews")
async def list_access_reviews(
    scope: Annotated[Scope, requires("access_review:read")],
    access: Access,
    db: Db,
    page: PageQuery,
) -> Page[ReviewOut]:
    """List the tenant's access reviews, newest first."""
    async with db.read(scope) as tx:
        rows = await access.reviews.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(ReviewOut, rows, page)


@router.post(
    "/access-reviews",
    status_code=201,
    response_model=ReviewOut,
    responses={
        201: leads_to(
            get_access_review=_REVIEW,
            decide_access_review=_REVIEW,
            get_access_review_evidence=_REVIEW,
        ),
        **problems(TooManyHoldersError, *_POSTED, DueDateInvalidError),
    },
)
async def open_access_review(
    request: Request, body: ReviewCreate, scope: Reviewer, access: Access, db: Db
) -> Response:
    """Write down who holds what now, to be kept or taken away line by line."""
    async with db.transaction(scope) as tx:
        made = await access.reviews.open(tx, name=body.name, due_at=body.due_at)
        return reply(request, tx, view(ReviewOut, made), status=201)


@router.get("/access-reviews/{review_id}", responses=problems(ReviewNotFoundError))
async def get_access_review(
    review_id: IdPath,
    scope: Annotated[Scope, requires("access_review:read")],
    access: Access,
    db: Db,
) -> ReviewDetailOut:
    """Get one access review with its lines."""
    async with db.read(scope) as tx:
        review, lines = await access.reviews.get(tx, review_id)
    return view(ReviewDetailOut, review, lines=[view(ReviewLineOut, one) for one in lines])


@router.post(
    "/access-reviews/{review_id}/decisions",
    response_model=ReviewOut,
    responses={
        200: leads_to(close_access_review=_REVIEW),
        **problems(
            ReviewNotFoundError,
            HolderNotFoundError,
            RoleTooHighError,
            ReviewClosedError,
            LastOwnerError,
            AccessGrownError,
            *_POSTED,
        ),
    },
)
async def decide_access_review(
    request: Request,
    review_id: IdPath,
    body: ReviewDecisions,
    scope: Reviewer,
    caller: Caller,
    access: Access,
    db: Db,
) -> Response:
    """Keep lines, or take away what they name, at once."""
    async with db.transaction(scope) as tx:
        found = await access.reviews.decide(
            tx,
            review_id,
            {one.subject: one.decision for one in body.decisions},
            keep_rest=body.keep_rest,
            remover=caller.permissions,
        )
        return reply(request, tx, view(ReviewOut, found))


@router.post(
    "/access-reviews/{review_id}/close",
    response_model=ReviewOut,
    responses=problems(ReviewNotFoundError, ReviewClosedError, ReviewUndecidedError, *_POSTED),
)
async def close_access_review(
    request: Request, review_id: IdPath, scope: Reviewer, access: Access, db: Db
) -> Response:
    """End an access review of which every line is decided."""
    async with db.transaction(scope) as tx:
        return reply(request, tx, view(ReviewOut, await access.reviews.close(tx, review_id)))


@router.get("/access-reviews/{review_id}/evidence", responses=problems(ReviewNotFoundError))
async def get_access_review_evidence(
    review_id: IdPath,
    scope: Annotated[Scope, requires("access_review:read")],
    access: Access,
    db: Db,
) -> EvidenceOut:
    """Export a review: what was decided, when, by whom, and where the audit trail proves it."""
    async with db.read(scope) as tx:
        return view(EvidenceOut, await access.prove(tx, review_id))
