"""Compliance: forgetting people, and certifying it.

Owns ``erasures``; has every room remove what it keeps of a person. Audits and emits
``subject.erased``.
"""

from backend.core.room import ADMIN, Room
from backend.managers.compliance.errands import PLATFORM_ERASURES
from backend.managers.compliance.errors import (
    ErasureNotFoundError,
    SubjectInUseError,
    SubjectUnclearError,
)
from backend.managers.compliance.manager import ComplianceManager, Erasure
from backend.managers.compliance.models import ErasureRow
from backend.managers.compliance.routes import router

ROOM = Room(
    name="compliance",
    manager=ComplianceManager,
    models=(ErasureRow,),
    permissions={"subject:read": ADMIN, "subject:erase": ADMIN},
    errands=(PLATFORM_ERASURES,),
    routers=(router,),
    events={"subject.erased": "subject:read"},
)

__all__ = [
    "PLATFORM_ERASURES",
    "ROOM",
    "ComplianceManager",
    "Erasure",
    "ErasureNotFoundError",
    "SubjectInUseError",
    "SubjectUnclearError",
]
