"""Wire types of what a Prometheus is asked."""

from typing import Literal

from pydantic import BaseModel, Field


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
