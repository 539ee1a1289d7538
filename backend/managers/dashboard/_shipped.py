"""Dashboards that ship with the platform: read-only, in code, copied by whoever wants another."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from backend.managers.dashboard._dashboards import DashboardDraft

_DAY: Final = 1440
TemplateKey = Literal[
    "mail-delivery",
    "job-queue",
    "api",
    "access",
    "log-levels",
    "errors-by-source",
    "rate-errors-duration",
    "objectives",
    "workflows",
    "usage",
]
"""What addresses call those that ship; for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardTemplate(DashboardDraft):
    """One that ships; ``key`` is what addresses call it."""

    key: TemplateKey


def _panel(
    title: str, row: int, column: int, width: int, *, height: int = 4, **question: Any
) -> dict[str, Any]:
    place = {"row": row, "column": column, "width": width, "height": height}
    return {"title": title, **place, **question}


def _ship(
    key: TemplateKey,
    name: str,
    description: str,
    panels: Sequence[dict[str, Any]],
    *,
    minutes: int = 360,
    variables: Sequence[dict[str, Any]] = (),
) -> DashboardTemplate:
    return DashboardTemplate(
        key=key,
        name=name,
        description=description,
        variables=list(variables),
        panels=panels,
        range_minutes=minutes,
    )


_LEVEL: Final = {
    "name": "level",
    "values": ["trace", "debug", "info", "warn", "error", "fatal"],
    "default": "warn",
}

TEMPLATES: Final[Sequence[DashboardTemplate]] = (
    _ship(
        "mail-delivery",
        "Mail delivery",
        "What became of the mail, and why some of it bounced.",
        [
            _panel("Delivered, of what is settled", 0, 0, 4, overview={"show": "delivery"}),
            _panel("Messages by state", 0, 4, 8, overview={"show": "email_states"}),
            _panel("Accepted by day", 1, 0, 6, usage={"show": "emails_accepted"}),
            _panel("Bounced by day", 1, 6, 6, usage={"show": "emails_bounced"}),
            _panel(
                "Lines that speak of bounces", 2, 0, 12, logs={"show": "lines", "words": "bounced"}
            ),
        ],
    ),
    _ship(
        "job-queue",
        "Jobs",
        "What waits, what runs, what ended, and what was given up.",
        [
            _panel("Jobs by state", 0, 0, 6, overview={"show": "job_states"}),
            _panel("Ended by day", 0, 6, 6, usage={"show": "jobs_ended"}),
            _panel("Failed traces of jobs", 1, 0, 12, traces={"show": "newest", "failed": True}),
        ],
    ),
    _ship(
        "api",
        "API",
        "How many requests, how fast, and how many the platform failed to serve.",
        [
            _panel("Requests a second", 0, 0, 6, overview={"show": "requests"}),
            _panel("95 of 100 answered within", 0, 6, 6, overview={"show": "latency"}),
            _panel("Failed to be served", 1, 0, 6, overview={"show": "errors"}),
            _panel("Requests by day", 1, 6, 6, usage={"show": "requests"}),
        ],
    ),
    _ship(
        "access",
        "Sign-ins and access",
        "Who came in, by which act, and what was changed in who may do what.",
        [
            _panel(
                "Invitations",
                0,
                0,
                6,
                audit={"show": "time", "action": "invitation.*"},
            ),
            _panel("Who acts most", 0, 6, 6, audit={"show": "actors"}),
            _panel(
                "Members that were added or changed",
                1,
                0,
                6,
                audit={"show": "time", "action": "member.*"},
            ),
            _panel("Keys and clients", 1, 6, 6, audit={"show": "time", "action": "api_key.*"}),
        ],
        minutes=7 * _DAY,
    ),
    _ship(
        "log-levels",
        "Log levels",
        "How much is logged of each level, and the newest lines from a level on.",
        [
            _panel("Lines by level", 0, 0, 8, logs={"show": "levels"}),
            _panel("Lines by source", 0, 8, 4, logs={"show": "sources"}),
            _panel("From ${level} on", 1, 0, 12, logs={"show": "lines", "level": "${level}"}),
        ],
        variables=[_LEVEL],
    ),
    _ship(
        "errors-by-source",
        "Errors by source",
        "Which program logs errors, when, and what it says.",
        [
            _panel("Errors by source", 0, 0, 4, logs={"show": "sources", "level": "error"}),
            _panel("Errors over time", 0, 4, 8, logs={"show": "levels", "level": "error"}),
            _panel("The newest errors", 1, 0, 12, logs={"show": "lines", "level": "error"}),
        ],
        minutes=_DAY,
    ),
    _ship(
        "rate-errors-duration",
        "Rate, errors, duration",
        "The busiest operations with their rate, errors and times, and traces that failed.",
        [
            _panel("Operations", 0, 0, 12, height=6, traces={"show": "operations"}),
            _panel("Failed", 1, 0, 6, traces={"show": "newest", "failed": True}),
            _panel("Slower than a second", 1, 6, 6, traces={"show": "newest", "min_ms": 1000.0}),
        ],
    ),
    _ship(
        "objectives",
        "Objectives",
        "What is promised, how it stands, and the figures that most of it is about.",
        [
            _panel("All objectives", 0, 0, 12, height=5, slo={}),
            _panel("Failed to be served", 1, 0, 6, overview={"show": "errors"}),
            _panel("95 of 100 answered within", 1, 6, 6, overview={"show": "latency"}),
        ],
        minutes=_DAY,
    ),
    _ship(
        "workflows",
        "Calls of workflows",
        "What one workflow, or one execution, has called, and how that went.",
        [
            _panel(
                "Traces of the workflow",
                0,
                0,
                12,
                height=5,
                traces={"show": "newest", "workflow_id": "${workflow}"},
            ),
            _panel("What clients and keys did", 1, 0, 6, audit={"show": "actions"}),
            _panel("Operations", 1, 6, 6, traces={"show": "operations"}),
        ],
        minutes=_DAY,
        variables=[{"name": "workflow", "values": [], "default": ""}],
    ),
    _ship(
        "usage",
        "Usage",
        "What the tenant did by day: what plans and quotas count.",
        [
            _panel("Requests", 0, 0, 6, usage={"show": "requests"}),
            _panel("E-mails accepted", 0, 6, 6, usage={"show": "emails_accepted"}),
            _panel("E-mails bounced", 1, 0, 6, usage={"show": "emails_bounced"}),
            _panel("Jobs ended", 1, 6, 6, usage={"show": "jobs_ended"}),
        ],
        minutes=30 * _DAY,
    ),
)
"""In the order in which they are shown."""


def get_template(key: TemplateKey) -> DashboardTemplate:
    """One that ships."""
    return next(one for one in TEMPLATES if one.key == key)
