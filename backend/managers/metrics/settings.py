"""Bounds of what tenants may record; read once at start, frozen afterwards."""

from pydantic import BaseModel, ConfigDict, Field


class MetricsSettings(BaseModel):
    """Of every tenant alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    series_per_tenant: int = Field(
        10_000, ge=1, le=1_000_000, description="Series of one tenant; more are refused."
    )
    labels_per_series: int = Field(16, ge=0, le=64, description="Labels of one series.")
    label_characters: int = Field(200, ge=1, le=2000, description="Characters of a label's value.")
    day_points: int = Field(
        50_000_000, ge=1, description="Observations that one tenant may record a day, UTC."
    )
