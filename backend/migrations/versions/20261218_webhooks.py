"""Programs that are told of events, and what was tried."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, Json, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261218_webhooks"
down_revision = "20261217_alerting_incidents"
branch_labels = None
depends_on = None

TABLES = ("webhook_endpoints", "webhook_deliveries")


def upgrade() -> None:
    """Create the tables."""
    create_tenant_table(
        "webhook_endpoints",
        sa.Column("id", Id(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("name", "host", "subject", "created_by", "updated_by")
        ),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("stopped_why", "last_error")),
        sa.Column("sealed_target", sa.LargeBinary(), nullable=False),
        sa.Column("kinds", Json, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("key_version", "seq", "fence", "failures", "revision")
        ),
        *(
            sa.Column(name, UtcTime(), nullable=False)
            for name in ("next_try_at", "created_at", "updated_at")
        ),
        *(
            sa.Column(name, UtcTime(), nullable=True)
            for name in ("previous_until", "held_until", "failing_since", "delivered_at")
        ),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_webhook_endpoints_tenant_id_name")),
    )
    create_tenant_table(
        "webhook_deliveries",
        *(sa.Column(name, Id(), nullable=False) for name in ("webhook_id", "id", "event_id")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("kind", "subject", "outcome")),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("seq", "attempt", "milliseconds")
        ),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        key=("webhook_id", "id"),
    )
    create_tenant_index("ix_webhook_endpoints_next_try_at", "webhook_endpoints", ["next_try_at"])
    create_tenant_index("ix_webhook_deliveries_id", "webhook_deliveries", ["id"])
    failed = sa.column("error").is_not(None)
    create_tenant_index(
        "ix_webhook_deliveries_failed",
        "webhook_deliveries",
        ["webhook_id", "id"],
        sqlite_where=failed,
        postgresql_where=failed,
    )
    confine(*TABLES)


def downgrade() -> None:
    """Drop them."""
    for table in reversed(TABLES):
        op.drop_table(table)
