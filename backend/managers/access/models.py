"""Tables of access reviews. Private: other managers ask the manager."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, Json, TenantOwned

_OPEN: Final = sa.and_(
    sa.column("closed_at", sa.DateTime).is_(None),
    sa.column("overdue_told_at", sa.DateTime).is_(None),
)


class ReviewRow(TenantOwned, Base):
    """One look at who holds what in a tenant."""

    __tablename__ = "access_reviews"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    name: Mapped[str]
    due_at: Mapped[datetime]
    created_by: Mapped[str]
    created_at: Mapped[datetime]
    closed_by: Mapped[str | None]
    closed_at: Mapped[datetime | None]
    overdue_told_at: Mapped[datetime | None]

    # Of all tenants' the few that nobody has closed are looked at every minute.
    __table_args__ = (
        sa.Index(
            "ix_access_reviews_open",
            "due_at",
            sqlite_where=_OPEN,
            postgresql_where=_OPEN,
        ),
    )


class ReviewLineRow(TenantOwned, Base):
    """What one of them held when the review began, and what was decided of it."""

    __tablename__ = "access_review_lines"
    review_id: Mapped[str] = mapped_column(Id, primary_key=True)
    subject: Mapped[str] = mapped_column(primary_key=True)
    holder_id: Mapped[str] = mapped_column(Id)
    name: Mapped[str]
    role: Mapped[str]
    permissions: Mapped[list[str]] = mapped_column(Json)
    last_used_at: Mapped[datetime | None]
    decision: Mapped[str | None]
    decided_by: Mapped[str | None]
    decided_at: Mapped[datetime | None]
