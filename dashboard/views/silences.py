"""Silences and maintenance: alerts that nobody is told of for a while, and why."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Choice, Column, Form, Input, ListPage, Words
from dashboard.widgets import calendar, markup, problems

_KINDS: Final = (
    ("silence", "Silence: nobody is told"),
    ("maintenance", "Maintenance: announced a day before"),
)


def windows(one: models.SilenceOut) -> str:
    """Return when of the week it counts."""
    return "; ".join(map(window, one.windows)) or "always"


def window(one: models.WeeklyWindowModel) -> str:
    """Return a part of each week in words."""
    days = ", ".join(day.capitalize() for day in one.days) or "every day"
    return f"{days} {one.from_} to {one.until} ({one.zone})"


def body(
    *,
    matchers: str | None,
    reason: str | None,
    kind: str | None,
    begins: int | None,
    lasts: int | None,
) -> models.SilencePut:
    """Return the request, of minutes from now."""
    starts_at = markup.now() + timedelta(minutes=begins or 0)
    return models.SilencePut(
        matchers=matchers or "",
        reason=reason or "",
        kind=kind or "silence",
        starts_at=starts_at if begins else None,
        ends_at=starts_at + timedelta(minutes=lasts or 0),
    )


def _asked(**given: Any) -> models.SilencePut:
    return body(**{name.removesuffix("_minutes"): value for name, value in given.items()})


def planned() -> None:
    """Draw, for who asks for it, when silences and maintenance count, on a calendar."""
    if st.toggle("Calendar", key="silences-calendar"):
        with problems.guard(), st.container(key="card-silences-calendar"):
            calendar.draw("silence-times", "When silences count", _times)


def _times(begin: datetime, end: datetime) -> list[calendar.Entry]:
    found = state.current().api.list_silence_times(from_=begin, until=end)
    if not found.complete:
        markup.note("There are more than are shown here.")
    return [_entry(one) for one in found.items]


def _entry(one: models.SilenceTimeOut) -> calendar.Entry:
    again = "each week" if one.recurs else "once"
    remark = f"{one.matchers}, {again}"
    if one.kind == "silence":
        return calendar.Entry(one.begins_at, one.ends_at, one.reason, "gray", remark)
    if one.announces_at:
        remark = f"{remark}; it is announced at {markup.when(one.announces_at)}"
        return calendar.Entry(
            one.begins_at, one.ends_at, f"Maintenance: {one.reason}", "amber", remark
        )
    remark = f"{remark}; it was announced at {markup.when(one.announced_at)}"
    return calendar.Entry(
        one.begins_at, one.ends_at, f"Maintenance, announced: {one.reason}", "violet", remark
    )


PAGE: Final = ListPage(
    key="silences",
    of=models.SilenceOut,
    title="Silences",
    lead="Alerts that nobody is told of for a while, and maintenance, which is announced before.",
    noun="silence",
    nothing="Silence what is known, so that what is not is heard.",
    fetch=Api.list_silences,
    write="silence:write",
    name=lambda one: one.matchers,
    columns=(
        Column("matchers", "Alerts", "strong"),
        Column("kind", "Kind"),
        Column("state", "State", "badge"),
        Column("reason", "Why"),
        Column("starts_at", "From", "time"),
        Column("ends_at", "To", "time"),
        Column("created_by", "By", "who"),
    ),
    facts=(
        Column("counts_now", "Counts now", value=lambda one: "yes" if one.counts_now else "no"),
        Column("windows", "When of the week", value=windows),
        Column("announced_at", "Announced", "time", none="not yet"),
        Column("created_at", "Created", "time"),
        Column("updated_by", "Changed by", "who"),
        Column("ended_by", "Ended by", "who"),
    ),
    filters=(
        Choice("state", "State", ("active", "scheduled", "expired")),
        Words("matchers", "Labels", 'team="db"', width=320),
    ),
    notice=planned,
    form=Form(
        inputs=(
            Input("matchers", "Alerts with labels", example='team="db", severity="warning"'),
            Input("reason", "Why", example="The database moves"),
            Input("kind", "Kind", "choice", usual="silence", options=lambda _: _KINDS),
            Input("begins_minutes", "Begins in, min", "number", required=False),
            Input("lasts_minutes", "Lasts, min", "number", usual="120"),
        ),
        body=_asked,
        call=Api.create_silence,
        missing="It needs labels, a reason and how long it lasts.",
        said="Alerts with {0} are silenced.",
    ),
    acts=(
        Act(
            key="expire", label="End", icon=":material/notifications_active:",
            call=lambda api, silence_id: api.expire_silence(silence_id),
            yes="End this silence",
            said="The silence of {0} is over.",
            will="Whoever is told of alerts with {0} is told of them again.",
            ends=False,
            offered=lambda one: one.state != "expired",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
