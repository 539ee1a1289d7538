"""Tables of the compliance manager. Private: other managers ask the manager."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, Id, TenantOwned


class ErasureRow(TenantOwned, Base):
    """That a person was erased; ``statement`` is signed, and tells of nobody by name.

    ``subject`` is the name that the audit trail has of them, ``also`` the other one if it has two.

    """

    __tablename__ = "erasures"
    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True)
    id: Mapped[str] = mapped_column(Id, primary_key=True)
    subject: Mapped[str]
    also: Mapped[str | None]
    erased_at: Mapped[datetime]
    erased_by: Mapped[str]
    statement: Mapped[str]
    signature: Mapped[str]
    key_id: Mapped[str]
