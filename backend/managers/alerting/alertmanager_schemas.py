"""Wire types of Alertmanager's API v2, and of what Grafana's webhook sends."""

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from backend.http.schemas import Input, Time
from backend.managers.alerting._alertmanager import Firing
from backend.managers.alerting._foreign import RESOLVE_TIMEOUT, Foreign
from backend.managers.alerting._matching import Matcher, Operator
from backend.managers.alerting._silences import KeptSilence, SilenceDraft
from backend.managers.alerting._standing import NEVER

MAX_ALERTS: Final = 1000
_REASON: Final = 500
_NO_YEAR: Final = 1
_UNSAFE: Final = re.compile(r"[^a-zA-Z0-9_]")
_OPERATORS: Final[dict[tuple[bool, bool], Operator]] = {
    (False, True): "=",
    (False, False): "!=",
    (True, True): "=~",
    (True, False): "!~",
}
_STATES: Final = {"active": "active", "scheduled": "pending", "expired": "expired"}
Texts = Annotated[
    dict[str, str], Field(max_length=200, json_schema_extra={"additionalProperties": False})
]
SilenceStatus = Literal["active", "pending", "expired"]


class _Told(Input):
    """What another program sends: what is not known of it is passed over."""

    model_config = ConfigDict(extra="ignore", strict=True)


class AlertmanagerAlertIn(_Told):
    """An alert as Prometheus sends it."""

    labels: Texts = Field(examples=[{"alertname": "DiskFull", "severity": "critical"}])
    annotations: Texts = Field(default_factory=dict, examples=[{"summary": "A disk is full"}])
    startsAt: Time | None = None
    endsAt: Time | None = Field(
        None, description="In the past: it is over. None: five minutes from now"
    )
    generatorURL: Annotated[str, Field(max_length=8000)] = ""

    def told(self) -> Foreign:
        """As the room has it."""
        return Foreign(
            labels=self.labels,
            annotations=self.annotations,
            starts_at=_instant(self.startsAt),
            ends_at=_instant(self.endsAt),
            lasts=RESOLVE_TIMEOUT,
        )


class AlertmanagerRefusal(RootModel[str]):
    """Why, in words."""


class AlertmanagerStatusOut(BaseModel):
    """Whether people are told of an alert, and what keeps them from it."""

    state: Literal["active", "suppressed"]
    silencedBy: list[str]
    inhibitedBy: list[str]
    mutedBy: list[str] = Field(description="`snoozed`")


class AlertmanagerReceiver(BaseModel):
    """Whom an alert goes to: an escalation policy."""

    name: str


class AlertmanagerAlertOut(BaseModel):
    """An alert that fires."""

    labels: dict[str, str]
    annotations: dict[str, str]
    startsAt: datetime
    endsAt: datetime
    updatedAt: datetime
    fingerprint: str
    generatorURL: str
    receivers: list[AlertmanagerReceiver]
    status: AlertmanagerStatusOut

    @classmethod
    def of(cls, one: Firing, now: datetime) -> "AlertmanagerAlertOut":
        """As the room has it."""
        alert = one.alert
        annotations = {"summary": alert.summary, "runbook_url": alert.runbook_url}
        return cls(
            labels=dict(alert.labels),
            annotations={name: value for name, value in annotations.items() if value},
            startsAt=alert.since,
            endsAt=alert.expires_at or now + RESOLVE_TIMEOUT,
            updatedAt=alert.fired_at or alert.since,
            fingerprint=alert.fingerprint,
            generatorURL="",
            receivers=[AlertmanagerReceiver(name=name) for name in one.receivers],
            status=AlertmanagerStatusOut(
                state=one.state,
                silencedBy=list(one.silenced_by),
                inhibitedBy=list(one.inhibited_by),
                mutedBy=list(one.muted_by),
            ),
        )


class AlertmanagerGroupOut(BaseModel):
    """Alerts of one message."""

    labels: dict[str, str]
    receiver: AlertmanagerReceiver
    alerts: list[AlertmanagerAlertOut]


class AlertmanagerMatcher(_Told):
    """What one label has to be."""

    name: Annotated[str, Field(min_length=1, max_length=100)] = Field(examples=["team"])
    value: Annotated[str, Field(max_length=500)] = Field(examples=["db"])
    isRegex: bool = Field(examples=[False])
    isEqual: bool = True


