"""Audit: the trail of every act, read and proved.

Owns ``audit_tiles``, ``audit_checkpoints``, ``audit_retentions``, ``audit_verifications``,
``audit_exports``, ``audit_export_parts`` and ``audit_streams``; ``audit_records`` and
``audit_heads`` are the core's, because every transaction writes them.
"""

from backend.core.room import (
    ADMIN,
    AUDITOR,
    OPERATOR,
    PLATFORM_ADMIN,
    PLATFORM_AUDITOR,
    VIEWER,
    FleetCheck,
    FleetGauge,
    Room,
    SealedColumn,
    Sweep,
    Tick,
)
from backend.managers.audit._checkpoints import (
    ConsistencyProof,
    InclusionProof,
    PublicKey,
    SignedTree,
    TrailState,
)
from backend.managers.audit._export import EXPORTS, FILES, Export, Exports, export_kind
from backend.managers.audit._formats import FORMATS
from backend.managers.audit._publishing import BITS, WATCH_CHECKPOINTS
from backend.managers.audit._push import PUSH, SECRET_PLACE, WATCH_STREAMS, Stream, Streams
from backend.managers.audit._retention import Kept, Retention
from backend.managers.audit._search import AuditEntry, Facets, Found, Wanted
from backend.managers.audit._verifications import FORGET, Verification
from backend.managers.audit._verify import Finding
from backend.managers.audit.errands import (
    COUNT,
    ENUMERATE,
    EXPORT_PLATFORM,
    GROW,
    READ_PLATFORM,
    RETAIN,
    RETAIN_PLATFORM,
    STREAM_PLATFORM,
    VERIFY,
)
from backend.managers.audit.errors import (
    CheckpointNotFoundError,
    CheckpointRefusedError,
    CheckpointsWaitingError,
    ExportNotFoundError,
    ExportNotReadyError,
    RangeNeededError,
    RecordNotFoundError,
    RetentionTooShortError,
    StreamInvalidError,
    StreamNotFoundError,
    StreamsFailingError,
    TooManyExportsError,
    TreeSizeInvalidError,
    VerificationNotFoundError,
)
from backend.managers.audit.manager import AuditManager, ChainReport
from backend.managers.audit.models import (
    AuditCheckpoint,
    AuditTile,
    AuditVerification,
    ExportPartRow,
    ExportRow,
    RetentionRow,
    StreamRow,
)
from backend.managers.audit.offline import CannotLookError, say, verify_files, verify_proof_file
from backend.managers.audit.settings import AuditSettings


async def _kept(_: object, __: object) -> int:
    """Of a tenant that leaves the trail stays, and with it what proves the trail."""
    return 0


