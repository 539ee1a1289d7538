"""Audit: the trail of every act, read and proved.

Owns no table: ``audit_records`` and ``audit_heads`` are the core's, because every transaction
writes them.
"""

from backend.core.room import OPERATOR, PLATFORM_AUDITOR, VIEWER, FleetGauge, Room
from backend.managers.audit.errands import COUNT, READ_PLATFORM, VERIFY
from backend.managers.audit.manager import AuditEntry, AuditManager, ChainReport
from backend.managers.audit.routes import router

ROOM = Room(
    name="audit",
    manager=AuditManager,
    permissions={
        "audit:read": VIEWER,
        "audit:verify": OPERATOR,
        "platform_audit:read": PLATFORM_AUDITOR,
    },
    errands=(READ_PLATFORM, VERIFY, COUNT),
    routers=(router,),
    gauges=(
        FleetGauge(
            "email_sender_audit_unsequenced_records",
            "Committed audit records that wait for their place in the chain.",
            COUNT,
            AuditManager.count_unsequenced,
        ),
    ),
)

__all__ = ["READ_PLATFORM", "ROOM", "VERIFY", "AuditEntry", "AuditManager", "ChainReport"]
