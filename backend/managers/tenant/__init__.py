"""Tenants: who our customers are, the people in them and what their roles permit.

Owns ``tenants``, ``users`` and ``memberships``. Signals ``principals`` when a role changes.
"""

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

__all__ = [
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
