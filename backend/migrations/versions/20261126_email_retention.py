"""Contents in a table of their own, and how long a tenant keeps its mail.

Moving them writes every content once: as long as copying them takes, and as much disk.
"""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id
from backend.migrations.tables import create_tenant_table

revision = "20261126_email_retention"
down_revision = "20261126_orchestrator_forgiven"
branch_labels = None
depends_on = None

_DAYS = ("keep_content_days", "keep_days")


def upgrade() -> None:
    """Move the contents."""
    create_tenant_table(
        "email_contents",
        sa.Column("email_id", Id(), nullable=False),
        sa.Column("sealed_content", sa.LargeBinary(), nullable=False),
        key=["email_id"],
    )
    op.execute(
        "INSERT INTO email_contents (tenant_id, email_id, sealed_content) "
        "SELECT tenant_id, id, sealed_content FROM email_messages ORDER BY tenant_id, id"
    )
    op.drop_column("email_messages", "sealed_content")
    for name in _DAYS:
        op.add_column("email_settings", sa.Column(name, sa.Integer(), nullable=True))


def downgrade() -> None:
    """Move them back; what is forgotten stays so, and its message has an empty one."""
    for name in _DAYS:
        op.drop_column("email_settings", name)
    op.add_column(
        "email_messages",
        sa.Column("sealed_content", sa.LargeBinary(), nullable=False, server_default=""),
    )
    op.execute(
        "UPDATE email_messages SET sealed_content = email_contents.sealed_content "
        "FROM email_contents WHERE email_contents.tenant_id = email_messages.tenant_id "
        "AND email_contents.email_id = email_messages.id"
    )
    op.drop_table("email_contents")
