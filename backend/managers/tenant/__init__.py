"""Tenants: who our customers are, the people in them and what their roles permit.

Owns ``tenants``, ``tenant_certificates``, ``users``, ``memberships``, ``roles`` and
``role_matrices``. Signals ``principals`` when a role, who holds it, or a tenant's state changes.
"""

from backend.core.room import ADMIN, OWNER, PLATFORM_ADMIN, PLATFORM_READ, VIEWER, Room, Tick
from backend.managers.tenant._lifecycle import Certificate
from backend.managers.tenant._password import hash_password
from backend.managers.tenant._people import Account, User, email_identity
from backend.managers.tenant._roles import PlatformRole, Role, RoleDefinition, Roles
from backend.managers.tenant._values import PRINCIPALS, Tenant
from backend.managers.tenant.errands import MEMBER_READ, MEMBER_WRITE, MEMBERS, PEOPLE, PLATFORM
from backend.managers.tenant.errors import (
    ConfirmationError,
    LastAdministratorError,
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    OwnAccountError,
    PermissionUnknownError,
    RoleBuiltInError,
    RoleChangedError,
    RoleHeldError,
    RoleNotFoundError,
    RoleTooHighError,
    RoleUnknownError,
    SlugTakenError,
    TenantNeededError,
    TenantNotFoundError,
    TenantStateError,
    TenantSuspendedError,
    TooManyRolesError,
)
from backend.managers.tenant.manager import Member, Membership, TenantManager
from backend.managers.tenant.models import (
    CertificateRow,
    MatrixRow,
    MembershipRow,
    RoleRow,
    TenantRow,
    UserRow,
)
from backend.managers.tenant.platform_routes import router as platform_router
from backend.managers.tenant.routes import router
from backend.managers.tenant.settings import TenantSettings

ROOM = Room(
    name="tenant",
    manager=TenantManager,
    models=(TenantRow, CertificateRow, UserRow, MembershipRow, RoleRow, MatrixRow),
    role_holders=(MembershipRow,),
    permissions={
        MEMBER_READ: VIEWER,
        MEMBER_WRITE: ADMIN,
        "role:read": VIEWER,
        "role:write": ADMIN,
        "owner:write": OWNER,
        "platform_role:write": PLATFORM_ADMIN,
    },
    errands=(PLATFORM, MEMBERS),
    events={
        "tenant.created": PLATFORM_READ,
        "tenant.renamed": PLATFORM_READ,
        "tenant.suspended": PLATFORM_READ,
        "tenant.resumed": PLATFORM_READ,
        "tenant.deleted": PLATFORM_READ,
        "tenant.restored": PLATFORM_READ,
        "tenant.purged": PLATFORM_READ,
        "user.platform_role_changed": PLATFORM_READ,
        "member.added": MEMBER_READ,
        "member.role_changed": MEMBER_READ,
        "member.removed": MEMBER_READ,
        "member.disabled": MEMBER_READ,
        "member.enabled": MEMBER_READ,
        "user.disabled": PLATFORM_READ,
        "user.enabled": PLATFORM_READ,
        "role.saved": "role:read",
        "role.deleted": "role:read",
    },
    routers=(router, platform_router),
    durable_topics=(PRINCIPALS,),
    ticks=(Tick("tenant.purge", 60, TenantManager.purge_due),),
)

__all__ = [
    "MEMBERS",
    "MEMBER_READ",
    "MEMBER_WRITE",
    "PEOPLE",
    "PLATFORM",
    "PRINCIPALS",
    "ROOM",
    "Account",
    "Certificate",
    "ConfirmationError",
    "LastAdministratorError",
    "LastOwnerError",
    "LoginExistsError",
    "Member",
    "MemberExistsError",
    "MemberNotFoundError",
    "Membership",
    "OwnAccountError",
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
    "TenantNeededError",
    "TenantNotFoundError",
    "TenantSettings",
    "TenantStateError",
    "TenantSuspendedError",
    "TooManyRolesError",
    "User",
    "email_identity",
    "hash_password",
]
