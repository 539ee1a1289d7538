"""Channels that are not told of the end."""

import sqlalchemy as sa
from alembic import op

revision = "20261219_alerting_send_resolved"
down_revision = "20261218_alerting_handover"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add whether a channel is told that an alert is over; what there is stays told."""
    op.add_column(
        "alert_channels",
        sa.Column("send_resolved", sa.Boolean(), nullable=False, server_default=sa.true()),
    )


def downgrade() -> None:
    """Drop it: all are told again."""
    op.drop_column("alert_channels", "send_resolved")
