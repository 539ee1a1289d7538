"""Compliance: forgetting people, and certifying it.

Owns ``erasures``; has every room remove what it keeps of a person, by a walk. Audits
``erasure.started`` and ``subject.erased``; emits the latter.
"""

from backend.core.room import ADMIN, FleetGauge, Room, SealedColumn, Tick
from backend.managers.compliance._walk import Erasure, ErasureWalks, place_of
from backend.managers.compliance.errands import PLATFORM_ERASURES, WALKS
from backend.managers.compliance.errors import (
    ErasureNotFoundError,
    SubjectInUseError,
    SubjectUnclearError,
)
from backend.managers.compliance.manager import ComplianceManager
from backend.managers.compliance.models import ErasureRow
from backend.managers.compliance.settings import ComplianceSettings

ROOM = Room(
    name="compliance",
    manager=ComplianceManager,
    models=(ErasureRow,),
    sealed=(SealedColumn(ErasureRow, "sealed_address", lambda row: place_of(row["id"])),),
    permissions={"subject:read": ADMIN, "subject:erase": ADMIN},
    errands=(PLATFORM_ERASURES, WALKS),
    routers=("backend.managers.compliance.routes:router",),
    ticks=(
        Tick(
            "compliance.erase",
            5,
            lambda compliance, database: compliance.walks.walker.run_due(database),
        ),
    ),
    events={"subject.erased": "subject:read"},
    gauges=(
        FleetGauge(
            "email_sender_compliance_erasures",
            "Erasures of people that are not complete, by whether something has to end first.",
            WALKS,
            ComplianceManager.count_running,
            label="state",
            values=("running", "waiting"),
        ),
        FleetGauge(
            "email_sender_compliance_erasure_oldest_seconds",
            "For how long the oldest erasure that is not complete has been going on.",
            WALKS,
            ComplianceManager.count_oldest_seconds,
        ),
    ),
)

__all__ = [
    "PLATFORM_ERASURES",
    "ROOM",
    "WALKS",
    "ComplianceManager",
    "ComplianceSettings",
    "Erasure",
    "ErasureNotFoundError",
    "ErasureWalks",
    "SubjectInUseError",
    "SubjectUnclearError",
]
