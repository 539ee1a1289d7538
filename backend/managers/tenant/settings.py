"""How long tenants that leave can be called back: read once at start, frozen afterwards."""

from pydantic import BaseModel, ConfigDict, Field


class TenantSettings(BaseModel):
    """Bounds of the tenants' lifecycle."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    deletion_grace_days: float = Field(
        default=30.0,
        gt=0.0,
        le=3650.0,
        description="How long a deleted tenant can be restored before its data goes",
    )
