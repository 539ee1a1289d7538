"""Bounds of traces: read once at start, frozen afterwards."""

from pydantic import BaseModel, ConfigDict, Field


class TracingSettings(BaseModel):
    """Every value has a default that suits one machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_limit_bytes: int = Field(
        4 * 2**20, ge=1024, le=2**26, description="Body of an export by OTLP, as it is sent."
    )
    inflated_limit_bytes: int = Field(
        8 * 2**20, ge=1024, le=2**27, description="The same, once gzip is undone."
    )
    export_spans: int = Field(
        10_000, ge=1, le=1_000_000, description="Spans of one export; the rest are rejected."
    )
    requests_per_second: float = Field(
        50, gt=0, le=1_000_000, description="Exports by OTLP: rate per caller."
    )
    burst_requests: int = Field(
        200, ge=1, le=10_000_000, description="Exports by OTLP: burst per caller."
    )
    settle_seconds: float = Field(
        5, ge=0, description="A trace of which nothing has come for so long is decided on."
    )
    longest_wait_seconds: float = Field(
        30, ge=0, description="What has come of a trace waits so long at most."
    )
    trace_spans: int = Field(2000, ge=1, le=20_000, description="Spans kept of one trace.")
    trace_bytes: int = Field(4 * 2**20, ge=1024, description="Bytes kept of one trace.")
    waiting_bytes: int = Field(
        16 * 2**20, ge=1024, description="Bytes of one tenant's spans that a process holds."
    )
    all_waiting_bytes: int = Field(
        64 * 2**20,
        ge=1024,
        description="Bytes of all tenants' spans that a process holds; one gets half at most.",
    )
    day_spans: int = Field(1_000_000, ge=1, description="Spans kept of one tenant on one day.")
    day_bytes: int = Field(2**30, ge=1024, description="Bytes kept of one tenant on one day.")
    forward_endpoint: str | None = Field(
        None,
        description="Where spans that come in are sent as well, by OTLP/HTTP with its path, for "
        "example http://collector:4318/v1/traces.",
    )
    forward_waiting_bytes: int = Field(
        16 * 2**20,
        ge=2**16,
        description="Bytes that wait for it in a process; of one tenant a quarter of that.",
    )
    share: float = Field(
        0.05, ge=0, le=1, description="Of unremarkable traces, what is kept; a tenant may say else."
    )
    keep_days: int = Field(
        7, ge=1, le=365, description="Traces go after so long; a tenant may say otherwise."
    )
    max_keep_days: int = Field(90, ge=1, le=3650, description="What a tenant may ask for.")
