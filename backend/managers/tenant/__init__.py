"""Tenants: who our customers are, the people in them and what their roles permit.

Owns ``tenants``, ``users``, ``memberships``, ``roles`` and ``role_matrices``. Signals
``principals`` when a role, or who holds it, changes.
"""

from backend.core.room import ADMIN, OWNER, PLATFORM_ADMIN, PLATFORM_READ, VIEWER, Room
from backend.managers.tenant._password import hash_password
from backend.managers.tenant._roles import PRINCIPALS, PlatformRole, Role, RoleDefinition, Roles
from backend.managers.tenant.errands import MEMBERS, PEOPLE, PLATFORM
from backend.managers.tenant.errors import (
    LastAdministratorError,
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    PermissionUnknownError,
    RoleBuiltInError,
    RoleChangedError,
    RoleHeldError,
    RoleNotFoundError,
    RoleTooHighError,
    RoleUnknownError,
    SlugTakenError,
    TenantNotFoundError,
    TooManyRolesError,
)
from backend.managers.tenant.manager import (
    Member,
    Membership,
    Tenant,
    TenantManager,
    User,
)
from backend.managers.tenant.models import MatrixRow, MembershipRow, RoleRow, TenantRow, UserRow
from backend.managers.tenant.routes import router

ROOM = Room(
    name="tenant",
    manager=TenantManager,
    models=(TenantRow, UserRow, MembershipRow, RoleRow, MatrixRow),
    role_holders=(MembershipRow,),
    permissions={
        "member:read": VIEWER,
        "member:write": ADMIN,
        "role:read": VIEWER,
        "role:write": ADMIN,
        "owner:write": OWNER,
        "platform_role:write": PLATFORM_ADMIN,
    },
    errands=(PLATFORM, MEMBERS),
    events={
        "tenant.created": PLATFORM_READ,
        "user.platform_role_changed": PLATFORM_READ,
        "member.added": "member:read",
        "member.role_changed": "member:read",
        "member.removed": "member:read",
        "role.saved": "role:read",
        "role.deleted": "role:read",
    },
    routers=(router,),
)

__all__ = [
    "MEMBERS",
    "PEOPLE",
    "PLATFORM",
    "PRINCIPALS",
    "ROOM",
    "LastAdministratorError",
    "LastOwnerError",
    "LoginExistsError",
    "Member",
    "MemberExistsError",
    "MemberNotFoundError",
    "Membership",
    "PermissionUnknownError",
    "PlatformRole",
    "Role",
    "RoleBuiltInError",
    "RoleChangedError",
    "RoleDefinition",
    "RoleHeldError",
    "RoleNotFoundError",
    "RoleTooHighError",
    "RoleUnknownError",
    "Roles",
    "SlugTakenError",
    "Tenant",
    "TenantManager",
    "TenantNotFoundError",
    "TooManyRolesError",
    "User",
    "hash_password",
]
