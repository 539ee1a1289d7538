"""How a worker paces itself: read once at start, frozen afterwards."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class OrchestratorSettings(BaseModel):
    """Bounds are those at which the recovery rules still hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrency: int = Field(default=125, ge=1, le=5000, description="Jobs one worker runs at once")
    tenant_share: float = Field(
        default=0.8,
        gt=0.0,
        le=1.0,
        description="Share of a worker's places that one tenant alone may hold; 1: all of them",
    )
    ttl_seconds: float = Field(
        default=6.0, ge=1.0, le=600.0, description="Silence after which a worker counts as dead"
    )
    beat_seconds: float = Field(default=2.0, ge=0.1, le=60.0, description="Between heartbeats")
    poll_seconds: float = Field(
        default=0.5, ge=0.01, le=60.0, description="Between looks for work when no hint arrives"
    )
    grace_seconds: float = Field(
        default=20.0, ge=0.0, le=600.0, description="What running jobs get to end at a stop"
    )
    children: int = Field(
        default=2, ge=1, le=64, description="Child processes one worker runs blocking jobs in"
    )
    keep_finished_days: int = Field(
        default=30, ge=1, le=3650, description="How long finished jobs are kept"
    )

    graph_bytes: int = Field(
        default=8 * 2**20,
        ge=2**20,
        le=32 * 2**20,
        description="Largest graph of jobs that is submitted, as JSON",
    )
    allow_private_targets: bool = Field(
        default=False, description="Whether jobs of tenants may ask private and local addresses"
    )

    @model_validator(mode="after")
    def _beat_within_the_lease(self) -> Self:
        if self.beat_seconds * 2 > self.ttl_seconds:
            msg = "beat_seconds must be at most half of ttl_seconds: one beat may be late"
            raise ValueError(msg)
        return self
