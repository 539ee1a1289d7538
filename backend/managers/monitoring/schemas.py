"""Wire types of objectives and of what a Prometheus is asked."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import PRINTED, Input, Name, Time

State = Literal["met", "at_risk", "missed", "not_measured"]
Kind = Literal["availability", "latency", "success", "freshness"]
_METRIC = "^[a-zA-Z_:][a-zA-Z0-9_:]*$"
MetricName = Annotated[str, Field(max_length=128, pattern=_METRIC)]


class SloPut(Input):
    """What is promised. What the kind does not need is left out.

    `availability`: API requests that the platform serves (no 5xx). `latency`: those that last
    `within_ms` at most. `success`: what ends well of `of`: `emails`, `jobs`, or `metric`, which is
    the counter `good_metric` of the counter `metric`. `freshness`: looks, one a minute, at which
    `metric` was recorded in the last `within_seconds`.
    """

    name: Name = Field(examples=["Requests are served"])
    kind: Kind = Field(examples=["availability"])
    objective: float = Field(
        gt=0, lt=1, le=0.99999, ge=0.01, examples=[0.999], description="Share that has to be good"
    )
    window_days: Literal[7, 28, 30, 90] = Field(30, examples=[30])
    of: Annotated[str, Field(max_length=40, pattern="^[a-z][a-z_]*$")] | None = None
    metric: MetricName | None = None
    good_metric: MetricName | None = None
    within_ms: float | None = Field(None, ge=1, le=40_000)
    within_seconds: float | None = Field(None, ge=60, le=7 * 86_400)


class SloOut(BaseModel):
    """An objective and how it stands. What is not measured is not met."""

    id: str
    name: str
    kind: Kind
    objective: float
    window_days: int
    of: str | None
    metric: str | None
    good_metric: str | None
    within_ms: float | None
    within_seconds: float | None
    state: State
    reason: str = Field(description="A sentence; empty when it is met")
    since: datetime | None = Field(description="From when on it is not measured")
    value: float | None = Field(description="Share that was good; null: nothing happened")
    value_before: float | None = Field(description="In the window before")
    good: int
    total: int
    budget_left: float | None = Field(description="Share of the error budget; below 0: overspent")
    measured_until: datetime | None
    created_at: datetime
    created_by: str
    updated_at: datetime
    version: str = Field(description="Goes into If-Match as the ETag does")


class BurnOut(BaseModel):
    """A pair of windows; 1 spends the budget exactly by the end of the objective's window."""

    severity: Literal["page", "ticket"]
    short_seconds: int
    long_seconds: int
    short_rate: float | None
    long_rate: float | None
    threshold: float
    burning: bool = Field(description="Both rates are at the threshold, and that is no chance")


class SloDayOut(BaseModel):
    """A day of the window; without a value nothing happened."""

    at: datetime
    value: float | None
    total: int


class BudgetOut(BaseModel):
    """What may go wrong of what happened, and what did."""

    allowed: float
    spent: int
    left: float | None


class SloDetailOut(SloOut):
    """The same with its budget, burn rates and days."""

    budget: BudgetOut
    burns: list[BurnOut]
    days: list[SloDayOut]


class EvidenceCreate(Input):
    """What a drill, a benchmark or a review found."""

    kind: Literal["throughput", "failover", "recovery", "security_incidents"] = Field(
        examples=["failover"],
        description="In requests/s, seconds, seconds, and incidents since the review before",
    )
    value: float = Field(ge=0, le=1e9, examples=[12.5])
    at: Time = Field(examples=["2026-11-20T09:30:00Z"], description="When it was found")
    source: Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTED)] = Field(
        examples=["scripts/drill failover"]
    )
    note: Annotated[str, Field(max_length=1000)] = Field("", examples=["two API processes"])


class SloEvidenceOut(BaseModel):
    """What was found, and who recorded it."""

    id: str
    kind: Literal["throughput", "failover", "recovery", "security_incidents"]
    value: float
    at: datetime
    source: str
    note: str
    created_at: datetime
    created_by: str


class PlatformSloOut(BaseModel):
    """One of the platform's own objectives."""

    id: str
    name: str
    target: str
    unit: str = Field(description="Of the values: `share`, or what evidence is in")
    state: State
    reason: str = Field(description="A sentence; empty when it is met")
    since: datetime | None = Field(description="From when on it is not measured")
    value: float | None
    value_before: float | None = Field(description="In the window before, or found before")
    window_days: int | None = Field(description="Null where evidence decides")
    good: int | None
    total: int | None
    budget_left: float | None
    measured_until: datetime | None
    evidence: SloEvidenceOut | None


class PlatformSlosOut(BaseModel):
    """All of them, in the order in which they are shown."""

    items: list[PlatformSloOut]


class PlatformSloDetailOut(PlatformSloOut):
    """The same with burn rates and days, where it is counted."""

    burns: list[BurnOut]
    days: list[SloDayOut]


class PrometheusQueryPut(Input):
    """A query that is kept, and what people call it."""

    name: Name = Field(examples=["Orders by shop"])
    query: Annotated[str, Field(max_length=4000, pattern=r"\S")] = Field(
        examples=["sum by (shop) (rate(orders_total[5m]))"],
        description="PromQL, as it was written: it is read when it is asked",
    )


class PrometheusQueryOut(BaseModel):
    """A query that is kept."""

    id: str
    name: str
    query: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class SampleLineOut(BaseModel):
    """One series: `values[n]` was at `times[n]`."""

    labels: dict[str, str] = Field(description="Empty for a number or a text of no series")
    times: list[float] = Field(description="Seconds since 1970, UTC")
    values: list[str] = Field(description="As Prometheus writes them; also `NaN`, `+Inf`, `-Inf`")
    histograms: int = Field(description="Native histograms among its samples, which are left out")


class SamplesOut(BaseModel):
    """What a query came to at one moment."""

    lines: list[SampleLineOut]
    warnings: list[str] = Field(description="What Prometheus says may be missing or wrong")


class SampleRangeOut(SamplesOut):
    """What a query came to at each step of a window; a step without a value is not there."""

    step_seconds: float


class SeriesLabelsOut(BaseModel):
    """A series that had a sample in the window."""

    labels: dict[str, str]


class LabelNamesOut(BaseModel):
    """Names of labels, or values of one, sorted; 10 000 at most."""

    items: list[str]


class ScrapeTargetOut(BaseModel):
    """What Prometheus scrapes."""

    job: str
    health: Literal["up", "down", "unknown"]
    labels: dict[str, str]
    scraped_at: str | None = Field(description="RFC 3339; null: never yet")
    seconds: float = Field(description="How long the last time took")
    url: str | None = Field(description="Null where only the platform may know")
    error: str | None = Field(description="Why it is down; null where only the platform may know")


class PrometheusAlertOut(BaseModel):
    """A rule that holds for a set of labels."""

    labels: dict[str, str]
    annotations: dict[str, str] = Field(description="Empty where only the platform may know")
    state: Literal["pending", "firing"]
    since: str | None = Field(description="RFC 3339")


class PrometheusRuleOut(BaseModel):
    """A recording or alerting rule of the Prometheus."""

    group: str
    name: str
    kind: Literal["recording", "alerting"]
    health: str = Field(description="`ok`, `err` or `unknown`")
    state: Literal["inactive", "pending", "firing"] | None = Field(
        description="By the alerts that are shown; null of a recording rule"
    )
    query: str | None = Field(description="Null where only the platform may know")
    labels: dict[str, str]
    alerts: list[PrometheusAlertOut]
