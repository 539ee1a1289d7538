"""Tables of the monitoring manager. Private: other managers ask the manager."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from backend.core.database import Base, TenantOwned


class HealthSampleRow(TenantOwned, Base):
    """A minute or an hour of looks at the platform's health, of all processes together.

    The row without a name is of the whole: ``looked`` times, of which ``impaired`` found something
    wrong that is not required, and ``failed`` something that is. A row with a name is of one check
    and there only if it failed: ``failed`` times, ``detail`` being what it said last.
    """

    __tablename__ = "health_samples"
    step_seconds: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    looked: Mapped[int]
    impaired: Mapped[int]
    failed: Mapped[int]
    detail: Mapped[str | None]
