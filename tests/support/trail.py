"""Records of databases that no composition root has opened, under a key of the tests' own."""

import hashlib
from typing import Final

from backend.core.audit import RecordMaker
from backend.kit.outbound import Outbound
from backend.managers.audit import AuditManager, AuditSettings
from backend.managers.orchestrator import OrchestratorManager

KEY: Final = b"a key of the tests, and no other"

audit_row: Final = RecordMaker(lambda _: (KEY,))
"""Makes and knows the records of test databases; what an application made is none of them."""


def seed_of(tenant_id: str) -> bytes:
    """What signs the trees of test databases."""
    return hashlib.sha256(tenant_id.encode()).digest()


def open_audit(
    settings: AuditSettings | None = None, outbound: Outbound | None = None
) -> AuditManager:
    """The manager of the room, over such records."""
    return AuditManager(
        audit_row,
        seed_of,
        OrchestratorManager(),
        outbound or Outbound(),
        settings or AuditSettings(),
    )