ROOM = Room(
    name="audit",
    manager=AuditManager,
    models=(
        AuditTile,
        AuditCheckpoint,
        RetentionRow,
        AuditVerification,
        ExportRow,
        ExportPartRow,
        StreamRow,
    ),
    sealed=(SealedColumn(StreamRow, "sealed_secret", lambda _: SECRET_PLACE),),
    erasures={FILES: lambda audit, tx, who, _: audit.exports.erase(tx, who)},
    purges={model.__tablename__: _kept for model in (AuditTile, AuditCheckpoint, RetentionRow)},
    permissions={
        "audit:read": VIEWER | AUDITOR,
        "audit:verify": OPERATOR | AUDITOR,
        "audit:export": OPERATOR | AUDITOR,
        "audit_retention:write": ADMIN,
        "audit_stream:read": ADMIN,
        "audit_stream:write": ADMIN,
        "platform_audit:read": PLATFORM_AUDITOR,
        "platform_audit:write": PLATFORM_ADMIN,
        "platform_audit:export": PLATFORM_AUDITOR,
        "platform_audit_stream:read": PLATFORM_ADMIN,
        "platform_audit_stream:write": PLATFORM_ADMIN,
    },
    errands=(
        READ_PLATFORM,
        VERIFY,
        ENUMERATE,
        GROW,
        COUNT,
        EXPORTS,
        PUSH,
        WATCH_STREAMS,
        WATCH_CHECKPOINTS,
        FORGET,
        RETAIN,
        RETAIN_PLATFORM,
        EXPORT_PLATFORM,
        STREAM_PLATFORM,
    ),
    routers=(
        "backend.managers.audit.routes:router",
        "backend.managers.audit.proof_routes:router",
        "backend.managers.audit.retention_routes:router",
        "backend.managers.audit.handing_routes:exports",
        "backend.managers.audit.handing_routes:stream",
        "backend.managers.audit.handing_routes:platform_exports",
        "backend.managers.audit.handing_routes:platform_stream",
    ),
    events={
        "audit_verification.finished": "audit:verify",
        "audit_export.ready": "audit:export",
    }
    | dict.fromkeys(
        (
            "audit_stream.saved",
            "audit_stream.deleted",
            "audit_stream.failing",
            "audit_stream.resumed",
        ),
        "audit_stream:read",
    ),
    job_kinds=(lambda audit, database: audit.verifications.kind(database), export_kind),
    ticks=(
        Tick("audit.grow", 1, lambda audit, database: audit.checkpoints.grow(database)),
        Tick("audit.sign", 5, lambda audit, database: audit.checkpoints.sign_due(database)),
        Tick("audit.publish", 5, lambda audit, database: audit.publishing.publish(database)),
        Tick("audit.push", 1, lambda audit, database: audit.streams.push_due(database)),
    ),
    fleet_checks=(
        FleetCheck("audit_streams", WATCH_STREAMS, AuditManager.check_streams),
        FleetCheck(
            "audit_checkpoints",
            WATCH_CHECKPOINTS,
            lambda audit, tx: audit.publishing.check(tx),
        ),
    ),
    sweeps=(
        Sweep(EXPORTS, lambda audit, tx: audit.exports.sweep(tx)),
        Sweep(
            FORGET,
            lambda audit, tx: audit.verifications.sweep(tx, audit.settings.keep_verifications_days),
        ),
        Sweep(RETAIN, lambda audit, tx: audit.retention.sweep(tx)),
    ),
    gauges=(
        FleetGauge(
            "email_sender_audit_unsequenced_records",
            "Committed audit records that wait for their place in the chain.",
            COUNT,
            AuditManager.count_unsequenced,
        ),
        FleetGauge(
            "email_sender_audit_stream_lag_records",
            "Audit records that tenants' streams have not brought away yet.",
            WATCH_STREAMS,
            AuditManager.count_behind,
        ),
        FleetGauge(
            "email_sender_audit_unpublished_checkpoints",
            "Signed checkpoints that a place outside does not have yet.",
            WATCH_CHECKPOINTS,
            lambda audit, tx: audit.publishing.count_waiting(tx),
            label="place",
            values=tuple(BITS),
        ),
    ),
)

__all__ = [
    "ENUMERATE",
    "FILES",
    "FORMATS",
    "GROW",
    "READ_PLATFORM",
    "RETAIN",
    "RETAIN_PLATFORM",
    "ROOM",
    "VERIFY",
    "AuditEntry",
    "AuditManager",
    "AuditSettings",
    "CannotLookError",
    "ChainReport",
    "CheckpointNotFoundError",
    "CheckpointRefusedError",
    "CheckpointsWaitingError",
    "ConsistencyProof",
    "Export",
    "ExportNotFoundError",
    "ExportNotReadyError",
    "Exports",
    "Facets",
    "Finding",
    "Found",
    "InclusionProof",
    "Kept",
    "PublicKey",
    "RangeNeededError",
    "RecordNotFoundError",
    "Retention",
    "RetentionTooShortError",
    "SignedTree",
    "Stream",
    "StreamInvalidError",
    "StreamNotFoundError",
    "Streams",
    "StreamsFailingError",
    "TooManyExportsError",
    "TrailState",
    "TreeSizeInvalidError",
    "Verification",
    "VerificationNotFoundError",
    "Wanted",
    "say",
    "verify_files",
    "verify_proof_file",
]
