"""Wire types of traces."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from backend.http.schemas import Input


def _milliseconds(nanoseconds: Any) -> Any:
    return nanoseconds / 1e6 if isinstance(nanoseconds, int) else nanoseconds


def _moment(nanoseconds: Any) -> Any:
    if isinstance(nanoseconds, int):
        return datetime.fromtimestamp(nanoseconds / 1e9, UTC)
    return nanoseconds


Milliseconds = Annotated[float, BeforeValidator(_milliseconds)]
Moment = Annotated[datetime, BeforeValidator(_moment)]


class TraceOut(BaseModel):
    """A kept trace."""

    id: str
    trace_id: str = Field(examples=["4bf92f3577b34da6a3ce929d0e0e4736"])
    service: str
    name: str
    started_at: Moment = Field(validation_alias="started_ns")
    duration_ms: Milliseconds = Field(validation_alias="duration_ns")
    spans: int
    errors: int
    size_bytes: int
    kept_for: str = Field(
        description="error, sampled, slow, first_seen, share, log, or joined to another part"
    )
    workflow_id: str
    execution_id: str
    request_id: str
    created_at: datetime


class SpanOut(BaseModel):
    """A span at its place in the tree; the list is depth first."""

    span_id: str
    parent_id: str
    depth: int
    orphan: bool = Field(description="Its parent was not kept, or has not come")
    service: str
    name: str
    kind: int = Field(description="As in OTLP: 2 server, 3 client, 4 producer, 5 consumer")
    status: int = Field(description="As in OTLP: 2 is an error")
    message: str
    offset_ms: Milliseconds = Field(validation_alias="offset_ns")
    duration_ms: Milliseconds = Field(validation_alias="duration_ns")
    self_ms: Milliseconds = Field(validation_alias="self_ns")
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[dict[str, Any]]
    links: list[dict[str, Any]]


class TraceTreeOut(BaseModel):
    """One trace with its spans."""

    trace: TraceOut
    spans: list[SpanOut]


class DifferenceOut(BaseModel):
    """An operation in two traces; times are what it took by itself."""

    service: str
    name: str
    count: int
    other_count: int
    self_ms: Milliseconds = Field(validation_alias="self_ns")
    other_self_ms: Milliseconds = Field(validation_alias="other_self_ns")


class ComparisonOut(BaseModel):
    """Two traces beside each other, what differs most first."""

    trace: TraceOut
    other: TraceOut
    operations: list[DifferenceOut]


class OperationOut(BaseModel):
    """Rate, errors and duration of an operation, of all its spans."""

    service: str
    name: str
    spans: int
    errors: int
    per_minute: float
    error_rate: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class OperationsOut(BaseModel):
    """The operations of the last minutes, busiest first."""

    minutes: int
    items: list[OperationOut]


class TraceSettingsPut(Input):
    """What the tenant wants kept; null is the operator's."""

    share: float | None = Field(
        None, ge=0, le=1, description="Of unremarkable traces, what is kept", examples=[0.1]
    )
    keep_days: int | None = Field(None, ge=1, le=3650, examples=[14])
    keep_sampled: bool = Field(
        True, description="Keep what a caller's `traceparent` says is sampled"
    )


class TraceCountsOut(BaseModel):
    """What became of today's spans, in UTC; up to a minute old."""

    kept: int
    kept_bytes: int
    kept_by_log: int = Field(description="Of those kept: for a line of a log alone")
    dropped_by_policy: int
    dropped_by_overflow: int
    rejected: int
    forwarded: int = Field(description="Handed on to the operator's collector as well")
    not_forwarded: int = Field(description="It was away, slow or full for so long")


class TraceSettingsOut(BaseModel):
    """What holds, what the tenant said of it, and what came of it today."""

    share: float
    keep_days: int
    keep_sampled: bool
    own_share: float | None
    own_keep_days: int | None
    max_keep_days: int
    updated_at: datetime | None
    updated_by: str | None
    today: TraceCountsOut
