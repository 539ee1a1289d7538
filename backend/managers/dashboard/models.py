"""Tables of the dashboard manager. Private: other managers ask the manager."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.columns import Json
from backend.core.database import Base, Id, TenantOwned


class DashboardRow(TenantOwned, Base):
    """A dashboard as it is now; the platform's own stand under the platform's tenant.

    ``owner`` is whose alone it is, as an actor; empty: everybody's who may read dashboards there.
    """

    __tablename__ = "dashboards"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    owner: Mapped[str]
    name: Mapped[str]
    version: Mapped[int]
    content: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime]
    created_by: Mapped[str]
    updated_at: Mapped[datetime]
    updated_by: Mapped[str]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "owner", "name"),)


class DashboardVersionRow(TenantOwned, Base):
    """What a dashboard was at a version, the one that it is now among them."""

    __tablename__ = "dashboard_versions"
    dashboard_id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    content: Mapped[dict[str, Any]] = mapped_column(Json)
    saved_at: Mapped[datetime]
    saved_by: Mapped[str]
