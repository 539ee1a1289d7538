"""What a message says, in the form that each kind of channel takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import msgspec
from markupsafe import Markup

from backend.kit.outbound import syslog_message

RESOLVED: Final = "resolved"
_LOG_ALERT: Final = 14
_SYSLOG: Final = {"critical": 2, "warning": 4, "info": 6}
_OVER: Final = 5
_SHOWN: Final = 20
_BODY: Final = "font-family:system-ui,sans-serif;font-size:15px;line-height:1.45;max-width:640px"
_HEADING: Final = "font-size:17px;margin:16px 0 6px"
_WEB: Final = ("https://", "http://")
_FACTS: Final = "font-size:13px;color:#5b6673"
_IMAGE: Final = Markup(
    '<p><img src="cid:{cid}" alt="{words}" width="640" '
    'style="width:100%;max-width:640px;height:auto;border:0"></p>'
)
_COLOURS: Final = {"critical": "attention", "warning": "warning", "info": "accent"}


@dataclass(frozen=True, slots=True)
class Message:
    """Alerts of a group, of which somebody is told at once.

    Attributes:
        id: Its key at the receiver, the same at each attempt.
        kind: ``fired`` or ``resolved``.
        group: The labels that all of them have.
        alerts: As they were when the message was made.
        page: The address of an alert's page, but for its id; empty: there is none.
    """

    id: str
    kind: str
    group: Mapping[str, str]
    alerts: Sequence[Mapping[str, Any]]
    page: str = ""

    def link(self, alert: Mapping[str, Any]) -> str | None:
        """Where an alert's page is; None: it is not known, or it is a test."""
        return self.page + alert["id"] if self.page and "id" in alert else None

    @property
    def title(self) -> str:
        """In a line."""
        names = list(dict.fromkeys(one["name"] for one in self.alerts))
        worst = "RESOLVED" if self.kind == RESOLVED else self.worst.upper()
        more = f" and {len(self.alerts) - 1} more" if len(self.alerts) > 1 else ""
        return f"[{worst}] {names[0]}{more}"

    @property
    def worst(self) -> str:
        """The severity of the worst of them."""
        found = {one["severity"] for one in self.alerts}
        return next(one for one in ("critical", "warning", "info") if one in found)

    def lines(self, named: Callable[[str, str | None], str]) -> Sequence[str]:
        """An alert a line, the first twenty; ``named`` writes a name that leads somewhere."""
        nothing = "nothing more was said"
        said = [
            f"{named(one['name'], self.link(one))}: {one['summary'] or nothing}"
            for one in self.alerts[:_SHOWN]
        ]
        more = len(self.alerts) - _SHOWN
        return [*said, *([f"... and {more} more"] if more > 0 else [])]


def as_webhook(message: Message) -> dict[str, Any]:
    """As JSON for programs."""
    return {
        "id": message.id,
        "kind": f"alert.{message.kind}",
        "title": message.title,
        "group": dict(message.group),
        "alerts": [{**one, "url": message.link(one)} for one in message.alerts],
    }


def as_mail(message: Message, pictures: Mapping[str, str]) -> tuple[str, str]:
    """Subject and text; ``pictures`` says in words what is shown of an alert, by its id."""
    parts = [message.title, ""]
    for one in message.alerts[:_SHOWN]:
        parts += [f"{one['name']} ({one['severity']})", one["summary"] or ""]
        parts += [f"Graph: {pictures[one['id']]}"] if one.get("id") in pictures else []
        parts += [f"  {name} = {value}" for name, value in sorted(one["labels"].items())]
        parts += [f"Fired: {one['fired_at']}"] if one.get("fired_at") else []
        parts += [f"Over: {one['ended_at']}"] if one.get("ended_at") else []
        parts += [f"Acknowledge, silence: {link}"] if (link := message.link(one)) else []
        parts += [f"Runbook: {one['runbook_url']}"] if one.get("runbook_url") else []
        parts.append("")
    if len(message.alerts) > _SHOWN:
        parts.append(f"... and {len(message.alerts) - _SHOWN} more")
    return message.title[:200], "\n".join(parts).rstrip() + "\n"


