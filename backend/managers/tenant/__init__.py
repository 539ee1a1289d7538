"""Tenants: who our customers are, the people in them and what their roles permit.

Owns ``tenants``, ``tenant_certificates``, ``users`` and ``memberships``; ``plans``,
``tenant_quotas`` and ``tenant_counts``; ``tenant_usage`` and ``tenant_usage_heads``. Signals
``principals`` when a role or a tenant's state changes, and ``quotas``.
"""

from functools import partial

from backend.core.cursors import EventConsumer
from backend.core.room import ADMIN, OWNER, PLATFORM_READ, VIEWER, WORKFLOW, Room, Sweep, Tick
from backend.managers.tenant._lifecycle import Certificate
from backend.managers.tenant._password import hash_password
from backend.managers.tenant._plans import Plan, TenantQuotas
from backend.managers.tenant._quotas import QUOTAS, QUOTAS_CHANGED, Quotas
from backend.managers.tenant._roles import Role, Roles
from backend.managers.tenant._usage import Usage
from backend.managers.tenant._values import PRINCIPALS, Tenant
from backend.managers.tenant.errands import MEMBERS, PEOPLE, PLATFORM, RETENTION
from backend.managers.tenant.errors import (
    ConfirmationError,
    LastOwnerError,
    LoginExistsError,
    MemberExistsError,
    MemberNotFoundError,
    PlanBuiltInError,
    PlanInUseError,
    PlanNotFoundError,
    QuotaReachedError,
    RoleTooHighError,
    SlugTakenError,
    SpanTooLongError,
    StockReachedError,
    TenantNeededError,
    TenantNotFoundError,
    TenantStateError,
    TenantSuspendedError,
)
from backend.managers.tenant.manager import Member, Membership, TenantManager, User
from backend.managers.tenant.models import (
    CertificateRow,
    CountRow,
    MembershipRow,
    PlanRow,
    QuotaRow,
    TenantRow,
    UsageHeadRow,
    UsageRow,
    UserRow,
)
from backend.managers.tenant.platform_routes import router as platform_router
from backend.managers.tenant.routes import router
from backend.managers.tenant.settings import TenantSettings
from backend.managers.tenant.usage_routes import router as usage_router

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
    ),
    permissions={
        "member:read": VIEWER,
        "member:write": ADMIN,
        "role:read": VIEWER,
        "owner:write": OWNER,
        "usage:read": VIEWER | WORKFLOW,
    },
    errands=(PLATFORM, MEMBERS, RETENTION),
    events={
        "tenant.created": PLATFORM_READ,
        "tenant.renamed": PLATFORM_READ,
        "tenant.suspended": PLATFORM_READ,
        "tenant.resumed": PLATFORM_READ,
        "tenant.deleted": PLATFORM_READ,
        "tenant.restored": PLATFORM_READ,
        "tenant.purged": PLATFORM_READ,
        "tenant.quotas_changed": PLATFORM_READ,
        "plan.saved": PLATFORM_READ,
        "plan.deleted": PLATFORM_READ,
        "quota.nearing": "usage:read",
        "quota.reached": "usage:read",
        "member.added": "member:read",
        "member.role_changed": "member:read",
        "member.removed": "member:read",
    },
    routers=(router, platform_router, usage_router),
    ticks=(
        Tick("tenant.purge", 60, TenantManager.purge_due),
        Tick("tenant.measure", 600, lambda tenants, database: tenants.usage.measure(database)),
        Tick("tenant.flush", 5, TenantManager.flush, process="api"),
    ),
    sweeps=(Sweep(RETENTION, lambda tenants, tx: tenants.usage.sweep(tx)),),
    consumers=(
        lambda tenants, database: EventConsumer(
            "tenant.usage", partial(tenants.usage.take, database)
        ),
    ),
    stocks={"members": TenantManager.count_members},
    observe=lambda tenants, records: tenants.usage.observe(records),
    serving=TenantManager.serving,
)

__all__ = [
    "MEMBERS",
    "PEOPLE",
    "PLATFORM",
    "PRINCIPALS",
    "QUOTAS",
    "QUOTAS_CHANGED",
    "RETENTION",
    "ROOM",
    "Certificate",
    "ConfirmationError",
    "LastOwnerError",
    "LoginExistsError",
    "Member",
    "MemberExistsError",
    "MemberNotFoundError",
    "Membership",
    "Plan",
    "PlanBuiltInError",
    "PlanInUseError",
    "PlanNotFoundError",
    "QuotaReachedError",
    "Quotas",
    "Role",
    "RoleTooHighError",
    "Roles",
    "SlugTakenError",
    "SpanTooLongError",
    "StockReachedError",
    "Tenant",
    "TenantManager",
    "TenantNeededError",
    "TenantNotFoundError",
    "TenantQuotas",
    "TenantSettings",
    "TenantStateError",
    "TenantSuspendedError",
    "Usage",
    "User",
    "hash_password",
]
