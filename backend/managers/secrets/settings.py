"""Bounds of secrets: read once at start, frozen afterwards."""

from pydantic import BaseModel, ConfigDict, Field


class SecretsSettings(BaseModel):
    """Every value has a default that suits one machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_limit_bytes: int = Field(
        256 * 1024, ge=1024, le=2**20, description="Request body of the routes of secrets."
    )
    requests_per_second: float = Field(
        100, gt=0, le=1_000_000, description="Routes of secrets: rate per caller."
    )
    burst_requests: int = Field(
        300, ge=1, le=10_000_000, description="Routes of secrets: burst per caller."
    )
    token_keep_seconds: int = Field(
        86_400,
        ge=0,
        le=2_592_000,
        description="How long a token that is over is known, and answered as spent.",
    )
