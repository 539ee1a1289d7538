"""Row-level security on every table but the leases."""

from backend.migrations.row_security import confine, release

revision = "20261127_core_row_security"
down_revision = "20261126_email_retention"
branch_labels = None
depends_on = None

_TABLES = (
    "api_keys",
    "audit_heads",
    "audit_records",
    "authorization_codes",
    "data_keys",
    "email_contents",
    "email_events",
    "email_messages",
    "email_recipients",
    "email_settings",
    "email_suppressions",
    "email_templates",
    "event_cursors",
    "event_heads",
    "events",
    "idempotency_records",
    "job_edges",
    "job_graphs",
    "job_tenants",
    "job_workers",
    "jobs",
    "memberships",
    "metric_rollups",
    "oauth_clients",
    "revoked_tokens",
    "sessions",
    "signing_keys",
    "tenants",
    "users",
)


def upgrade() -> None:
    """Confine them all."""
    confine(*_TABLES)


def downgrade() -> None:
    """Leave tenants apart by the service's own wall alone."""
    release(*_TABLES)
