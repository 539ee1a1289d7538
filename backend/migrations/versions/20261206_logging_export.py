"""How far each tenant's lines have come on their way to Elasticsearch, and those it refused."""

import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_index, create_tenant_table

revision = "20261206_logging_export"
down_revision = "20261205_monitoring_slos"
branch_labels = None
depends_on = None

_COUNTS = ("started_seq", "seq", "sent_seq", "exported", "dead", "forgotten", "lost")


def upgrade() -> None:
    """Create the tables: nothing is exported yet."""
    create_tenant_table(
        "log_exports",
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in _COUNTS),
        sa.Column("retrying", sa.Boolean(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("held_until", UtcTime(), nullable=True),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("next_try_at", UtcTime(), nullable=False),
        sa.Column("delivered_at", UtcTime(), nullable=True),
        sa.Column("refused_seq", sa.BigInteger(), nullable=True),
        sa.Column("refused_since", UtcTime(), nullable=True),
        key=(),
    )
    create_tenant_table(
        "log_dead_letters",
        sa.Column("id", Id(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("document_id", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("retrying", sa.Boolean(), nullable=False),
    )
    create_tenant_index("ix_log_dead_letters_seq", "log_dead_letters", ["seq"], unique=True)
    create_tenant_index(
        "ix_log_dead_letters_retrying",
        "log_dead_letters",
        ["seq"],
        sqlite_where=sa.text("retrying IS 1"),
        postgresql_where=sa.text("retrying IS true"),
    )
    confine("log_exports", "log_dead_letters")


def downgrade() -> None:
    """Drop them: whoever exports again begins with the first line that is there."""
    op.drop_table("log_dead_letters")
    op.drop_table("log_exports")
