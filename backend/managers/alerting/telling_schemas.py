"""Wire types of channels, escalation policies and routes."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from backend.http.schemas import Email, IdText, Input, Name, ShownOnce
from backend.managers.alerting._channels import ChannelDraft
from backend.managers.alerting._policies import MAX_REPEATS, MAX_STEPS, PolicyDraft, Step
from backend.managers.alerting._tree import MAX_GATHERINGS, MAX_INHIBITIONS, Routing
from backend.managers.alerting.condition_schemas import LabelName, Labels, Matchers

ChannelKind = Literal["email", "on_call", "webhook", "n8n", "slack", "teams", "syslog"]
NotificationState = Literal["waiting", "queued", "sent", "failed", "dropped"]
_SECONDS = Field(None, ge=0, le=86_400)


class AlertChannelPut(Input):
    """A way to somebody."""

    name: Name = Field(examples=["On call"])
    kind: ChannelKind = Field(examples=["email"])
    to: Annotated[list[Email], Field(max_length=20)] = Field(
        default_factory=list, examples=[["ada@example.com"]], description="Of `email`: whom to"
    )
    schedule_id: IdText | None = Field(
        None, description="Of `on_call`: mail goes to who is on call by this schedule then"
    )
    url: Annotated[str, Field(max_length=2000)] | None = Field(
        None,
        description="Of all else: an https address, or `syslog://host:port`, which is by TLS; "
        "null in a change: as it was",
    )
    token: Annotated[str, Field(max_length=500, pattern=r"^[!-~]*$")] | None = Field(
        None,
        description="Of `n8n`: the bearer token that its Webhook node asks for, by header auth; "
        "null in a change: as it was",
    )
    ca_certificate: Annotated[str, Field(max_length=20_000)] | None = Field(
        None, description="Of `syslog`: the authority to trust, PEM; null: the system's"
    )
    per_minute: int = Field(
        30, ge=1, le=600, description="Messages a minute; what is more waits, and goes together"
    )
    send_resolved: bool = Field(
        True, description="Whether who was told that an alert fires is told that it is over"
    )
    fallback_id: IdText | None = Field(
        None, description="The channel by which what this one cannot take goes"
    )

    def draft(self) -> ChannelDraft:
        """As the channels have it."""
        return ChannelDraft(**self.model_dump())


class AlertChannelOut(BaseModel):
    """A channel; of an address of the web the host alone is told."""

    id: str
    name: str
    kind: ChannelKind
    host: str
    schedule_id: str | None
    per_minute: int
    send_resolved: bool
    fallback_id: str | None
    version: str = Field(description="Goes into If-Match as the ETag does")
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class AlertChannelMadeOut(ShownOnce, AlertChannelOut):
    """A channel that was just made, and of a webhook the secret of its signatures."""

    secrets = ("secret",)
    another = "Make another channel to get another."

    secret: str | None = Field(
        None, description="Of a webhook, shown this once: Standard Webhooks, HMAC-SHA256"
    )


class AlertPolicyStep(Input):
    """Some channels at a time."""

    channels: Annotated[list[IdText], Field(max_length=10)] = Field(
        description="None: nobody, and the next step comes at once"
    )
    after_seconds: int = Field(
        0, ge=0, le=86_400, description="After the step before; of the first, after it fired"
    )


class AlertPolicyPut(Input):
    """Who is told first, and who next, until somebody sees to it."""

    name: Name = Field(examples=["Database"])
    steps: Annotated[list[AlertPolicyStep], Field(min_length=1, max_length=MAX_STEPS)]
    repeats: int = Field(0, ge=0, le=MAX_REPEATS, description="How often all of it comes again")
    repeat_seconds: int = Field(900, ge=60, le=86_400)

    def draft(self) -> PolicyDraft:
        """As the policies have it."""
        return PolicyDraft(
            name=self.name,
            steps=[Step(one.channels, one.after_seconds) for one in self.steps],
            repeats=self.repeats,
            repeat_seconds=self.repeat_seconds,
        )


class AlertPolicyStepOut(BaseModel):
    """Some channels at a time."""

    channels: list[str]
    after_seconds: int


class AlertPolicyOut(BaseModel):
    """A policy, as it is kept."""

    id: str
    name: str
    steps: list[AlertPolicyStepOut]
    repeats: int
    repeat_seconds: int
    version: str = Field(description="Goes into If-Match as the ETag does")
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class AlertRouteModel(Input):
    """A place in the tree. What it does not say, the one above it says."""

    matchers: Matchers = Field("", examples=['team="db"'], description="Of the topmost none")
    policy: IdText | None = Field(
        None, description="Whom alerts go to that end here; null: as above"
    )
    group_by: Annotated[list[LabelName | Literal["..."]], Field(max_length=20)] | None = Field(
        None, description="Alerts of one message agree in these; `...` alone: each by itself"
    )
    group_wait_seconds: int | None = _SECONDS
    group_interval_seconds: int | None = _SECONDS
    goes_on: bool = Field(False, description="Whether the routes beside it are tried as well")
    children: Annotated[list["AlertRouteModel"], Field(max_length=100)] = Field(
        default_factory=list
    )


class AlertInhibitionModel(Input):
    """While an alert fires that `source` is about, those that `target` is about are not told."""

    source: Matchers = Field(examples=['severity="critical"'])
    target: Matchers = Field(examples=['severity="warning"'])
    equal: Annotated[list[LabelName], Field(max_length=20)] = Field(default_factory=list)


class IncidentGatheringModel(Input):
    """Alerts that make one incident: they agree in some labels, and come soon after each other."""

    matchers: Matchers = Field("", examples=['severity="critical"'], description="None: all")
    by: Annotated[list[LabelName], Field(max_length=10)] = Field(
        default_factory=list, examples=[["team"]], description="What they agree in; none: nothing"
    )
    within_seconds: int = Field(
        3600, ge=60, le=7 * 86_400, description="When all are over: how soon one opens it again"
    )


class AlertRoutingPut(Input):
    """Where alerts go."""

    tree: AlertRouteModel = Field(default_factory=AlertRouteModel)
    inhibitions: Annotated[list[AlertInhibitionModel], Field(max_length=MAX_INHIBITIONS)] = Field(
        default_factory=list
    )
    incidents: Annotated[list[IncidentGatheringModel], Field(max_length=MAX_GATHERINGS)] = Field(
        default_factory=list, description="The first that an alert matches counts"
    )

    def routing(self) -> Routing:
        """As the routings have it."""
        return Routing(**self.model_dump(exclude_none=True))


class AlertRoutingOut(BaseModel):
    """Where alerts go; version 0: nothing was said yet, and nobody is told of anything."""

    tree: dict[str, Any]
    inhibitions: list[AlertInhibitionModel]
    incidents: list[IncidentGatheringModel]
    version: str = Field(description="Goes into If-Match as the ETag does")
    updated_at: datetime | None
    updated_by: str | None


class AlertRoutingTry(Input):
    """An alert that might be."""

    labels: Labels = Field(examples=[{"team": "db", "severity": "critical"}])


class AlertWayOut(BaseModel):
    """Where it would go."""

    routes: list[str] = Field(description="From the topmost, `0`, down; a child is `0.1`")
    policy_id: str | None = Field(description="null: nobody is told")
    group: dict[str, str]


class AlertWaysOut(BaseModel):
    """All of its ways."""

    items: list[AlertWayOut]


class AlertNotificationOut(BaseModel):
    """That somebody is told of an alert."""

    id: str
    step: int
    channel_id: str
    channel: str | None = Field(description="Its name; null: it is gone")
    kind: Literal["fired", "resolved"]
    state: NotificationState
    due_at: datetime | None = Field(description="When it goes, while it waits")
    held_by: str | None = Field(description="What keeps it: a silence, another alert, a limit")
    sent_at: datetime | None
    error: str | None


class AlertNotificationsOut(BaseModel):
    """Who is told, and who was."""

    items: list[AlertNotificationOut]
