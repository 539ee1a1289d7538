"""Wire types of metrics."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import Input

Days = Annotated[int, Field(ge=2, le=4000)]


class KeepDays(BaseModel):
    """How many days windows of each length stay."""

    seconds_10: int
    minute: int
    minutes_10: int
    hour: int


class MetricSettingsPut(Input):
    """How many days windows of each length stay; longer ones at least as long as shorter ones."""

    seconds_10: Annotated[int, Field(ge=2, le=30)] = Field(2, examples=[2])
    minute: Annotated[int, Field(ge=2, le=180)] = Field(14, examples=[14])
    minutes_10: Annotated[int, Field(ge=2, le=800)] = Field(90, examples=[90])
    hour: Days = Field(400, examples=[400])


class MetricSettingsOut(BaseModel):
    """What holds for the tenant's series."""

    keep_days: KeepDays
    series: int
    max_series: int
    points_today: int
    max_points_a_day: int
    updated_at: datetime | None
    updated_by: str | None


class MetricOut(BaseModel):
    """All series of a name; labels and value are those of the one that was heard of last."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    series: int
    last_at: datetime
    last_labels: dict[str, str]
    last_value: float | None


class MetricSeriesOut(BaseModel):
    """One series, and what it came to since it is there."""

    id: str
    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: dict[str, str]
    created_at: datetime
    last_at: datetime
    observations: int
    total: float
    last_value: float | None


class MetricLineOut(BaseModel):
    """One line; a point is null where nothing was recorded, and `value` is of the whole window."""

    labels: dict[str, str]
    points: list[float | None]
    value: float | None
    points_week_before: list[float | None] | None
    value_week_before: float | None


class MetricLinesOut(BaseModel):
    """Lines, the greatest first: point `n` begins `n * step_seconds` after `start_at`.

    Without a series that matches there is no kind and no line.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"] | None
    aggregate: str
    start_at: datetime
    step_seconds: int
    lines: list[MetricLineOut]
    lines_left_out: int


class MetricHourOut(BaseModel):
    """How one hour is, and why.

    `unknown`: too few hours before it were measured. `not_measured`: nobody can tell.
    """

    at: datetime
    state: Literal["usual", "unusual", "not_measured", "unknown"]
    value: float | None
    usual: float | None
    low: float | None
    high: float | None
    score: float | None
    basis: Literal["hour_of_week", "hour_of_day", "all", "none"]
    samples: int
    sentence: str


class MetricScoredLineOut(BaseModel):
    """One line of hours, with what is usual of each; null where it is not known.

    A score above 1 is unusual; the most is 100.
    """

    labels: dict[str, str]
    points: list[float | None]
    usual: list[float | None]
    low: list[float | None]
    high: list[float | None]
    scores: list[float | None]
    latest: MetricHourOut
    unusual: list[MetricHourOut]
    unusual_left_out: int


class _Analysed(BaseModel):
    name: str
    kind: Literal["counter", "gauge", "histogram"] | None
    aggregate: str
    time_zone: str
    start_at: datetime
    lines_left_out: int


class MetricScoresOut(_Analysed):
    """Lines, the greatest first: point `n` is the hour that begins `n` hours after `start_at`."""

    lines: list[MetricScoredLineOut]


class MetricTrendLineOut(BaseModel):
    """Where one line goes, a day; `steady`: neither up nor down for sure."""

    labels: dict[str, str]
    direction: Literal["rises", "falls", "steady", "not_measured"]
    per_day: float | None
    per_day_low: float | None
    per_day_high: float | None
    basis: Literal["hour_of_week", "hour_of_day", "all", "none"]
    measured_hours: int
    sentence: str


class MetricTrendsOut(_Analysed):
    """Lines, the greatest first; slopes are in `unit`."""

    unit: str
    hours: int
    lines: list[MetricTrendLineOut]


class MetricForecastLineOut(BaseModel):
    """The hours to come of one line; 95 of 100 lie between `low` and `high`."""

    labels: dict[str, str]
    points: list[float | None]
    low: list[float | None]
    high: list[float | None]
    method: Literal["holt_winters", "seasonal_naive_drift", "none"]
    season_hours: int | None
    sentence: str


class MetricForecastsOut(_Analysed):
    """Lines, the greatest first: point `n` is the hour that begins `n` hours after `start_at`."""

    lines: list[MetricForecastLineOut]
