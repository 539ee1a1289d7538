"""Jobs, graphs and messages without a key to be unique by are in no index of such keys."""

from backend.migrations.tables import unique_always, unique_where

revision = "20261230_unique_keys"
down_revision = "20261228_job_subjects"
branch_labels = None
depends_on = None

_KEYS = {
    "jobs": ("kind", "dedup_key"),
    "job_graphs": ("dedup_key",),
    "email_messages": ("business_key",),
}


def upgrade() -> None:
    """Hold those that have one to it."""
    for table, columns in _KEYS.items():
        unique_where(table, _name(table, columns), columns)


def downgrade() -> None:
    """Have the others in the index again."""
    for table, columns in _KEYS.items():
        unique_always(table, _name(table, columns), columns)


def _name(table: str, columns: tuple[str, ...]) -> str:
    return f"uq_{table}_tenant_id_{'_'.join(columns)}"
