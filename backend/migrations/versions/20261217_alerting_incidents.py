"""Incidents, which alerts are part of them, and of which nobody was told for a silence."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261217_alerting_incidents"
down_revision = "20261216_alerting_telling"
branch_labels = None
depends_on = None

TABLES = ("alert_incidents", "alert_incident_alerts")


def upgrade() -> None:
    """Create the tables, and add a column that is empty for what there is."""
    op.add_column("alert_records", sa.Column("silenced_at", UtcTime(), nullable=True))
    create_tenant_table(
        "alert_incidents",
        sa.Column("id", Id(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("title", "severity", "summary", "cause", "follow_up", "created_by")
        ),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("lead", "key", "ended_by")),
        *(sa.Column(name, UtcTime(), nullable=False) for name in ("started_at", "joins_until")),
        sa.Column("ended_at", UtcTime(), nullable=True),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("alerts", "firing", "revision")
        ),
    )
    create_tenant_table(
        "alert_incident_alerts",
        sa.Column("alert_id", Id(), nullable=False),
        sa.Column("incident_id", Id(), nullable=False),
        key=("alert_id",),
    )
    still_open = "ended_at IS NULL AND key IS NOT NULL"
    create_tenant_index(
        "uq_alert_incidents_open",
        "alert_incidents",
        ["key"],
        unique=True,
        sqlite_where=sa.text(still_open),
        postgresql_where=sa.text(still_open),
    )
    for name, columns in (("key", ["key", "id"]), ("ended_at", ["ended_at"])):
        create_tenant_index(f"ix_alert_incidents_{name}", "alert_incidents", columns)
    create_tenant_index(
        "ix_alert_incident_alerts_incident_id",
        "alert_incident_alerts",
        ["incident_id", "alert_id"],
    )
    confine(*TABLES)


def downgrade() -> None:
    """Drop them."""
    for table in reversed(TABLES):
        op.drop_table(table)
    op.drop_column("alert_records", "silenced_at")
