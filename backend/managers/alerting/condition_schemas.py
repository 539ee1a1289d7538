"""Wire types of what rules ask."""

from typing import Annotated, Literal

from pydantic import Field

from backend.http.schemas import Input
from backend.managers.alerting._counting import MAX_COUNT
from backend.managers.alerting._finding import Comparison
from backend.managers.alerting.window_schemas import Zone
from backend.managers.metrics import Aggregate

Matchers = Annotated[
    str, Field(max_length=2000, json_schema_extra={"format": "alertmanager-matchers"})
]
LabelName = Annotated[str, Field(max_length=100, pattern=r"^[a-zA-Z_][a-zA-Z0-9_.]*$")]
LabelValue = Annotated[str, Field(max_length=500)]
Labels = Annotated[
    dict[LabelName, LabelValue],
    Field(max_length=20, json_schema_extra={"additionalProperties": False}),
]
Signal = Annotated[str, Field(max_length=128, pattern="^[a-zA-Z0-9_.:-]+$")]
Metric = Annotated[str, Field(max_length=128, pattern="^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
By = Annotated[list[LabelName], Field(max_length=5)]
Kinds = Annotated[
    list[Annotated[str, Field(max_length=100, pattern=r"^[a-z_]+(\.[a-z_]+)+$")]],
    Field(min_length=1, max_length=20),
]
Whom = Annotated[str, Field(min_length=1, max_length=500)] | None
Where = Annotated[
    dict[LabelName, Annotated[list[LabelValue], Field(min_length=1, max_length=20)]],
    Field(
        max_length=5,
        description="What members of their data are one of, as text",
        json_schema_extra={"additionalProperties": False},
    ),
]
_WINDOW = Field(300, ge=60, le=7 * 86_400, description="Seconds that are looked back")


class MetricConditionModel(Input):
    """A metric over a window, compared with a threshold; with `by` for each set of those labels."""

    kind: Literal["metric"] = Field(examples=["metric"])
    metric: Metric = Field(examples=["orders_total"])
    aggregate: Aggregate = Field(examples=["rate"])
    compare: Comparison = Field(examples=["<"])
    threshold: float = Field(examples=[0.5], allow_inf_nan=False)
    window_seconds: int = _WINDOW
    labels: Labels = Field(default_factory=dict)
    by: By = Field(default_factory=list)
    quantile: float = Field(0.95, ge=0, le=1)


class LogConditionModel(Input):
    """How many log lines there are in a window; `< 1` is that there is none."""

    kind: Literal["log"]
    compare: Comparison
    threshold: int = Field(ge=0, le=100_000)
    window_seconds: int = _WINDOW
    words: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    level: Literal["trace", "debug", "info", "warn", "error", "fatal"] | None = None
    source: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class SloConditionModel(Input):
    """An objective's budget burns: `page` in an hour or six, `ticket` in one or three days."""

    kind: Literal["slo"]
    slo_id: Annotated[str, Field(max_length=36)]
    severity: Literal["page", "ticket"] = "page"


class HeartbeatConditionModel(Input):
    """A signal has not come for too long; before its first it is counted from the rule on."""

    kind: Literal["heartbeat"]
    name: Signal
    within_seconds: int = Field(ge=30, le=31 * 86_400)


class EventConditionModel(Input):
    """How many events there were; with `by` for each subject or actor that had any."""

    kind: Literal["event"]
    kinds: Kinds = Field(description="As the events are called: `job.dead`")
    subject: Whom = None
    by: Literal["subject", "actor"] | None = None
    where: Where = Field(default_factory=dict)
    compare: Comparison
    threshold: int = Field(ge=0, le=MAX_COUNT)
    window_seconds: int = _WINDOW


class AuditConditionModel(Input):
    """How many acts the trail has; with `by` of each actor, or on each target, that has any."""

    kind: Literal["audit"]
    actions: Kinds = Field(description="As the trail calls them: `access.denied`")
    actor: Whom = None
    target: Whom = None
    by: Literal["actor", "target"] | None = None
    where: Where = Field(default_factory=dict)
    compare: Comparison
    threshold: int = Field(ge=0, le=MAX_COUNT)
    window_seconds: int = _WINDOW


class ForecastConditionModel(Input):
    """A metric is foreseen to come to a threshold; with `by` for each set of those labels."""

    kind: Literal["forecast"]
    metric: Metric
    aggregate: Aggregate
    compare: Comparison
    threshold: float = Field(allow_inf_nan=False)
    within_hours: int = Field(24, ge=1, le=336)
    labels: Labels = Field(default_factory=dict)
    by: By = Field(default_factory=list)
    quantile: float = Field(0.95, ge=0, le=1)


class AnomalyConditionModel(Input):
    """The last whole hour of a metric is unusual; with `by` for each set of those labels."""

    kind: Literal["anomaly"]
    metric: Metric
    aggregate: Aggregate
    direction: Literal["any", "above", "below"] = "any"
    labels: Labels = Field(default_factory=dict)
    by: By = Field(default_factory=list)
    quantile: float = Field(0.95, ge=0, le=1)


class PrometheusConditionModel(Input):
    """PromQL; each series that it comes to is something wrong, 100 at most."""

    kind: Literal["prometheus"]
    query: Annotated[str, Field(min_length=1, max_length=5000)]


class TraceConditionModel(Input):
    """Spans a minute, the share that failed (0 to 1), or how many milliseconds they took."""

    kind: Literal["trace"]
    service: Annotated[str, Field(min_length=1, max_length=500)]
    operation: Annotated[str, Field(min_length=1, max_length=500)] | None = None
    measure: Literal["rate", "error_share", "latency"]
    compare: Comparison
    threshold: float = Field(allow_inf_nan=False)
    minutes: int = Field(5, ge=2, le=60)
    quantile: float = Field(0.95, ge=0, le=1)
    by_operation: bool = False


class HealthConditionModel(Input):
    """A part of the platform does not work; null: the platform is not ready; `*`: each part."""

    kind: Literal["health"]
    component: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    needs: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=20)
    ] = Field(
        default_factory=list,
        examples=[["workers"]],
        description="Without a component: parts that count though the platform is ready without",
    )


class LogPatternConditionModel(Input):
    """Log lines came that none before was like."""

    kind: Literal["log_pattern"]
    window_seconds: int = Field(900, ge=300, le=86_400)
    level: Literal["trace", "debug", "info", "warn", "error", "fatal"] | None = "error"
    source: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class ReportConditionModel(Input):
    """What the day before was like, told at an hour of a zone's clocks."""

    kind: Literal["report"]
    at_hour: int = Field(8, ge=0, le=23)
    zone: Zone = "UTC"


class DigestConditionModel(Input):
    """What alerts of a month were like, told on the first of the next by a zone's clocks."""

    kind: Literal["digest"]
    at_hour: int = Field(8, ge=0, le=23)
    zone: Zone = "UTC"


ConditionModel = Annotated[
    MetricConditionModel
    | LogConditionModel
    | SloConditionModel
    | HeartbeatConditionModel
    | EventConditionModel
    | AuditConditionModel
    | ForecastConditionModel
    | AnomalyConditionModel
    | PrometheusConditionModel
    | TraceConditionModel
    | HealthConditionModel
    | LogPatternConditionModel
    | ReportConditionModel
    | DigestConditionModel,
    Field(discriminator="kind"),
]