class AlertmanagerSilenceIn(_Told):
    """What nobody is to be told of, when, and why; with an id it takes that one's place."""

    id: Annotated[str, Field(max_length=36)] | None = None
    matchers: Annotated[list[AlertmanagerMatcher], Field(min_length=1, max_length=50)] = Field(
        examples=[[{"name": "team", "value": "db", "isRegex": False}]]
    )
    startsAt: Time = Field(examples=["2099-01-02T20:00:00Z"])
    endsAt: Time = Field(examples=["2099-01-02T22:00:00Z"])
    createdBy: Annotated[str, Field(max_length=200)] = Field(examples=["ada"])
    comment: Annotated[str, Field(max_length=2000)] = Field(examples=["The database moves"])

    def draft(self, actor: str) -> SilenceDraft:
        """As the silences have it.

        Who it is of is known by the credential: whom the program names stands with the reason.

        Raises:
            MatcherInvalidError: A matcher cannot be read.
        """
        author = "" if self.createdBy in {"", actor} else f" ({self.createdBy})"
        reason = self.comment[: _REASON - len(author)] or "No reason was given"
        return SilenceDraft(
            matchers=[
                Matcher(one.name, _OPERATORS[one.isRegex, one.isEqual], one.value)
                for one in self.matchers
            ],
            starts_at=self.startsAt,
            ends_at=self.endsAt,
            reason=reason if reason.endswith(author) else reason + author,
        )


class AlertmanagerSilenceId(BaseModel):
    """Which silence."""

    silenceID: str


class AlertmanagerSilenceState(BaseModel):
    """Whether it counts."""

    state: SilenceStatus


class AlertmanagerSilenceOut(BaseModel):
    """A silence, or maintenance."""

    id: str
    matchers: list[dict[str, Any]]
    startsAt: datetime
    endsAt: datetime
    updatedAt: datetime
    createdBy: str
    comment: str
    status: AlertmanagerSilenceState

    @classmethod
    def of(cls, kept: KeptSilence) -> "AlertmanagerSilenceOut":
        """As the silences have it; while all of its windows are shut it is yet to begin."""
        state = _STATES[kept.state]
        if state == "active" and not kept.counts_now:
            state = "pending"
        return cls(
            id=kept.id,
            matchers=[
                {
                    "name": one.name,
                    "value": one.value,
                    "isRegex": one.operator.endswith("~"),
                    "isEqual": not one.operator.startswith("!"),
                }
                for one in kept.matchers
            ],
            startsAt=kept.starts_at,
            endsAt=kept.ends_at,
            updatedAt=kept.updated_at,
            createdBy=kept.created_by,
            comment=kept.reason,
            status=AlertmanagerSilenceState(state=state),  # type: ignore[arg-type]  # one of three
        )


class AlertmanagerInfoOut(BaseModel):
    """What there is, in the form of Alertmanager's."""

    cluster: dict[str, Any]
    config: dict[str, str]
    uptime: datetime
    versionInfo: dict[str, str]


class GrafanaAlertIn(_Told):
    """An alert as Grafana's webhook has it."""

    status: Literal["firing", "resolved"] = Field(examples=["firing"])
    labels: Texts = Field(examples=[{"alertname": "HighLoad", "severity": "warning"}])
    annotations: Texts = Field(default_factory=dict, examples=[{"summary": "The load is high"}])
    startsAt: Time | None = None
    endsAt: Time | None = None
    fingerprint: Annotated[str, Field(max_length=200)] = ""
    generatorURL: Annotated[str, Field(max_length=8000)] = ""
    values: dict[str, Any] | None = Field(None, json_schema_extra={"additionalProperties": True})

    def told(self, now: datetime) -> Foreign:
        """As the room has it; it fires until Grafana says that it does not."""
        numbers = [one for one in (self.values or {}).values() if isinstance(one, int | float)]
        return Foreign(
            # Its labels may be called anything; to an Alertmanager it sends them so.
            labels={_UNSAFE.sub("_", name): value for name, value in self.labels.items()},
            annotations=self.annotations,
            starts_at=_instant(self.startsAt),
            ends_at=None if self.status == "firing" else now,
            value=numbers[0] if len(numbers) == 1 else None,
        )


class GrafanaAlertsIn(_Told):
    """What a contact point of the kind webhook sends."""

    status: Annotated[str, Field(max_length=50)] = Field("", examples=["firing"])
    alerts: Annotated[list[GrafanaAlertIn], Field(max_length=MAX_ALERTS)] = Field(
        examples=[
            [
                {
                    "status": "firing",
                    "labels": {"alertname": "HighLoad", "severity": "warning"},
                    "annotations": {"summary": "The load is high"},
                }
            ]
        ]
    )


class ForeignTakenOut(BaseModel):
    """How many alerts were taken, and why others were not."""

    taken: int
    refused: list[str]


def _instant(told: datetime | None) -> datetime | None:
    """A time; Go's zero is none."""
    return None if told is None or told.year <= _NO_YEAR or told >= NEVER else told
