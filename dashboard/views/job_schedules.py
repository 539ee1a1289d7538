"""Schedules of jobs: what is submitted when, what became of each time, and what comes next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any, Final

import msgspec
import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models, shapes
from dashboard.pages import Act, Column, Form, Input, ListPage
from dashboard.widgets import calendar, confirm, markup, problems, table, tasks, timing

_WRITE: Final = "job:write"
_SHOWN: Final = 15
_COMING: Final = 100
_NEXT: Final = 5
_MISSING: Final = "It needs a name, when it is due, and what it does."
_TONES: Final[dict[str, calendar.Tone]] = {
    "ran": "green",
    "late": "amber",
    "missed": "red",
    "skipped": "gray",
    "due": "blue",
}
_WORST_FIRST: Final = ("missed", "late", "skipped", "ran")
_HEAT_DAYS: Final = 7
_TIMES: Final = (
    table.Column("at", "Due", "time"),
    table.Column("outcome", "What came of it", "badge"),
    table.Column("times", "Times", "number"),
    table.Column("why", "Why", "prose"),
)


def submits(some: Sequence[dict[str, Any]]) -> str:
    """Return the names of some tasks, and how many there are besides."""
    said = ", ".join(one["name"] for one in some[:_NEXT])
    return said if len(some) <= _NEXT else f"{said} and {len(some) - _NEXT:,} more"


def draft(*, name: str | None, **said: Any) -> models.JobSchedulePut:
    """Return the request for one that does what is said when it is due."""
    does = {key: value for key, value in said.items() if key in tasks.NAMES}
    due = {key: value for key, value in said.items() if key not in tasks.NAMES}
    named = name or ""
    return models.JobSchedulePut(
        name=named,
        timing=timing.body(due),
        graph=models.ScheduledGraph(name=named, tasks=tasks.made(named, said.get("zone"), does)),
    )


def below(one: models.JobScheduleOut) -> None:
    """Draw what comes, what came of what was due, and how it may be changed."""
    session = state.current()
    _coming(session, one)
    if session.can(_WRITE):
        _change(session, one)
        _backfill(session, one)
    with st.container(key="card-schedule-calendar"):
        markup.section("What came of it, and what comes")
        calendar.draw(
            "schedule-calendar", f"Times of {one.name}", lambda begin, end: _days(one, begin, end)
        )
    _firings(session, one)


def _coming(session: state.Session, one: models.JobScheduleOut) -> None:
    if one.due_at is None:
        markup.note("It is not due any more." if one.enabled else "It is paused.")
        return
    timing.tell(session, one.timing)


def _change(session: state.Session, one: models.JobScheduleOut) -> None:
    key = f"schedules-timing-{one.id}"
    begins = timing.fields(one.timing)

    def ask(each: Input) -> Any:
        name = f"{key}-{each.name.replace('_', '-')}"
        return pages.draw_input(session, name, each, begins.get(each.name, ""))

    with st.expander("Change when it is due", icon=":material/schedule:"):
        # Above the form: what stands in one is not heard of before it is sent.
        kind = ask(timing.TYPE)
        asked = [each for each in timing.INPUTS if kind in each.of]
        with st.form(key, border=False):
            given = {each.name: ask(each) for each in asked}
            with st.container(horizontal=True):
                tried = st.form_submit_button("Preview", key=f"{key}-preview")
                saved = st.form_submit_button("Save", key=f"{key}-save", type="primary")
        if not tried and not saved:
            return
        with problems.guard():
            if not all(given[each.name] for each in asked if each.required):
                st.warning(_MISSING)
                return
            due = timing.body({"type": kind, **given})
            if tried:
                timing.tell(session, due)
                return
            _save(session, one, due)
            confirm.say_after_rerun(f"{one.name} is due by what it says now.")
            st.rerun()


def _save(session: state.Session, one: models.JobScheduleOut, due: dict[str, Any]) -> None:
    now = session.api.get_job_schedule(one.id)
    kept = msgspec.to_builtins(now.value)
    names = (each.encode_name for each in msgspec.structs.fields(models.JobSchedulePut))
    body = {name: kept[name] for name in names} | {"timing": due}
    session.api.put_job_schedule(
        one.id, shapes.convert(body, models.JobSchedulePut), if_match=now.etag
    )


def _backfill(session: state.Session, one: models.JobScheduleOut) -> None:
    with st.expander("Run what did not run", icon=":material/history:"):
        zone = markup.zone()
        today = markup.now().astimezone(zone).date()
        with st.form("schedules-backfill", border=False):
            first = st.date_input("First day", today, max_value=today)
            last = st.date_input("Last day", today, max_value=today)
            asked = st.form_submit_button("Run them", type="primary")
        if not asked:
            return
        with problems.guard():
            end = datetime.combine(last, time.max, zone)
            stretch = models.JobScheduleBackfill(
                since=datetime.combine(first, time.min, zone), until=min(end, markup.now())
            )
            done = session.api.backfill_job_schedule(one.id, stretch)
            said = f"{done.submitted:,} of its times are submitted, {done.ran_before:,} had run."
            confirm.say_after_rerun(said)
            st.rerun()


def _days(one: models.JobScheduleOut, begin: datetime, end: datetime) -> Sequence[calendar.Entry]:
    session = state.current()
    found = session.api.list_job_schedule_firings(one.id, since=begin, until=end)
    past = [(each.due_at, each.outcome, each.times) for each in reversed(found.items)]
    coming: list[tuple[datetime, str, int]] = []
    last: date | None = None
    zone = markup.zone()
    if one.due_at is not None and one.due_at < end:
        told = timing.preview(session, one.timing, _COMING)
        coming = [(at, "due", 1) for at in told.times if begin <= at < end]
        if len(told.times) == _COMING:
            last = told.times[-1].astimezone(zone).date()
    return list(_entries([*past, *coming], last))


def _entries(
    times: Sequence[tuple[datetime, str, int]], last: date | None
) -> Iterable[calendar.Entry]:
    """Yield an entry a day and outcome: how often; of what comes ``last`` may have more."""
    zone = markup.zone()

    def of(each: tuple[datetime, str, int]) -> tuple[Any, str]:
        return each[0].astimezone(zone).date(), each[1]

    for (day, outcome), some in groupby(sorted(times, key=of), key=of):
        all_ = list(some)
        count = sum(each[2] for each in all_)
        yield calendar.Entry(
            begins_at=all_[0][0],
            ends_at=all_[-1][0] + timedelta(seconds=1),
            words=f"{count:,}{' or more' * (outcome == 'due' and day == last)} {outcome}",
            tone=_TONES[outcome],
        )


def _firings(session: state.Session, one: models.JobScheduleOut) -> None:
    markup.section("The last week's times")
    found = session.api.list_job_schedule_firings(one.id)
    if not found.items:
        markup.note("It was not due in the last week.")
        return
    _heat(found.items)
    rows = [
        {
            "id": each.graph_id or f"none-{at}",
            "at": markup.when(each.due_at),
            "outcome": each.outcome,
            "times": f"{each.times:,}",
            "why": each.why or markup.NONE,
        }
        for at, each in enumerate(found.items[:_SHOWN])
    ]
    opened = table.draw("schedule-times", "What came of its times", _TIMES, rows, opens=True)
    if opened and not opened.startswith("none-"):
        st.switch_page("views/job_graphs.py", query_params=state.address(id=opened))
    if len(found.items) > _SHOWN or not found.complete:
        markup.note(f"The newest {_SHOWN} are shown.")


def _heat(firings: Sequence[models.JobFiringOut]) -> None:
    """Draw the hours of the last week by the worst that became of a time of theirs."""
    hours: dict[tuple[date, int], Counter[str]] = {}
    total: Counter[str] = Counter()
    for each in firings:
        at = each.due_at.astimezone(markup.zone())
        hours.setdefault((at.date(), at.hour), Counter())[each.outcome] += each.times
        total[each.outcome] += each.times
    most = max(sum(one.values()) for one in hours.values())

    def cell(day: date, hour: int) -> tuple[str, float, str]:
        found = hours.get((day, hour))
        if not found:
            return "none", 1.0, f"{day} {hour:02d}:00: not due"
        worst = next(name for name in _WORST_FIRST if name in found)
        return _TONES[worst], sum(found.values()) / most, f"{day} {hour:02d}:00: {_said(found)}"

    today = markup.now().astimezone(markup.zone()).date()
    days = [today - timedelta(days=back) for back in reversed(range(_HEAT_DAYS))]
    markup.heat(
        f"The last week by hours: {_said(total)}",
        [(f"{day:%a %d}", [cell(day, hour) for hour in range(24)]) for day in days],
    )
    markup.note(
        f"{_said(total).capitalize()}. Each cell is an hour: red if one was missed, amber if one "
        "was late, grey if one was skipped, green if all ran; the stronger, the more."
    )


def _said(found: Counter[str]) -> str:
    return ", ".join(f"{found[name]:,} {name}" for name in _WORST_FIRST if found[name])


PAGE: Final = ListPage(
    key="job-schedules",
    of=models.JobScheduleOut,
    title="Schedules",
    lead="Jobs that are submitted when it is time, and what became of each time.",
    noun="schedule",
    nothing="Have an address asked, a report sent or a workflow run by the clock.",
    fetch=Api.list_job_schedules,
    write=_WRITE,
    columns=(
        Column("name", "Schedule", "strong"),
        Column("enabled", "State", "badge", value=lambda one: "on" if one.enabled else "paused"),
        Column("timing", "When", "prose", value=lambda one: timing.words(one.timing)),
        Column("due_at", "Due next", "time", none="never"),
        Column("updated_by", "Changed by", "who"),
    ),
    facts=(
        Column("graph", "Submits", value=lambda one: submits(one.graph["tasks"])),
        Column("overlap", "While the one before runs", value=lambda one: (
            "it is submitted" if one.overlap == "allow" else "it is skipped")),
        Column("catch_up", "Of times that passed unseen", value=lambda one: {
            "none": "none runs", "last": "the last runs", "all": "a hundred run at most",
        }[one.catch_up]),
        Column("jitter_seconds", "Later by up to", value=lambda one: f"{one.jitter_seconds} s"),
        Column("created_by", "Created by", "who"),
        Column("created_at", "Created", "time"),
        Column("updated_at", "Changed", "time"),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="Nightly import"),
            *timing.INPUTS,
            *tasks.INPUTS,
        ),
        body=draft,
        call=Api.create_job_schedule,
        by=(timing.TYPE.name, tasks.KIND.name),
        tries=lambda session, given: timing.tell(session, timing.body(given)),
        missing=_MISSING,
        said="{0} is submitted when it is time.",
    ),
    acts=(
        Act(
            key="run", label="Run now", icon=":material/play_arrow:",
            call=Api.run_job_schedule,
            yes="Run it now",
            said="{0} is submitted once more.",
            will="{0} is submitted once more, whatever its times say.",
            ends=False, danger=False,
        ),
        Act(
            key="pause", label="Pause", icon=":material/pause:",
            call=Api.pause_job_schedule,
            yes="Pause it",
            said="{0} is paused.",
            will="{0} is submitted no more until somebody resumes it. What runs goes on.",
            ends=False,
            offered=lambda one: one.enabled,
        ),
        Act(
            key="resume", label="Resume", icon=":material/resume:",
            call=Api.resume_job_schedule,
            yes="Resume it",
            said="{0} goes on from now.",
            will="{0} is due from now on. The times that passed meanwhile do not run.",
            ends=False, danger=False,
            offered=lambda one: not one.enabled,
        ),
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=Api.delete_job_schedule, yes="Delete this schedule",
            said="{0} is deleted.",
            will="{0} is forgotten with what became of its times. What it submitted goes on.",
        ),
    ),
    below=below,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
