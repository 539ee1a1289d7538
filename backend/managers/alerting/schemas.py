"""Wire types of alert rules and alerts."""

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import PRINTED, Input
from backend.managers.alerting._conditions import Comparison, read_condition
from backend.managers.alerting._raised import Raised
from backend.managers.alerting._rules import RuleDraft
from backend.managers.metrics import Aggregate

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTED)]
Severity = Literal["critical", "warning", "info"]
NoData = Literal["keep", "fire", "resolve"]
AlertState = Literal["waiting", "firing", "over"]
LabelName = Annotated[str, Field(max_length=100, pattern=r"^[a-zA-Z_][a-zA-Z0-9_.]*$")]
LabelValue = Annotated[str, Field(max_length=500)]
Labels = Annotated[
    dict[LabelName, LabelValue],
    Field(max_length=20, json_schema_extra={"additionalProperties": False}),
]
Signal = Annotated[str, Field(max_length=128, pattern="^[a-zA-Z0-9_.:-]+$")]
Text = Annotated[str, Field(max_length=2000)]
RunbookUrl = Annotated[str, Field(max_length=500, pattern="^(https?://[^\\s]+)?$")]
_WINDOW = Field(300, ge=60, le=7 * 86_400, description="Seconds that are looked back")


class MetricConditionModel(Input):
    """A metric over a window, compared with a threshold; with `by` for each set of those labels."""

    kind: Literal["metric"] = Field(examples=["metric"])
    metric: Annotated[str, Field(max_length=128, pattern="^[a-zA-Z_:][a-zA-Z0-9_:]*$")] = Field(
        examples=["orders_total"]
    )
    aggregate: Aggregate = Field(examples=["rate"])
    compare: Comparison = Field(examples=["<"])
    threshold: float = Field(examples=[0.5], allow_inf_nan=False)
    window_seconds: int = _WINDOW
    labels: Labels = Field(default_factory=dict)
    by: Annotated[list[LabelName], Field(max_length=5)] = Field(default_factory=list)
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


ConditionModel = Annotated[
    MetricConditionModel | LogConditionModel | SloConditionModel | HeartbeatConditionModel,
    Field(discriminator="kind"),
]


class AlertRulePut(Input):
    """What somebody wants to be told of."""

    name: Name = Field(examples=["Orders have stopped"])
    condition: ConditionModel = Field(
        examples=[{
            "kind": "metric", "metric": "orders_total", "aggregate": "rate", "compare": "<",
            "threshold": 0.5,
        }]
    )  # fmt: skip
    severity: Severity = Field(examples=["warning"])
    hold_seconds: int = Field(0, ge=0, le=7 * 86_400, description="It has to hold before it fires")
    clear_seconds: int = Field(0, ge=0, le=7 * 86_400, description="And be gone before it is over")
    every_seconds: int = Field(60, ge=10, le=3600, description="Between two looks")
    no_data: NoData = Field("keep", description="What becomes of alerts while nothing is measured")
    labels: Labels = Field(default_factory=dict, description="That its alerts have besides")
    summary: Text = Field(
        "{text}", description="What people are told: `{value}`, `{text}` and `{<label>}` filled in"
    )
    runbook_url: RunbookUrl = ""
    enabled: bool = True

    def draft(self) -> RuleDraft:
        """As the rules have it."""
        said = self.model_dump(exclude={"condition"})
        return RuleDraft(condition=read_condition(self.condition.model_dump()), **said)


class AlertRuleOut(BaseModel):
    """A rule and whether it can be looked at."""

    id: str
    name: str
    condition: dict[str, Any]
    severity: Severity
    hold_seconds: int
    clear_seconds: int
    every_seconds: int
    no_data: NoData
    labels: dict[str, str]
    summary: str
    runbook_url: str
    enabled: bool
    version: str = Field(description="Goes into If-Match as the ETag does")
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str
    looked_at: datetime | None = Field(description="The last look; null: there was none yet")
    problem: str | None = Field(description="Why the last look could measure nothing")
    problem_since: datetime | None


class AlertOut(BaseModel):
    """One time that something was wrong."""

    id: str
    rule_id: str | None = Field(description="What found it; null: somebody raised it")
    source: str = Field(description="`rule`, or who raised it: `api`")
    fingerprint: str
    name: str
    severity: Severity
    state: AlertState
    labels: dict[str, str]
    summary: str
    runbook_url: str
    value: float | None = Field(description="When it fired")
    since: datetime = Field(description="The first look that found it")
    expires_at: datetime | None = Field(description="It is over then unless it is said again")
    fired_at: datetime | None
    ended_at: datetime | None
    ended_by: str | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    snoozed_until: datetime | None = Field(description="Nobody is told of it until then")
    assignee: str | None = Field(description="Who sees to it")


class AlertNoteOut(BaseModel):
    """What happened to an alert."""

    id: str
    at: datetime
    kind: str
    actor: str
    text: str
    value: float | None


class AlertDetailOut(AlertOut):
    """The same, and what happened to it, in order."""

    notes: list[AlertNoteOut]


class AlertRaise(Input):
    """What is wrong. The same name and labels are the same alert until it is over."""

    name: Name = Field(examples=["Import stands still"])
    severity: Severity = Field(examples=["warning"])
    labels: Labels = Field(default_factory=dict, examples=[{"team": "data"}])
    summary: Text = ""
    runbook_url: RunbookUrl = ""
    value: float | None = Field(None, allow_inf_nan=False)
    lasts_seconds: int | None = Field(
        None,
        ge=10,
        le=31 * 86_400,
        description="It is over then unless it is raised again; null: until somebody resolves it",
    )

    def said(self) -> Raised:
        """As the room has it."""
        told = self.model_dump(exclude={"lasts_seconds"})
        lasts = None if self.lasts_seconds is None else timedelta(seconds=self.lasts_seconds)
        return Raised(lasts=lasts, **told)


class AlertSnooze(Input):
    """For how long nobody is told of it; 0: no longer."""

    seconds: int = Field(ge=0, le=31 * 86_400, examples=[3600])
    text: Text = ""


class AlertAssign(Input):
    """Who sees to it; null: nobody any more."""

    assignee: Annotated[str, Field(min_length=1, max_length=320, pattern=PRINTED)] | None = Field(
        examples=["ada@example.com"]
    )


class HeartbeatCreate(Input):
    """Whose it is."""

    name: Signal = Field(examples=["backup"])


class AlertAct(Input):
    """What is said to it."""

    text: Text = Field("", examples=["I see to it"])


class AlertCommentCreate(Input):
    """What is written down."""

    text: Annotated[str, Field(min_length=1, max_length=2000)] = Field(examples=["A disk was full"])