def as_html(message: Message, pictures: Mapping[str, str]) -> str:
    """The same for who sees pictures, which are parts of the mail by ``cid:graph-<alert's id>``."""
    parts = [Markup('<h2 style="{}">{}</h2>').format(_HEADING, message.title)]
    for one in message.alerts[:_SHOWN]:
        said = f"{one['name']} ({one['severity']})"
        parts.append(Markup('<h3 style="{}">{}</h3>').format(_HEADING, said))
        if one["summary"]:
            parts.append(Markup("<p>{}</p>").format(one["summary"]))
        if one.get("id") in pictures:
            words = pictures[one["id"]]
            parts.append(_IMAGE.format(cid=content_id(one["id"]), words=words))
        facts = [f"{name} = {value}" for name, value in sorted(one["labels"].items())]
        facts += [f"Fired: {one['fired_at']}"] if one.get("fired_at") else []
        parts.append(Markup('<p style="{}">{}</p>').format(_FACTS, Markup("<br>").join(facts)))
        ways = [("Acknowledge, silence", message.link(one)), ("Runbook", one.get("runbook_url"))]
        links = [
            Markup('<a href="{}">{}</a>').format(to, name)
            for name, to in ways
            if to and to.startswith(_WEB)
        ]
        parts.append(Markup("<p>{}</p>").format(Markup(" &middot; ").join(links)))
    if len(message.alerts) > _SHOWN:
        parts.append(Markup("<p>... and {} more</p>").format(len(message.alerts) - _SHOWN))
    return str(Markup('<div style="{}">{}</div>').format(_BODY, Markup("").join(parts)))


def content_id(alert_id: str) -> str:
    """By which the HTML shows an alert's picture."""
    return f"graph-{alert_id}"


def as_slack(message: Message) -> dict[str, Any]:
    """As incoming webhooks of Slack, Mattermost and Rocket.Chat take it."""

    def named(name: str, link: str | None) -> str:
        return name if link is None else f"<{link}|{name}>"

    # Escaped before they are joined: what makes a link may not be.
    safe = replace(message, alerts=[_safe(one) for one in message.alerts])
    lines = "\n".join(safe.lines(named))
    return {"text": f"*{_escaped(message.title)}*\n{lines}"}


def as_teams(message: Message) -> dict[str, Any]:
    """As an Adaptive Card 1.4, which workflows of Microsoft Teams take."""
    colour = "good" if message.kind == RESOLVED else _COLOURS[message.worst]

    def named(name: str, link: str | None) -> str:
        return name if link is None else f"[{name}]({link})"

    text: dict[str, Any] = {"type": "TextBlock", "wrap": True}
    return {
        "type": "message",
        "attachments": [
            {
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "type": "AdaptiveCard",
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "version": "1.4",
                    "body": [
                        {**text, "weight": "bolder", "color": colour, "text": message.title},
                        *({**text, "text": line} for line in message.lines(named)),
                    ],
                },
            }
        ],
    }


def as_syslog(message: Message, tenant_id: str, now: datetime) -> Sequence[bytes]:
    """As messages of RFC 5424, an alert each, in JSON; ``notification`` is the message's key.

    Syslog has no key by which a receiver could leave out what it was sent twice.
    """
    kind = f"alert.{message.kind}"
    return [
        syslog_message(
            severity=_OVER if message.kind == RESOLVED else _SYSLOG[alert["severity"]],
            at=now,
            process=tenant_id,
            message_id=kind,
            sequence=number,
            text=msgspec.json.encode(
                {"notification": message.id, "kind": kind, **alert, "url": message.link(alert)}
            ),
            facility=_LOG_ALERT,
        )
        for number, alert in enumerate(message.alerts, 1)
    ]


def _safe(alert: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**alert, "name": _escaped(alert["name"]), "summary": _escaped(alert["summary"] or "")}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
