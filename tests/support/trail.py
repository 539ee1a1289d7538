"""Records of databases that no composition root has opened, under a key of the tests' own."""

from typing import Final

from backend.core.audit import RecordMaker
from backend.kit.outbound import Outbound
from backend.managers.audit import AuditManager, AuditSettings
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.security import SecurityManager

KEY: Final = b"a key of the tests, and no other"

audit_row: Final = RecordMaker(lambda _: (KEY,))
"""Makes and knows the records of test databases; what an application made is none of them."""


SECURITY: Final = SecurityManager(KEY)
"""Has what signs the trees of test databases."""

seed_of: Final = SECURITY.audit_signing_seed


def open_audit(
    settings: AuditSettings | None = None, outbound: Outbound | None = None
) -> AuditManager:
    """The manager of the room, over such records."""
    return AuditManager(
        audit_row,
        SECURITY,
        OrchestratorManager(),
        outbound or Outbound(),
        settings or AuditSettings(),
    )
