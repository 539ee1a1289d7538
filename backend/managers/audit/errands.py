"""The audit room's work across tenants."""

from typing import Final

from backend.core.audit import AuditHead, AuditRecord
from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.audit.models import (
    AuditCheckpoint,
    AuditTile,
    AuditVerification,
    ExportPartRow,
    ExportRow,
    RetentionRow,
    StreamRow,
)
from backend.managers.security import REVEALING, SEALING

_TRAIL: Final = tables_of(AuditRecord, AuditHead, AuditTile, AuditCheckpoint, RetentionRow)

READ_PLATFORM: Final = Errand(
    "audit.read_platform", _TRAIL | tables_of(AuditVerification) | REVEALING, of_platform=True
)
"""Reading and proving the platform's own trail."""

VERIFY: Final = Errand(
    "audit.verify", _TRAIL | tables_of(AuditVerification) | REVEALING, confined=True
)
"""Proving one tenant's trail from a shell."""

ENUMERATE: Final = Errand("audit.enumerate", tables_of(AuditRecord, AuditHead))
"""Whose trails there are, from the trail itself: a tenant that was taken away had one as well."""

GROW: Final = Errand("audit.grow", _TRAIL)
"""Growing the trees of all tenants, signing them and handing out what was signed."""

RETAIN: Final = Errand("audit.retain", tables_of(RetentionRow))
"""Finding whose old records may be let go; what goes, goes in the tenant's own scope."""

RETAIN_PLATFORM: Final = Errand("audit.retain_platform", tables_of(RetentionRow), of_platform=True)
"""Saying how long the platform's own trail is kept."""

EXPORT_PLATFORM: Final = Errand(
    "audit.export_platform",
    tables_of(AuditRecord, ExportRow, ExportPartRow) | REVEALING,
    of_platform=True,
)
"""Having files made of the platform's own trail."""

STREAM_PLATFORM: Final = Errand(
    "audit.stream_platform",
    tables_of(AuditHead, RetentionRow, StreamRow) | SEALING,
    of_platform=True,
)
"""Saying where the platform's own trail is pushed to."""

COUNT: Final = Errand("audit.count", tables_of(AuditRecord))
"""Counting what waits for the sequencer."""
