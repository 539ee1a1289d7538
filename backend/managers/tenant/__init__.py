"""Tenants: who our customers are, the people in them and what their roles permit.

Owns ``tenants``, ``tenant_certificates``, ``users``, ``memberships``, ``roles`` and
``role_matrices``; ``plans``, ``tenant_quotas`` and ``tenant_counts``; ``tenant_usage`` and
``tenant_usage_heads``. Signals ``principals`` when a role, who holds it, or a tenant's state
changes, and ``quotas``.
"""

from functools import partial

from backend.core.cursors import EventConsumer
from backend.core.room import (
    ADMIN,
    OWNER,
    PLATFORM_ADMIN,
    PLATFORM_READ,
    VIEWER,
    WORKFLOW,
    Room,
    Sweep,
    Tick,
)
from backend.kit.mime import email_identity
from backend.managers.tenant._lifecycle import TENANT_GONE, Certificate, Lifecycle, TenantSeal
from backend.managers.tenant._password import hash_password
from backend.managers.tenant._people import Account, User, email_domain
from backend.managers.tenant._plans import Plan, TenantQuotas
from backend.managers.tenant._quotas import QUOTAS, QUOTAS_CHANGED, Quotas
from backend.managers.tenant._roles import PlatformRole, Role, RoleDefinition, Roles
from backend.managers.tenant._usage import Usage
from backend.managers.tenant._values import PRINCIPALS, Tenant
from backend.managers.tenant.errands import (
    MEMBER_READ,
    MEMBER_WRITE,
    MEMBERS,
    PEOPLE,
    PLATFORM,
    RETENTION,
)
from backend.managers.tenant.errors import (
    ConfirmationError,
    LastAdministratorError,
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    OwnAccountError,
    PermissionUnknownError,
    PlanBuiltInError,
    PlanInUseError,
    PlanNotFoundError,
    QuotaReachedError,
    RoleBuiltInError,
    RoleChangedError,
    RoleHeldError,
    RoleNotFoundError,
    RoleTooHighError,
    RoleUnknownError,
    SlugTakenError,
    SpanTooLongError,
    StockReachedError,
    TenantNeededError,
    TenantNotFoundError,
    TenantStateError,
    TenantSuspendedError,
    TooManyRolesError,
)
from backend.managers.tenant.manager import Member, Membership, TenantManager
from backend.managers.tenant.models import (
    CertificateRow,
    CountRow,
    MatrixRow,
    MembershipRow,
    PlanRow,
    QuotaRow,
    RoleRow,
    TenantRow,
    UsageHeadRow,
    UsageRow,
    UserRow,
)
from backend.managers.tenant.settings import TenantSettings

MEMBER_ADDED = "member.added"
"""Its data has the ``role``."""
ROLE_CHANGED = "member.role_changed"
"""Its data has the role ``before`` and ``after``."""
QUOTA_NEARING = "quota.nearing"
QUOTA_REACHED = "quota.reached"

ROOM = Room(
    name="tenant",
    manager=TenantManager,
    models=(
        TenantRow,
        CertificateRow,
        PlanRow,
        QuotaRow,
        CountRow,
        UsageRow,
        UsageHeadRow,
        UserRow,
        MembershipRow,
        RoleRow,
        MatrixRow,
    ),
    role_holders=(MembershipRow,),
    permissions={
        MEMBER_READ: VIEWER,
        MEMBER_WRITE: ADMIN,
        "role:read": VIEWER,
        "role:write": ADMIN,
        "owner:write": OWNER,
        "platform_role:write": PLATFORM_ADMIN,
        "usage:read": VIEWER | WORKFLOW,
    },
    errands=(PLATFORM, MEMBERS, RETENTION),
    events={
        "tenant.created": PLATFORM_READ,
        "tenant.renamed": PLATFORM_READ,
        "tenant.suspended": PLATFORM_READ,
        "tenant.sealed": PLATFORM_READ,
        "tenant.unsealed": PLATFORM_READ,
        "tenant.resumed": PLATFORM_READ,
        "tenant.deleted": PLATFORM_READ,
        "tenant.restored": PLATFORM_READ,
        "tenant.purged": PLATFORM_READ,
        "user.platform_role_changed": PLATFORM_READ,
        "tenant.quotas_changed": PLATFORM_READ,
        "plan.saved": PLATFORM_READ,
        "plan.deleted": PLATFORM_READ,
        QUOTA_NEARING: "usage:read",
        QUOTA_REACHED: "usage:read",
        MEMBER_ADDED: MEMBER_READ,
        ROLE_CHANGED: MEMBER_READ,
        "member.removed": MEMBER_READ,
        "member.disabled": MEMBER_READ,
        "member.enabled": MEMBER_READ,
        "user.disabled": PLATFORM_READ,
        "user.enabled": PLATFORM_READ,
        "role.saved": "role:read",
        "role.deleted": "role:read",
    },
    routers=(
        "backend.managers.tenant.routes:router",
        "backend.managers.tenant.platform_routes:router",
        "backend.managers.tenant.usage_routes:router",
    ),
    durable_topics=(PRINCIPALS, QUOTAS_CHANGED, TENANT_GONE),
    ticks=(
        Tick("tenant.purge", 60, TenantManager.purge_due),
        Tick("tenant.measure", 600, lambda tenants, database: tenants.usage.measure(database)),
        Tick("tenant.flush", 5, TenantManager.flush, process="api"),
    ),
    sweeps=(Sweep(RETENTION, lambda tenants, tx: tenants.usage.sweep(tx)),),
    consumers=(
        lambda tenants, database: EventConsumer(
            "tenant.usage", partial(tenants.usage.take, database), batch=1000, gather_seconds=1
        ),
    ),
    bars=(TenantManager.tell_membership,),
    stocks={"members": TenantManager.count_members},
    observe=lambda tenants, records: tenants.usage.observe(records),
    serving=TenantManager.serving,
)

__all__ = [
    "MEMBERS",
    "MEMBER_ADDED",
    "MEMBER_READ",
    "MEMBER_WRITE",
    "PEOPLE",
    "PLATFORM",
    "PRINCIPALS",
    "QUOTAS",
    "QUOTAS_CHANGED",
    "QUOTA_NEARING",
    "QUOTA_REACHED",
    "RETENTION",
    "ROLE_CHANGED",
    "ROOM",
    "TENANT_GONE",
    "Account",
    "Certificate",
    "ConfirmationError",
    "LastAdministratorError",
    "LastOwnerError",
    "Lifecycle",
    "LoginExistsError",
    "Member",
    "MemberExistsError",
    "MemberNotFoundError",
    "Membership",
    "OwnAccountError",
    "PermissionUnknownError",
    "Plan",
    "PlanBuiltInError",
    "PlanInUseError",
    "PlanNotFoundError",
    "PlatformRole",
    "QuotaReachedError",
    "Quotas",
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
    "SpanTooLongError",
    "StockReachedError",
    "Tenant",
    "TenantManager",
    "TenantNeededError",
    "TenantNotFoundError",
    "TenantQuotas",
    "TenantSeal",
    "TenantSettings",
    "TenantStateError",
    "TenantSuspendedError",
    "TooManyRolesError",
    "Usage",
    "User",
    "email_domain",
    "email_identity",
    "hash_password",
]
