"""Records of databases that no composition root has opened, under a key of the tests' own."""

from collections.abc import Mapping, Sequence
from typing import Final

from backend.core.audit import RecordMaker, SubjectSeal
from backend.core.database import Tx
from backend.kit.outbound import Outbound
from backend.managers.audit import AuditManager, AuditSettings
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.security import SecurityManager

KEY: Final = b"a key of the tests, and no other"


async def _seals(_: Tx, subjects: Sequence[str]) -> Mapping[str, SubjectSeal]:
    """Seal for nobody in particular: these databases have keys of many roots, or none."""
    return {one: SubjectSeal(f"named:{one}", lambda _, value: f"told:{value}") for one in subjects}


audit_row: Final = RecordMaker(lambda _: (KEY,), _seals)
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
