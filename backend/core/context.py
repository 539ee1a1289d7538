"""Who is asking, how far they may see, and the ids that tie their traces together."""

from dataclasses import dataclass, field
from typing import Final

from backend.core.ids import PLATFORM_TENANT


@dataclass(frozen=True, slots=True)
class Principal:
    """A verified caller, bound to exactly one tenant.

    ``subject`` is the stable id in audit rows: ``user:<uuid>``, ``client:<client id>`` or
    ``api_key:<uuid>``.
    """

    subject: str
    kind: str
    tenant_id: str
    permissions: frozenset[str]
    name: str = ""
    role: str = ""
    platform_admin: bool = False
    expires_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Scope:
    """The rows one transaction may touch: those of ``tenant_id`` and no others."""

    actor: str
    tenant_id: str
    request_id: str = ""
    traceparent: str = ""


SYSTEM_TABLES: Final[dict[str, frozenset[str]]] = {
    "sequencer": frozenset({"audit_records", "audit_heads", "events", "event_heads"}),
    "events": frozenset({"events", "event_heads", "event_cursors"}),
    "authenticate": frozenset(
        {
            "users",
            "memberships",
            "tenants",
            "oauth_clients",
            "api_keys",
            "signing_keys",
            "sessions",
            "authorization_codes",
            "data_keys",
            "audit_records",
            "events",
            "revoked_tokens",
        }
    ),
    "platform": frozenset(
        {
            "tenants",
            "users",
            "memberships",
            "data_keys",
            "audit_records",
            "audit_heads",
            "events",
            "oauth_clients",
            "signing_keys",
            "idempotency_records",
        }
    ),
    "members": frozenset(
        {
            "tenants",
            "users",
            "memberships",
            "data_keys",
            "audit_records",
            "events",
            "idempotency_records",
        }
    ),
    "worker": frozenset(
        {
            "jobs",
            "job_graphs",
            "job_edges",
            "job_tenants",
            "job_workers",
            "email_messages",
            "email_recipients",
            "email_events",
            "events",
        }
    ),
    "metrics": frozenset({"metric_rollups"}),
    "retention": frozenset(
        {
            "idempotency_records",
            "sessions",
            "authorization_codes",
            "metric_rollups",
            "revoked_tokens",
            "jobs",
        }
    ),
    "readiness": frozenset({"jobs", "audit_records", "events", "event_heads", "event_cursors"}),
}
"""Every errand that spans tenants, and the only tables it may touch. Keep it short."""


@dataclass(frozen=True, slots=True)
class SystemScope:
    """Work of the platform itself across tenants, limited to the tables its errand lists."""

    errand: str
    actor: str = "system"
    request_id: str = ""
    traceparent: str = ""
    tenant_id: str = PLATFORM_TENANT
    tables: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tables", SYSTEM_TABLES[self.errand])


AnyScope = Scope | SystemScope
