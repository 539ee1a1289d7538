"""Tables of the metrics manager. Private: other managers ask the manager."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Json, TenantOwned


class RollupRow(TenantOwned, Base):
    """Ten seconds of one tenant's requests as one process saw them."""

    __tablename__ = "metric_rollups"
    window_at: Mapped[datetime] = mapped_column(primary_key=True)
    process: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int]
    errors: Mapped[int]
    refusals: Mapped[int]
    seconds_sum: Mapped[float] = mapped_column(sa.Float)
    buckets: Mapped[list[int]] = mapped_column(Json)

    # The sweep's alone, which spans tenants.
    __table_args__ = (sa.Index("ix_metric_rollups_window_at", "window_at"),)
