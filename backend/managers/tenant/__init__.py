"""Tenants: who our customers are, the people in them and what their roles permit.

Owns ``tenants``, ``users`` and ``memberships``. Signals ``principals`` when a role changes.
"""

from typing import Final

from backend.managers.tenant._password import hash_password, verify_password
from backend.managers.tenant._roles import (
    PLATFORM_PERMISSIONS,
    ROLES,
    Role,
    permissions_of,
    refuse_higher,
)
from backend.managers.tenant.errors import (
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    RoleTooHighError,
    SlugTakenError,
    TenantNotFoundError,
)
from backend.managers.tenant.manager import (
    PRINCIPALS,
    Member,
    Membership,
    Tenant,
    TenantManager,
    User,
)

EVENTS: Final = {
    "tenant.created": "platform:read",
    "member.added": "member:read",
    "member.role_changed": "member:read",
    "member.removed": "member:read",
}
"""What it tells, and the permission that reading it takes."""

__all__ = [
    "EVENTS",
    "PLATFORM_PERMISSIONS",
    "PRINCIPALS",
    "ROLES",
    "LastOwnerError",
    "LoginExistsError",
    "Member",
    "MemberExistsError",
    "MemberNotFoundError",
    "Membership",
    "Role",
    "RoleTooHighError",
    "SlugTakenError",
    "Tenant",
    "TenantManager",
    "TenantNotFoundError",
    "User",
    "hash_password",
    "permissions_of",
    "refuse_higher",
    "verify_password",
]
