"""When a schedule is due: the form's fields by the timing's type, the request, and it in words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import msgspec
import streamlit as st

from dashboard import state
from dashboard.client import models, shapes
from dashboard.pages import Input
from dashboard.widgets import markup

_NEXT: Final = 5
_SOON: Final = timedelta(days=60)
_TYPES: Final = (
    ("cron", "By crontab's times"),
    ("calendar", "By a calendar: days of each week, month or year"),
    ("interval", "Each so many seconds"),
    ("once", "Once"),
)
_UNITS: Final = tuple((unit, unit) for unit in ("day", "week", "month", "year"))
_SKIPPED: Final = (
    ("shift", "comes as much later"),
    ("skip", "is left out"),
    ("gap_end", "comes when the gap ends"),
)
_REPEATED: Final = (
    ("first", "is the first of both"),
    ("last", "is the last of both"),
    ("both", "is due both times"),
)
_BY_CLOCKS: Final = ("cron", "calendar")
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMES: Final = {day[:3].lower(): day for day in _WEEKDAYS} | {"workday": "workday"}
_PLACED: Final = re.compile(r"(-?\d+)?([a-z]*)")
_LEAP: Final = 2000

TYPE: Final = Input("type", "Is due", "choice", usual="cron", options=lambda _: _TYPES)
INPUTS: Final = (
    TYPE,
    Input("expression", "Crontab", example="30 2 * * mon-fri", of=["cron"],
        help="Minute, hour, day, month and weekday as in crontab, or with seconds before"),
    Input("every", "Of so many the first", "number", of=["calendar"],
        help="1: each. 2 of weeks: each second week, counted from the first day."),
    Input("unit", "Days, weeks, months or years", "choice", usual="day",
        options=lambda _: _UNITS, of=["calendar"]),
    Input("days", "On", "words", required=False, example="mon thu", of=["calendar"],
        help="Of a week mon to sun or workday. Of a month 1 to 31, from its end -1 to -31, all of "
        "a weekday as fri, or one of them as 1mon or -1workday. Of a year a month and a day as "
        "12-24. Several stand between spaces. Nothing: the day that the first day is."),
    Input("times", "At", "words", example="06:00 18:00", of=["calendar"],
        help="Hours and minutes; several stand between spaces."),
    Input("first_day", "First day", "day", of=["calendar"],
        help="Nothing is due before it, and periods are counted from the one it is in."),
    Input("seconds", "Seconds", "number", usual="3600", of=["interval"],
        help="10 at least; 3600 are an hour, 86400 a day."),
    Input("first_time", "Counted from", "moment", of=["interval"], help="By your own clock."),
    Input("at", "At", "moment", of=["once"], help="By your own clock."),
    Input("zone", "Zone", required=False, example="Europe/Paris", of=_BY_CLOCKS,
        help="Whose clocks; UTC unless said."),
    Input("skipped", "A time that clocks skip", "choice", usual="shift",
        options=lambda _: _SKIPPED, of=_BY_CLOCKS),
    Input("repeated", "A time that clocks show twice", "choice", usual="first",
        options=lambda _: _REPEATED, of=_BY_CLOCKS),
)  # fmt: skip
"""All fields; :data:`TYPE` decides which of them are asked for."""
_ASKED_AS: Final[Mapping[str, Mapping[str, str]]] = {
    "calendar": {"since": "first_day"},
    "interval": {"since": "first_time"},
}
"""Where the form has another name than the timing, since of that name there are two fields."""


def body(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the timing that a form's fields make; what is empty is left out."""
    asked_as = {form: name for name, form in _ASKED_AS.get(given["type"], {}).items()}
    asked = {one.name for one in INPUTS if not one.of or given["type"] in one.of}
    said = {
        asked_as.get(name, name): value
        for name, value in given.items()
        if name in asked and value is not None
    }
    told: dict[str, Any] = msgspec.to_builtins(said)
    return told


def fields(timing: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a form begins with for a timing to be changed."""
    asked_as = _ASKED_AS.get(timing["type"], {})
    begins = {asked_as.get(name, name): value for name, value in timing.items()}
    if "first_day" in begins:
        begins["first_day"] = date.fromisoformat(begins["first_day"])
    for name in {"first_time", "at"} & begins.keys():
        begins[name] = datetime.fromisoformat(begins[name])
    return begins


def words(timing: Mapping[str, Any]) -> str:
    """Return what a timing says, for people."""
    if timing["type"] == "cron":
        return f"{timing['expression']} ({timing['zone']})"
    if timing["type"] == "interval":
        return _each(timing["seconds"])
    if timing["type"] == "once":
        return f"once, {markup.moment(datetime.fromisoformat(timing['at']))}"
    unit, every = timing["unit"], timing["every"]
    period = f"each {unit}" if every == 1 else f"every {every:,} {unit}s"
    days = _listed([_day(unit, one) for one in timing["days"] or _like(timing)])
    on = f" on {days}" if days else ""
    return f"{period}{on} at {_listed(timing['times'])} ({timing['zone']})"


def _each(seconds: int) -> str:
    """Return a step in its largest whole unit: ``each hour``, ``every 90 minutes``."""
    units = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))
    unit, length = next(one for one in units if not seconds % one[1])
    count = seconds // length
    return f"each {unit}" if count == 1 else f"every {count:,} {unit}s"


def _like(timing: Mapping[str, Any]) -> list[str]:
    """Return the day that is meant where none is said: the one that the first day is."""
    first = date.fromisoformat(timing["since"])
    return {
        "day": [],
        "week": [_WEEKDAYS[first.weekday()][:3].lower()],
        "month": [str(first.day)],
        "year": [f"{first:%m-%d}"],
    }[timing["unit"]]


def _day(unit: str, said: str) -> str:
    if unit == "year":
        # Of a leap year, which has all days that any year has.
        day = date.fromisoformat(f"{_LEAP}-{said}")
        return f"{day.day} {day:%B}"
    match = _PLACED.fullmatch(said)
    if match is None:  # a newer platform's
        return said
    place, name = match[1], _NAMES.get(match[2], match[2])
    if place is None:
        return f"each {name}" if unit == "month" or name == "workday" else name
    if not name and int(place) > 0:
        return f"the {_nth(int(place))}"
    return f"the {_nth(int(place))} {name or 'day'}"


def _nth(place: int) -> str:
    """Return a place as words have it: ``2nd``, from the end ``last`` and ``2nd last``."""
    if place == -1:
        return "last"
    count = abs(place)
    teens = range(11, 14)
    ending = "th" if count % 100 in teens else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
    return f"{count}{ending}{' last' if place < 0 else ''}"


def _listed(said: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(said[:-1]), said[-1]))) if said else ""


def preview(
    session: state.Session, timing: Mapping[str, Any], count: int = _NEXT
) -> models.JobSchedulePreviewOut:
    """Ask when a timing is due next."""
    asked = shapes.convert({"timing": timing, "count": count}, models.JobSchedulePreview)
    return session.api.preview_job_schedule(asked)


def tell(session: state.Session, timing: Mapping[str, Any]) -> None:
    """Draw when a timing is due next, and warn of clocks that change soon."""
    told = preview(session, timing)
    markup.label("Due next")
    if not told.times:
        markup.note("Never: its time has passed.")
        return
    st.markdown("\n".join(f"- {markup.moment(at)}" for at in told.times))
    soon = [at for at in told.changes if at - markup.now() < _SOON]
    if soon:
        markup.status(
            "amber",
            "Clocks change",
            f"In its zone they are put on or back {markup.moment(soon[0])}: a time that they skip "
            "or show twice is taken as the schedule says.",
        )
