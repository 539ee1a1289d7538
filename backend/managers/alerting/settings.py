"""Bounds of alerting; read once at start, frozen afterwards."""

from pydantic import BaseModel, ConfigDict, Field


class AlertingSettings(BaseModel):
    """Of every tenant alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keep_days: int = Field(400, ge=1, le=3650, description="Alerts are kept after they were over.")
