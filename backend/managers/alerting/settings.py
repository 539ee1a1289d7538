"""Bounds of alerting; read once at start, frozen afterwards."""

from pydantic import BaseModel, ConfigDict, Field


class AlertingSettings(BaseModel):
    """Of every tenant alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow_private_channels: bool = Field(
        False,
        description="Let channels lead into the platform's own network, and by http.",
    )
    console_url: str = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description="Where the console is; messages lead to an alert's page there. Empty: nowhere.",
    )
    keep_days: int = Field(400, ge=1, le=3650, description="Alerts are kept after they were over.")
