"""Access: who may do what, what a change would change, and reviews that end in evidence.

Owns ``access_reviews`` and ``access_review_lines``; asks the rooms of people, clients and keys for
who holds something.
"""

from backend.core.room import ADMIN, OPERATOR, WORKFLOW, Room, Tick
from backend.managers.access._holders import Holder
from backend.managers.access._reviews import Review, ReviewLine
from backend.managers.access.errands import ACCESS, OVERDUE
from backend.managers.access.errors import (
    AccessGrownError,
    DueDateInvalidError,
    HolderNotFoundError,
    ReviewClosedError,
    ReviewNotFoundError,
    ReviewUndecidedError,
    TooManyHoldersError,
)
from backend.managers.access.manager import AccessManager, Evidence, Preview
from backend.managers.access.models import ReviewLineRow, ReviewRow

ROOM = Room(
    name="access",
    manager=AccessManager,
    models=(ReviewRow, ReviewLineRow),
    erasures={
        ReviewLineRow.__tablename__: lambda access, tx, who, _: access.reviews.erase(tx, who),
    },
    permissions={
        "access:read": OPERATOR,
        "access:check": OPERATOR | WORKFLOW,
        "access_review:read": OPERATOR,
        "access_review:write": ADMIN,
    },
    errands=(ACCESS, OVERDUE),
    events={
        "access_review.opened": "access_review:read",
        "access_review.closed": "access_review:read",
        "access_review.overdue": "access_review:read",
    },
    ticks=(
        Tick("access.overdue", 60, lambda access, database: access.reviews.tell_overdue(database)),
    ),
    routers=("backend.managers.access.routes:router",),
)

__all__ = [
    "ACCESS",
    "ROOM",
    "AccessGrownError",
    "AccessManager",
    "DueDateInvalidError",
    "Evidence",
    "Holder",
    "HolderNotFoundError",
    "Preview",
    "Review",
    "ReviewClosedError",
    "ReviewLine",
    "ReviewNotFoundError",
    "ReviewUndecidedError",
    "TooManyHoldersError",
]
