"""Looking at who holds what: people belong to no tenant, what they hold does."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.access.models import ReviewLineRow, ReviewRow
from backend.managers.gateway import API_KEY_TABLES
from backend.managers.identity import CLIENT_TABLES
from backend.managers.tenant import PEOPLE

ACCESS: Final = Errand(
    "access.holders",
    PEOPLE | CLIENT_TABLES | API_KEY_TABLES | tables_of(ReviewRow, ReviewLineRow),
    confined=True,
)
"""One tenant's members, clients and keys; statements on people are confined by their managers."""

OVERDUE: Final = Errand("access.overdue", tables_of(ReviewRow))
"""The reviews of all tenants, to tell of those that nobody closed in time."""
