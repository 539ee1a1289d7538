"""Tables of the security manager. Private: other managers ask the manager."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, TenantOwned


class DataKey(TenantOwned, Base):
    """One tenant's data encryption key, wrapped by the root key."""

    __tablename__ = "data_keys"
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    version: Mapped[int]
    wrapped: Mapped[bytes]
    created_at: Mapped[datetime]

    __table_args__ = (sa.UniqueConstraint("tenant_id", "version"),)
