"""Limits of the gate, and how long it remembers."""

from pydantic import BaseModel, ConfigDict, Field


class GatewaySettings(BaseModel):
    """Every value has a default that suits one machine; each is one environment variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idempotency_seconds: int = Field(
        86_400, ge=60, le=2_592_000, description="How long an Idempotency-Key is remembered."
    )

    principal_cache_seconds: int = Field(
        60, ge=1, le=300, description="After this long a verified credential is looked at again."
    )
    principal_cache_entries: int = Field(
        50_000, ge=100, description="Verified credentials kept in memory per process."
    )
    refused_cache_seconds: int = Field(
        10, ge=1, le=60, description="How long a refused credential is refused without looking."
    )
    refused_cache_entries: int = Field(
        20_000, ge=100, description="Refused credentials kept in memory per process."
    )

    coarse_requests_per_second: float = Field(
        50, gt=0, le=1_000_000, description="Unknown callers: rate per address."
    )
    coarse_burst_requests: int = Field(
        200, ge=1, le=10_000_000, description="Unknown callers: burst per address."
    )
    tenant_requests_per_second: float = Field(
        2000, gt=0, le=1_000_000, description="Known callers: rate per tenant."
    )
    tenant_burst_requests: int = Field(
        4000, ge=1, le=10_000_000, description="Known callers: burst per tenant."
    )
    client_requests_per_second: float = Field(
        500, gt=0, le=1_000_000, description="Known callers: rate per client, key or user."
    )
    client_burst_requests: int = Field(
        1000, ge=1, le=10_000_000, description="Known callers: burst per client, key or user."
    )
    introspect_requests_per_second: float = Field(
        500, gt=0, le=1_000_000, description="Token introspection: rate per caller."
    )
    introspect_burst_requests: int = Field(
        1000, ge=1, le=10_000_000, description="Token introspection: burst per caller."
    )
    other_requests_per_second: float = Field(
        250, gt=0, le=1_000_000, description="Every other route: rate per caller."
    )
    other_burst_requests: int = Field(
        500, ge=1, le=10_000_000, description="Every other route: burst per caller."
    )
