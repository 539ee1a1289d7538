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
    updated_at: datetime | None
    updated_by: str | None


class MetricOut(BaseModel):
    """All series of a name."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    series: int
    last_at: datetime


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
