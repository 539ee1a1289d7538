"""Tenants: who our customers are, the people in them and what their roles permit.

Owns ``tenants``, ``users`` and ``memberships``. Signals ``principals`` when a role changes.
"""

from backend.core.room import ADMIN, OWNER, PLATFORM_READ, VIEWER, Room
from backend.managers.tenant._password import hash_password
from backend.managers.tenant._roles import Role, Roles
from backend.managers.tenant.errands import MEMBERS, PEOPLE, PLATFORM
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
from backend.managers.tenant.models import MembershipRow, TenantRow, UserRow
from backend.managers.tenant.routes import router

ROOM = Room(
    name="tenant",
    manager=TenantManager,
    models=(TenantRow, UserRow, MembershipRow),
    permissions={
        "member:read": VIEWER,
        "member:write": ADMIN,
        "role:read": VIEWER,
        "owner:write": OWNER,
    },
    errands=(PLATFORM, MEMBERS),
    events={
        "tenant.created": PLATFORM_READ,
        "member.added": "member:read",
        "member.role_changed": "member:read",
        "member.removed": "member:read",
    },
    routers=(router,),
    durable_topics=(PRINCIPALS,),
)

__all__ = [
    "MEMBERS",
    "PEOPLE",
    "PLATFORM",
    "PRINCIPALS",
    "ROOM",
    "LastOwnerError",
    "LoginExistsError",
    "Member",
    "MemberExistsError",
    "MemberNotFoundError",
    "Membership",
    "Role",
    "RoleTooHighError",
    "Roles",
    "SlugTakenError",
    "Tenant",
    "TenantManager",
    "TenantNotFoundError",
    "User",
    "hash_password",
]
