"""Invitations, and log-ins known by one key for all spellings of an e-mail address."""

import contextlib
from unicodedata import normalize

import idna
import sqlalchemy as sa
from alembic import op

from backend.core.database import Id, UtcTime
from backend.migrations.row_security import confine
from backend.migrations.tables import create_tenant_table

revision = "20261128_identity_invitations"
down_revision = "20261128_email_named_relays"
branch_labels = None
depends_on = None

_USERS = sa.table(
    "users", sa.column("id", Id()), sa.column("issuer"), sa.column("subject"), sa.column("email")
)


def upgrade() -> None:
    """Create the table; log-ins get the key of their address, unless another one has it already."""
    create_tenant_table(
        "invitations",
        sa.Column("id", Id(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("open_key", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column("by_platform", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("accepted_at", UtcTime(), nullable=True),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitations_token_hash")),
        sa.UniqueConstraint(
            "tenant_id", "open_key", name=op.f("uq_invitations_tenant_id_open_key")
        ),
    )
    op.create_index("ix_invitations_expires_at", "invitations", ["expires_at"])
    confine("invitations")
    bind = op.get_bind()
    known = bind.execute(
        sa.select(_USERS.c.id, _USERS.c.email, _USERS.c.subject).where(_USERS.c.issuer == "local")
    ).all()
    taken = {subject for _, _, subject in known}
    for user_id, email, subject in known:
        key = _key(email)
        if key != subject and key not in taken:
            taken.add(key)
            bind.execute(sa.update(_USERS).where(_USERS.c.id == user_id).values(subject=key))


def downgrade() -> None:
    """Drop the table; log-ins get back the key that they had."""
    bind = op.get_bind()
    for user_id, email, subject in bind.execute(
        sa.select(_USERS.c.id, _USERS.c.email, _USERS.c.subject).where(_USERS.c.issuer == "local")
    ).all():
        if email.casefold() != subject:
            bind.execute(
                sa.update(_USERS).where(_USERS.c.id == user_id).values(subject=email.casefold())
            )
    op.drop_table("invitations")


def _key(email: str) -> str:
    """As the tenant room keyed them when this was released."""
    folded = normalize("NFKC", normalize("NFKC", email.strip()).lower()).lower()
    local, at, domain = folded.rpartition("@")
    if domain and len(domain) <= 253:
        with contextlib.suppress(idna.IDNAError):
            domain = idna.encode(domain, uts46=True).decode()
    return f"{local}{at}{domain}"
