"""A calendar of months and weeks: what lies on which day, as the days of whoever looks have it.

A real table, so that a screen reader tells the day of an entry; on a phone it is a list of the days
that have any.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from html import escape
from typing import Final, Literal

import streamlit as st

from dashboard.widgets import markup

_DAY: Final = timedelta(days=1)
_WEEK: Final = timedelta(days=7)
_SHOWN: Final = 4
_MONTH: Final = "Month"


Tone = Literal["green", "blue", "violet", "amber", "red", "gray"]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that lasts.

    Attributes:
        begins_at: From when on.
        ends_at: Until when.
        words: What it is, in a few words.
        tone: The colour of its badge.
        remark: What a resting pointer is told besides.
    """

    begins_at: datetime
    ends_at: datetime
    words: str
    tone: Tone = "blue"
    remark: str = ""


def draw(key: str, caption: str, fetch: Callable[[datetime, datetime], Sequence[Entry]]) -> None:
    """Draw the calendar with the way to other months and weeks.

    Args:
        key: Unique on the page.
        caption: Names the calendar to a screen reader.
        fetch: Tells what lies between two times, 42 days apart at most.
    """
    place = f"{key}-day"
    today = markup.now().date()
    about: date = st.session_state.get(place, today)
    with st.container(horizontal=True, vertical_alignment="center", key=f"calendar-{key}"):
        by = st.segmented_control(
            "Shown", (_MONTH, "Week"), default=_MONTH, key=f"{key}-by", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
        first, last = _weeks(about, by)
        before, after = first - _DAY, last + _DAY
        if by == _MONTH:
            before = about.replace(day=1) - _DAY
            after = (about.replace(day=28) + _WEEK).replace(day=1)
        for name, label, icon, to in (
            ("before", "Earlier", ":material/chevron_left:", before),
            ("today", "Today", None, today),
            ("after", "Later", ":material/chevron_right:", after),
        ):
            st.button(label, key=f"{key}-{name}", icon=icon, on_click=_go, args=(place, to))
        markup.section(f"{about:%B %Y}" if by == _MONTH else f"{first:%d %B} to {last:%d %B %Y}")
    found = fetch(_midnight(first), _midnight(last + _DAY))
    days = [first + _DAY * number for number in range((last - first).days + 1)]
    month = about if by == _MONTH else None
    cells = [_cell(day, found, month, today) for day in days]
    rows = "".join(f"<tr>{''.join(cells[at : at + 7])}</tr>" for at in range(0, len(days), 7))
    heads = "".join(f'<th scope="col">{day:%a}</th>' for day in days[:7])
    st.html(
        f'<div class="es-calendar"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
    if not found:
        markup.note("Nothing lies in this time.")


def _go(place: str, to: date) -> None:
    st.session_state[place] = to


def _weeks(about: date, by: str | None) -> tuple[date, date]:
    """Return the first and the last day that are shown: whole weeks."""
    first = last = about
    if by == _MONTH:
        first = about.replace(day=1)
        last = (about.replace(day=28) + _WEEK).replace(day=1) - _DAY
    return first - first.weekday() * _DAY, last + (6 - last.weekday()) * _DAY


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), markup.zone()).astimezone(UTC)


def _cell(day: date, found: Sequence[Entry], month: date | None, today: date) -> str:
    begin, end = _midnight(day), _midnight(day + _DAY)
    there = [one for one in found if one.begins_at < end and one.ends_at > begin]
    most = _SHOWN if month else len(there)
    items = "".join(_item(one, begin, end) for one in there[:most])
    if len(there) > most:
        items += f"<li>and {len(there) - most:,} more</li>"
    looks = [
        *(["es-other"] if month and day.month != month.month else []),
        *(["es-today"] if day == today else []),
        *([] if there else ["es-free"]),
    ]
    return (
        f'<td class="{" ".join(looks)}"><time datetime="{day.isoformat()}"><span>{day:%a} </span>'
        f"{day.day}</time>{f'<ul>{items}</ul>' if items else ''}</td>"
    )


def _item(one: Entry, begin: datetime, end: datetime) -> str:
    at = f"{markup.when(one.begins_at)} to {markup.when(one.ends_at)}"
    told = ". ".join(filter(None, (one.words, at, one.remark)))
    return (
        f'<li class="es-badge es-{one.tone}" title="{escape(told)}">'
        f"<small>{_hours(one, begin, end)}</small> {escape(one.words)}</li>"
    )


def _hours(one: Entry, begin: datetime, end: datetime) -> str:
    zone = markup.zone()
    first = f"{one.begins_at.astimezone(zone):%H:%M}"
    last = "24:00" if one.ends_at == end else f"{one.ends_at.astimezone(zone):%H:%M}"
    if one.begins_at <= begin and one.ends_at >= end:
        return "all day"
    if one.begins_at <= begin:
        return f"to {last}"
    if first == last:
        return first
    return f"from {first}" if one.ends_at > end else f"{first} to {last}"
