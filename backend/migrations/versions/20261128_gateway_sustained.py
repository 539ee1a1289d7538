"""Limits of a caller within a class of routes, a second rate, and what requests of a class cost."""

import sqlalchemy as sa
from alembic import op

revision = "20261128_gateway_sustained"
down_revision = "20261128_identity_mailed_links"
branch_labels = None
depends_on = None

_PLACE = ("tenant_id", "owner", "kind", "name")
_BEFORE = "uq_limits_tenant_id_owner_kind_name"
_NOW = "uq_limits_tenant_id_owner_kind_name_route_class"


def upgrade() -> None:
    """Add the columns; what is there already limits what it did."""
    for name in ("sustained_burst", "sustained_refill", "sustained_seconds", "cost"):
        op.add_column("limits", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("limits", sa.Column("route_class", sa.Text(), nullable=True))
    op.execute("UPDATE limits SET route_class = ''")
    with op.batch_alter_table("limits") as batch:
        batch.alter_column("route_class", existing_type=sa.Text(), nullable=False)
        batch.drop_constraint(op.f(_BEFORE), type_="unique")
        batch.create_unique_constraint(op.f(_NOW), [*_PLACE, "route_class"])


def downgrade() -> None:
    """Delete what says nothing that the code before would know; then drop the columns."""
    op.execute(
        "DELETE FROM limits WHERE route_class != '' OR"
        " requests_burst IS NULL AND bytes_burst IS NULL AND concurrency IS NULL"
    )
    with op.batch_alter_table("limits") as batch:
        batch.drop_constraint(op.f(_NOW), type_="unique")
        batch.create_unique_constraint(op.f(_BEFORE), [*_PLACE])
    for name in ("route_class", "cost", "sustained_seconds", "sustained_refill", "sustained_burst"):
        op.drop_column("limits", name)
