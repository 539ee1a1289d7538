"""The tenant room's work across tenants: tenants and people belong to none."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.tenant.models import (
    CertificateRow,
    CountRow,
    MatrixRow,
    MembershipRow,
    PlanRow,
    QuotaRow,
    RoleRow,
    TenantRow,
    UsageRow,
    UserRow,
)

MEMBER_READ: Final = "member:read"
MEMBER_WRITE: Final = "member:write"
"""Permissions over who belongs to a tenant: whoever invites asks for them too."""

PEOPLE: Final = tables_of(TenantRow, UserRow, MembershipRow, RoleRow, MatrixRow, QuotaRow, CountRow)
"""What looking up a tenant, a person, a membership or what its role permits touches, or adding one.

For the errands of upper rooms.
"""

PLATFORM: Final = Errand(
    "tenant.platform", PEOPLE | tables_of(CertificateRow, PlanRow), of_platform=True
)
"""Tenants as the platform keeps them."""

MEMBERS: Final = Errand("tenant.members", PEOPLE, confined=True)
"""One tenant's people; each statement of the manager is confined by hand."""

RETENTION: Final = Errand("tenant.retention", tables_of(UsageRow, CountRow))
"""Forgetting days and windows that are long past."""
