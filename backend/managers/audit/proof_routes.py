"""HTTP face of what proves the trail: signed trees, proofs from them, and looks at all of it."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from backend.core.context import Scope
from backend.core.errors import InvalidInputError
from backend.http.deps import Db, IdPath, manager_of, requires
from backend.http.pagination import Page, PageQuery, page_of
from backend.http.reply import IdempotencyKeyReusedError, leads_to, problems, reply
from backend.http.schemas import view
from backend.managers.audit.errors import (
    CheckpointRefusedError,
    RecordNotFoundError,
    TreeSizeInvalidError,
    VerificationNotFoundError,
)
from backend.managers.audit.manager import AuditManager
from backend.managers.audit.schemas import (
    AuditCheckpointOut,
    AuditCheckpointSignedOut,
    AuditKeyOut,
    AuditVerificationCreate,
    AuditVerificationOut,
    ConsistencyProofOut,
    InclusionProofOut,
)

router = APIRouter(prefix="/api/v1", tags=["audit"])
Audit = Annotated[AuditManager, manager_of(AuditManager)]
_VERIFICATION: Final = {"verification_id": "$response.body#/id"}
Reader = Annotated[Scope, requires("audit:read")]
Size = Annotated[int, Query(ge=1, le=2**53, description="Of the tree, in leaves", examples=[1])]


@router.get("/audit/checkpoints")
async def list_audit_checkpoints(
    scope: Reader, audit: Audit, db: Db, page: PageQuery
) -> Page[AuditCheckpointOut]:
    """List the signed states of the tree over the tenant's trail, newest first."""
    async with db.read(scope) as tx:
        rows = await audit.checkpoints.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(AuditCheckpointOut, rows, page)


@router.post(
    "/audit/checkpoints",
    status_code=201,
    response_model=AuditCheckpointSignedOut,
    responses={
        201: leads_to(
            get_audit_proof={"record_id": "$response.body#/last_record_id"},
            get_audit_consistency={"old_size": "$response.body#/size"},
        ),
        **problems(CheckpointRefusedError, IdempotencyKeyReusedError),
    },
)
async def sign_audit_checkpoint(
    request: Request,
    scope: Annotated[Scope, requires("audit:verify")],
    audit: Audit,
    db: Db,
) -> Response:
    """Sign the trail as it is now, without waiting for the next time: to keep it elsewhere."""
    async with db.transaction(scope) as tx:
        made = await audit.checkpoints.sign_now(tx)
        last = await audit.checkpoints.last_record(tx, made.size)
        return reply(
            request, tx, view(AuditCheckpointSignedOut, made, last_record_id=last), status=201
        )


@router.get("/audit/key")
async def get_audit_key(scope: Reader, audit: Audit, db: Db) -> AuditKeyOut:
    """Show the public key that the tenant's checkpoints are verified with."""
    async with db.read(scope) as tx:
        return view(AuditKeyOut, audit.checkpoints.public_key(tx))


@router.get(
    "/audit/records/{record_id}/proof",
    responses=problems(RecordNotFoundError, InvalidInputError, TreeSizeInvalidError),
)
async def get_audit_proof(
    record_id: IdPath, scope: Reader, audit: Audit, db: Db, size: Size | None = None
) -> InclusionProofOut:
    """Prove that a record is in the tree: of this size, or as it was last signed."""
    async with db.read(scope) as tx:
        return view(InclusionProofOut, await audit.checkpoints.prove_inclusion(tx, record_id, size))


@router.get("/audit/consistency", responses=problems(InvalidInputError, TreeSizeInvalidError))
async def get_audit_consistency(
    old_size: Size, scope: Reader, audit: Audit, db: Db, size: Size | None = None
) -> ConsistencyProofOut:
    """Prove that the tree only grew since it had a size; to that which was last signed."""
    async with db.read(scope) as tx:
        found = await audit.checkpoints.prove_consistency(tx, old_size, size)
    return view(ConsistencyProofOut, found)


@router.post(
    "/audit/verifications",
    status_code=202,
    response_model=AuditVerificationOut,
    responses={
        202: leads_to(get_audit_verification=_VERIFICATION),
        **problems(InvalidInputError, IdempotencyKeyReusedError),
    },
)
async def start_audit_verification(
    request: Request,
    body: AuditVerificationCreate,
    scope: Annotated[Scope, requires("audit:verify")],
    audit: Audit,
    db: Db,
) -> Response:
    """Have a worker look at the whole trail, whatever its length, and see how far it is."""
    async with db.transaction(scope) as tx:
        made = await audit.verifications.start(tx, full=body.full)
        return reply(request, tx, view(AuditVerificationOut, made), status=202)


@router.get("/audit/verifications")
async def list_audit_verifications(
    scope: Reader, audit: Audit, db: Db, page: PageQuery
) -> Page[AuditVerificationOut]:
    """List the looks at the tenant's trail, newest first."""
    async with db.read(scope) as tx:
        rows = await audit.verifications.list(tx, limit=page.limit, before_id=page.before_id)
    return page_of(AuditVerificationOut, rows, page)


@router.get("/audit/verifications/{verification_id}", responses=problems(VerificationNotFoundError))
async def get_audit_verification(
    verification_id: IdPath, scope: Reader, audit: Audit, db: Db
) -> AuditVerificationOut:
    """Show a look at the trail: how far it is, and what was found."""
    async with db.read(scope) as tx:
        return view(AuditVerificationOut, await audit.verifications.get(tx, verification_id))
