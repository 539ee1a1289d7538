"""The monitoring room's work for the platform."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.core.events import EventCursor, EventRecord
from backend.managers.monitoring.models import (
    EvidenceRow,
    HealthSampleRow,
    OutcomeRow,
    SloRow,
)

HISTORY: Final = Errand(
    "monitoring.history", tables_of(HealthSampleRow), of_platform=True, confined=True
)
"""Keeping, reading and forgetting how the platform was."""
PLATFORM_SLOS: Final = Errand(
    "monitoring.platform_slos",
    tables_of(OutcomeRow, EvidenceRow, EventRecord, EventCursor),
    of_platform=True,
    confined=True,
)
"""Counting what the platform's own objectives are about, and telling how they stand."""
EVIDENCE: Final = Errand("monitoring.evidence", tables_of(EvidenceRow), of_platform=True)
"""Recording what drills and benchmarks found, for somebody whose own tenant keeps the answer."""
MEASURED: Final = Errand("monitoring.measured", tables_of(SloRow))
"""Finding the tenants whose objectives a clock measures; the work is each tenant's."""
OUTCOMES: Final = Errand("monitoring.outcomes", tables_of(OutcomeRow))
"""Forgetting what was counted long ago."""
