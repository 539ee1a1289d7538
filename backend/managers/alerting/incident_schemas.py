"""Wire types of incidents."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import IdText, Input
from backend.managers.alerting._incidents import MAX_SHOWN, IncidentDraft
from backend.managers.alerting.schemas import Severity

IncidentState = Literal["open", "over"]
AlertIds = Annotated[
    list[IdText],
    Field(max_length=100),
]
_Text = Annotated[str, Field(max_length=10_000)]


class IncidentPut(Input):
    """What people say of an incident."""

    title: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        examples=["The import stands still"]
    )
    severity: Severity = Field(examples=["critical"])
    lead: Annotated[str, Field(pattern="^user:[0-9a-f-]{36}$")] | None = Field(
        None, description="Who leads: `user:` and an id"
    )
    summary: _Text = Field("", description="What happened, and whom it met")
    cause: _Text = Field("", description="Why")
    follow_up: _Text = Field("", description="What is done so that it does not happen again")

    def draft(self) -> IncidentDraft:
        """As the incidents have it."""
        said = self.model_dump(include=set(IncidentPut.model_fields))
        return IncidentDraft(**said)


class IncidentPost(IncidentPut):
    """An incident that somebody opens."""

    alert_ids: AlertIds = Field(default_factory=list, description="Alerts that are part of it")


class IncidentAlerts(Input):
    """Alerts that become part of it."""

    alert_ids: AlertIds = Field(min_length=1)


class AlertIncidentOut(BaseModel):
    """An incident."""

    id: str
    title: str
    severity: Severity
    state: IncidentState
    gathered: bool = Field(description="Alerts join it by themselves; it is over when they are")
    alerts: int
    firing: int = Field(description="How many of its alerts are not over")
    lead: str | None
    started_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    summary: str
    cause: str
    follow_up: str
    version: str = Field(description="Goes into If-Match as the ETag does")
    created_by: str


class IncidentAlertOut(BaseModel):
    """An alert that is part of it."""

    id: str
    name: str
    severity: Severity
    state: Literal["waiting", "firing", "over"]
    summary: str
    fired_at: datetime | None
    acknowledged_at: datetime | None
    ended_at: datetime | None


class IncidentEventOut(BaseModel):
    """What happened; `alert_id` and `alert`, its name, of what is an alert's."""

    at: datetime
    kind: str
    actor: str
    text: str
    alert_id: str | None
    alert: str | None


class IncidentDetailOut(AlertIncidentOut):
    """An incident with its alerts and all that happened, in order."""

    items: list[IncidentAlertOut] = Field(description=f"The first {MAX_SHOWN}")
    timeline: list[IncidentEventOut] = Field(description="The first thousand things")
