"""On-call schedules that tell people when they begin and end."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import UtcTime
from backend.migrations.tables import create_tenant_index

revision = "20261218_alerting_handover"
down_revision = "20261218_webhooks"
branch_labels = None
depends_on = None

_INDEX = "ix_on_call_schedules_handover_due_at"


def upgrade() -> None:
    """Add who was on call at the last look, and when the next one is: none, for what there is."""
    for column in (
        sa.Column("announce_handover", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("handover_due_at", UtcTime(), nullable=True),
        sa.Column("handed_to", sa.Text(), nullable=True),
        sa.Column("handovers", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
    ):
        op.add_column("on_call_schedules", column)
    create_tenant_index(_INDEX, "on_call_schedules", ["handover_due_at"])


def downgrade() -> None:
    """Drop them: nobody is told of turns any more."""
    op.drop_index(_INDEX, "on_call_schedules")
    for name in ("handovers", "handed_to", "handover_due_at", "announce_handover"):
        op.drop_column("on_call_schedules", name)
