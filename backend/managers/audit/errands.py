"""The audit room's work across tenants."""

from typing import Final

from backend.core.audit import AuditHead, AuditRecord
from backend.core.columns import tables_of
from backend.core.context import Errand

READ_PLATFORM: Final = Errand(
    "audit.read_platform", tables_of(AuditRecord, AuditHead), of_platform=True
)
"""Reading and proving the platform's own trail."""

VERIFY: Final = Errand("audit.verify", tables_of(AuditRecord, AuditHead), confined=True)
"""Proving one tenant's trail from a shell."""

COUNT: Final = Errand("audit.count", tables_of(AuditRecord))
"""Counting what waits for the sequencer."""
