"""Channels: by what people and programs are told of alerts."""

from __future__ import annotations

from typing import Final

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage
from dashboard.widgets import markup

_KINDS: Final = (
    ("email", "Mail"),
    ("on_call", "Mail to who is on call"),
    ("webhook", "Webhook: signed JSON"),
    ("n8n", "n8n workflow, by its Webhook node"),
    ("slack", "Slack, Mattermost, Rocket.Chat"),
    ("teams", "Microsoft Teams"),
    ("syslog", "Syslog, by TLS"),
)
_ADDRESSED: Final = ("webhook", "n8n", "slack", "teams", "syslog")
_ENDS: Final = (("yes", "It tells so"), ("no", "It says nothing"))


def channels(session: state.Session) -> list[tuple[str, str]]:
    """Return the tenant's channels: id and name."""
    return [(one.id, one.name) for one in session.api.list_alert_channels(limit=100).items]


def _none_or(session: state.Session) -> list[tuple[str, str]]:
    return [("", "none"), *channels(session)]


def _schedules(session: state.Session) -> list[tuple[str, str]]:
    return [(one.id, one.name) for one in session.api.list_on_call_schedules(limit=100).items]


def _name_of(channel_id: str | None) -> str:
    if not channel_id:
        return markup.NONE
    return dict(channels(state.current())).get(channel_id, channel_id)


def body(
    *,
    name: str | None,
    kind: str | None,
    to: list[str] | None = None,
    schedule_id: str | None = None,
    url: str | None = None,
    token: str | None = None,
    ca_certificate: str | None = None,
    per_minute: int | None = None,
    ends: str | None = "yes",
    fallback_id: str | None = None,
) -> models.AlertChannelPut:
    """Return the request."""
    return models.AlertChannelPut(
        name=name or "",
        kind=kind or "",
        to=to or [],
        schedule_id=schedule_id,
        url=url,
        token=token,
        ca_certificate=ca_certificate,
        per_minute=per_minute or 30,
        send_resolved=ends != "no",
        fallback_id=fallback_id,
    )


PAGE: Final = ListPage(
    key="alert-channels",
    of=models.AlertChannelOut,
    title="Channels",
    lead="By what people and programs are told of alerts.",
    noun="channel",
    nothing="Say by what somebody is told.",
    fetch=Api.list_alert_channels,
    write="alert_channel:write",
    columns=(
        Column("name", "Channel", "strong"),
        Column("kind", "Kind", value=lambda one: dict(_KINDS).get(one.kind, one.kind)),
        Column("host", "Leads to", none="the tenant's mail server"),
        Column("per_minute", "Messages a minute", "number"),
        Column("updated_at", "Changed", "time"),
    ),
    facts=(
        Column(
            "send_resolved",
            "When an alert is over",
            value=lambda one: dict(_ENDS)["yes" if one.send_resolved else "no"],
        ),
        Column("fallback_id", "Stands in", value=lambda one: _name_of(one.fallback_id)),
        Column("created_by", "Created by", "who"),
        Column("created_at", "Created", "time"),
        Column("updated_by", "Changed by", "who"),
    ),
    form=Form(
        inputs=(
            Input("kind", "Kind", "choice", usual="email", options=lambda _: _KINDS),
            Input("name", "Name", example="On call"),
            Input("to", "To", "words", example="ada@example.com bob@example.com", of=["email"]),
            Input("schedule_id", "Schedule", "choice", options=_schedules, of=["on_call"]),
            Input("url", "Address", example="https://hooks.example.com/alerts", of=_ADDRESSED),
            Input("token", "Bearer token", required=False, of=["n8n"]),
            Input("ca_certificate", "Authority to trust, PEM", required=False, of=["syslog"]),
            Input("per_minute", "Messages a minute", "number", usual="30"),
            Input("ends", "When an alert is over", "choice", usual="yes", options=lambda _: _ENDS),
            Input(
                "fallback_id", "Stands in for it", "choice", required=False, options=_none_or
            ),
        ),
        body=body,
        call=Api.create_alert_channel,
        missing="It needs a name, and whom or where to.",
        said="{0} can be told.",
        shows=(("The secret of its signatures", "secret"),),
        by=("kind",),
    ),
    shown=(
        "The secret of {0}",
        "A webhook's messages are signed with it, as Standard Webhooks say. It is shown this once.",
    ),
    acts=(
        Act(
            key="test", label="Send a test", icon=":material/send:",
            call=lambda api, channel_id: api.test_alert_channel(channel_id),
            yes="Send it",
            said="{0} was sent a test.",
            will="A message that says it is a test goes by {0}.",
            ends=False,
        ),
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=Api.delete_alert_channel, yes="Delete this channel",
            said="{0} is deleted.",
            will="Nobody is told by {0} any more. This cannot be undone.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
