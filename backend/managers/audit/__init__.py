"""Audit: the trail of every act, read and proved.

Owns ``audit_tiles``, ``audit_checkpoints`` and ``audit_verifications``; ``audit_records`` and
``audit_heads`` are the core's, because every transaction writes them. Emits
``audit_verification.finished``.
"""

from backend.core.room import OPERATOR, PLATFORM_AUDITOR, VIEWER, FleetGauge, Room, Tick
from backend.managers.audit._checkpoints import (
    ConsistencyProof,
    InclusionProof,
    PublicKey,
    SignedTree,
)
from backend.managers.audit._verifications import Verification
from backend.managers.audit._verify import Finding
from backend.managers.audit.errands import COUNT, ENUMERATE, GROW, READ_PLATFORM, VERIFY
from backend.managers.audit.errors import (
    CheckpointNotFoundError,
    CheckpointRefusedError,
    RecordNotFoundError,
    TreeSizeInvalidError,
    VerificationNotFoundError,
)
from backend.managers.audit.manager import AuditEntry, AuditManager, ChainReport
from backend.managers.audit.models import AuditCheckpoint, AuditTile, AuditVerification
from backend.managers.audit.offline import CannotLookError, say, verify_files
from backend.managers.audit.routes import router
from backend.managers.audit.settings import AuditSettings


async def _kept(_: object, __: object) -> int:
    """Of a tenant that leaves the trail stays, and with it what proves the trail."""
    return 0


ROOM = Room(
    name="audit",
    manager=AuditManager,
    models=(AuditTile, AuditCheckpoint, AuditVerification),
    purges={model.__tablename__: _kept for model in (AuditTile, AuditCheckpoint)},
    permissions={
        "audit:read": VIEWER,
        "audit:verify": OPERATOR,
        "platform_audit:read": PLATFORM_AUDITOR,
    },
    errands=(READ_PLATFORM, VERIFY, ENUMERATE, GROW, COUNT),
    events={"audit_verification.finished": "audit:verify"},
    routers=(router,),
    job_kinds=(lambda audit, database: audit.verifications.kind(database),),
    ticks=(
        Tick("audit.grow", 1, lambda audit, database: audit.checkpoints.grow(database)),
        Tick("audit.sign", 5, lambda audit, database: audit.checkpoints.sign_due(database)),
        Tick("audit.publish", 5, lambda audit, database: audit.checkpoints.publish(database)),
    ),
    gauges=(
        FleetGauge(
            "email_sender_audit_unsequenced_records",
            "Committed audit records that wait for their place in the chain.",
            COUNT,
            AuditManager.count_unsequenced,
        ),
    ),
)

__all__ = [
    "ENUMERATE",
    "GROW",
    "READ_PLATFORM",
    "ROOM",
    "VERIFY",
    "AuditEntry",
    "AuditManager",
    "AuditSettings",
    "CannotLookError",
    "ChainReport",
    "CheckpointNotFoundError",
    "CheckpointRefusedError",
    "ConsistencyProof",
    "Finding",
    "InclusionProof",
    "PublicKey",
    "RecordNotFoundError",
    "SignedTree",
    "TreeSizeInvalidError",
    "Verification",
    "VerificationNotFoundError",
    "say",
    "verify_files",
]
