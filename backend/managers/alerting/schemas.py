"""Wire types of alert rules and alerts."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from backend.http.pagination import CursorText
from backend.http.schemas import PRINTED, IdText, Input
from backend.managers.alerting._conditions import read_condition
from backend.managers.alerting._raised import Raised
from backend.managers.alerting._rules import RuleDraft
from backend.managers.alerting.condition_schemas import (
    ConditionModel,
    Labels,
    Matchers,
    Signal,
)

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=PRINTED)]
Severity = Literal["critical", "warning", "info"]
NoData = Literal["keep", "fire", "resolve"]
AlertState = Literal["waiting", "firing", "over"]
Text = Annotated[str, Field(max_length=2000)]
RunbookUrl = Annotated[str, Field(max_length=500, pattern="^((https?://|docs/)[^\\s]+)?$")]


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


class AlertRuleTry(AlertRulePut):
    """The same, and how many days are looked back."""

    days: int = Field(1, ge=1, le=7)

    def draft(self) -> RuleDraft:
        """As the rules have it."""
        said = self.model_dump(exclude={"condition", "days"})
        return RuleDraft(condition=read_condition(self.condition.model_dump()), **said)


class TriedFiringOut(BaseModel):
    """An alert that would have been."""

    since: datetime
    fired_at: datetime
    ended_at: datetime | None = Field(description="Null: it would fire now")
    value: float | None


class TriedLineOut(BaseModel):
    """A set of labels: what was measured a look, and what would have become of it."""

    labels: dict[str, str]
    points: list[float | None] = Field(description="Null: nothing was measured")
    firings: list[TriedFiringOut] = Field(description="The newest hundred, in order")
    firings_left_out: int


class AlertRuleTriedOut(BaseModel):
    """What a rule would have done. Each look is at a window of its own, one after the other."""

    start_at: datetime
    step_seconds: int = Field(description="From a look to the next: the rule's own, or longer")
    complete: bool = Field(description="False: there was more than could be counted")
    lines: list[TriedLineOut] = Field(description="Twenty at most")


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


class ShippedRuleOut(BaseModel):
    """A rule that ships, and how the tenant stands to it."""

    name: str = Field(description="In the catalogue")
    title: str = Field(description="What the rule is called")
    about: str
    severity: Severity
    condition: dict[str, Any]
    hold_seconds: int
    clear_seconds: int
    no_data: NoData
    runbook_url: str
    rule_id: str | None = Field(description="The tenant's rule of that title; null: it has none")
    problem: str | None = Field(description="Why it could measure nothing now")


class AlertCatalogueOut(BaseModel):
    """All rules that ship."""

    items: list[ShippedRuleOut]


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

    incident_id: str | None = Field(description="That it is part of")
    silenced_by: list[str] = Field(
        description="Ids of the silences by which nobody is told of it now"
    )
    notes: list[AlertNoteOut]


class AlertsAcknowledge(Input):
    """Which of the alerts that fire somebody sees to: all that these leave."""

    severity: Severity | None = None
    rule_id: IdText | None = None
    matchers: Matchers = Field("", description='As Alertmanager writes them: `team="db"`')
    cursor: CursorText | None = Field(None, description="`next_cursor` of the part before")


class AlertsAcknowledgedOut(BaseModel):
    """What was done to a part of them."""

    acknowledged: int
    next_cursor: str | None = Field(description="Where to go on; null: these were all")


class AlertSpansOut(BaseModel):
    """How long something took, in seconds; null: it never happened."""

    count: int
    median: float | None
    p90: float | None


class AlertNoiseOut(BaseModel):
    """What an alert of one name came to."""

    name: str
    rule_id: str | None
    fired: int
    unseen: int = Field(description="How many were over without anybody having seen to them")
    silenced: int = Field(description="Of how many nobody was told for a silence")
    flapping: bool = Field(description="It fired five times within a day")
    lasts: AlertSpansOut
    last_at: datetime


class AlertDayOut(BaseModel):
    """How many fired on a day, by UTC."""

    day: date
    fired: int


class AlertHistoryOut(BaseModel):
    """What alerts were like in some days."""

    since: datetime
    fired: int
    complete: bool = Field(description="false: these are the newest alone")
    by_severity: dict[str, int]
    unseen: int = Field(description="How many were over without anybody having seen to them")
    silenced: int = Field(description="Of how many nobody was told for a silence")
    acknowledged: AlertSpansOut = Field(description="From firing to somebody seeing to it")
    resolved: AlertSpansOut = Field(description="From firing to being over")
    days: list[AlertDayOut]
    noise: list[AlertNoiseOut] = Field(description="By name, what fired most first; 20 at most")


class AlertsFiringOut(BaseModel):
    """How many alerts fire now."""

    critical: int
    warning: int
    info: int
    unseen: int = Field(description="How many of them nobody has acknowledged")


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
