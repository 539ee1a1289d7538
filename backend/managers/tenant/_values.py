"""What the tenant room hands out of a tenant, and the signal by which it tells of changes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from backend.managers.tenant.models import TenantRow

PRINCIPALS: Final = "principals"
"""The signal that says: roles, memberships or credentials changed, drop what you cached of it.

Its payload says whose, as narrowly as is true: ``tenant:<id>``, ``user:<id>``, ``client:<client
id>``, ``api_key:<id>``; empty for everybody's.
"""


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as others see it.

    Attributes:
        state: ``active``, ``suspended`` or ``deleting``.
        reason: Why it is, or before it was to be deleted was, suspended.
        state_since: When the state changed last; None since it was made.
        purge_at: When its data goes, if it is being deleted.
        plan: By which it has quotas.
    """

    id: str
    slug: str
    name: str
    state: str
    created_at: datetime
    reason: str | None
    state_since: datetime | None
    purge_at: datetime | None
    plan: str


def tenant_of(row: TenantRow) -> Tenant:
    """The row as others see it."""
    return Tenant(
        row.id,
        row.slug,
        row.name,
        row.state,
        row.created_at,
        row.reason,
        row.state_since,
        row.purge_at,
        row.plan,
    )
