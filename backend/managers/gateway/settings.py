"""Limits of the gate, and how long it remembers."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr

MOST_KEPT_SECONDS: Final = 2_592_000
"""No answer is kept for longer, whatever is configured."""


class GatewaySettings(BaseModel):
    """Every value has a default that suits one machine; each is one environment variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idempotency_seconds: int = Field(
        86_400,
        ge=60,
        le=MOST_KEPT_SECONDS,
        description="How long an Idempotency-Key is remembered.",
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
    tenant_bytes_per_second: int = Field(
        50_000_000, ge=1024, le=10**12, description="Known callers: bytes of bodies per tenant."
    )
    tenant_burst_bytes: int = Field(
        500_000_000, ge=1024, le=10**13, description="Known callers: bytes at once per tenant."
    )
    tenant_concurrent_requests: int = Field(
        500, ge=1, le=1_000_000, description="Known callers: requests under way per tenant."
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


class RedisSettings(BaseModel):
    """Limits that all processes of a fleet count together."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: SecretStr | None = Field(
        None, description="redis:// or rediss:// of one server; unset: each process counts alone."
    )
    prefix: str = Field("email-sender:", description="Of every key; one for each installation.")
    timeout_seconds: float = Field(
        0.1, gt=0, le=5, description="After this long Redis counts as away."
    )
    processes: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="While Redis is away each process has this part of every limit; unset: as "
        "many parts as processes were last seen.",
    )
