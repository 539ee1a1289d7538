"""Small pieces of HTML: headings, badges, facts, timelines. Everything given is escaped here.

``st.html`` is used instead of Markdown wherever text comes from outside: a subject or a tenant's
name must never be read as markup of either kind.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from html import escape
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import theme

NONE: Final = "–"
WARNED_SHARE: Final = 0.8
_KILO: Final = 1024


def zone() -> tzinfo:
    """Return the time zone of whoever looks, or UTC where their browser tells none we know."""
    try:
        return ZoneInfo(st.context.timezone or "UTC")
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return UTC


def now(clock: Callable[[], float] = time.time) -> datetime:
    """Return the time by ``clock``, seconds since the epoch, as whoever looks has it."""
    return datetime.fromtimestamp(clock(), zone())


def zone_name() -> str:
    """Return the name of that time zone, such as ``Europe/Berlin``."""
    return str(zone())


def when(at: datetime | None) -> str:
    """Return a time to the second, as the clock of whoever looks shows it, in a form that sorts."""
    return at.astimezone(zone()).strftime("%Y-%m-%d %H:%M:%S") if at else NONE


def moment(at: datetime | None) -> str:
    """Return a time as ``when`` does and the zone it is told in: for sentences."""
    return f"{when(at)} {at.astimezone(zone()).tzname()}" if at else NONE


def size(size_bytes: int | None) -> str:
    """Return a number of bytes for people, in binary units."""
    if size_bytes is None:
        return NONE
    if size_bytes < _KILO:
        return f"{size_bytes} B"
    if size_bytes < _KILO * _KILO:
        return f"{size_bytes / _KILO:.1f} KiB"
    return f"{size_bytes / _KILO / _KILO:.1f} MiB"


def percent(share: float) -> str:
    """Return a share in percent, rounded away from none and from all: neither is said lightly."""
    if 0 < share < 0.0001:
        return "< 0.01 %"
    if 0.9999 < share < 1:
        return "> 99.99 %"
    return f"{share:.2%}".replace(".00%", "%").replace("%", " %")


def duration(start: datetime | None, end: datetime | None) -> str:
    """Return how long something took, or a dash while it has not ended."""
    if start is None or end is None:
        return NONE
    seconds = max((end - start).total_seconds(), 0.0)
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def span(seconds: float | None) -> str:
    """Return a length of time in its largest unit, ``1.5 h``; a dash where there is none."""
    if seconds is None:
        return NONE
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"


def age(at: datetime, now: datetime) -> str:
    """Return how long ago a time is, in its largest whole unit: ``3 days``, ``1 hour``."""
    seconds = max(int((now - at).total_seconds()), 0)
    for unit, length in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if count := seconds // length:
            return f"{count:,} {unit}{'' if count == 1 else 's'}"
    return "under a minute"


def badge_html(state: str) -> str:
    """Return a state's badge: a dot and the word, so that colour is never the only sign."""
    tone = theme.look(state).tone
    return f'<span class="es-badge es-{tone}">{escape(state)}</span>'


def page_heading(title: str, lead: str) -> None:
    """Draw the page's one first-level heading and the sentence that says what the page is for."""
    st.html(f'<div class="es-heading"><h1>{escape(title)}</h1><p>{escape(lead)}</p></div>')


def heading_row() -> DeltaGenerator:
    """Return the row of a heading and, at its right end, what can be done there."""
    return st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    )


def object_heading(title: str, state: str, lead: str) -> None:
    """Draw the heading of one thing with its state beside it."""
    st.html(
        f'<div class="es-heading"><div class="es-title-row"><h1>{escape(title)}</h1>'
        f"{badge_html(state)}</div><p>{escape(lead)}</p></div>"
    )


def drawing(svg: str, alt: str) -> None:
    """Draw a picture that came as SVG: as an image, since ``st.html`` takes the element away."""
    st.html(f'<img class="es-drawing" src="{as_image(svg)}" alt="{escape(alt)}">')


def as_image(svg: str) -> str:
    """Return the address of a picture that holds it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def section(title: str) -> None:
    """Draw a second-level heading."""
    st.html(f'<h2 class="es-section">{escape(title)}</h2>')


def label(text: str) -> None:
    """Draw the name of what stands below it."""
    st.html(f'<p class="es-label">{escape(text)}</p>')


def note(text: str) -> None:
    """Draw a remark in small type."""
    st.html(f'<p class="es-note">{escape(text)}</p>')


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Draw a list of names and values."""
    rows = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs
    )
    st.html(f'<dl class="es-facts">{rows}</dl>')


def chips(name: str, chips: Iterable[tuple[str, str, str]]) -> None:
    """Draw short words in a row, each with its tone and a remark."""
    items = "".join(
        f'<li class="es-badge es-{escape(tone)}">{escape(word)}'
        f"{f' <small>{escape(remark)}</small>' if remark else ''}</li>"
        for word, tone, remark in chips
    )
    st.html(f'<p class="es-label">{escape(name)}</p><ul class="es-chips">{items}</ul>')


def meters(rows: Iterable[tuple[str, str, float, str]]) -> None:
    """Draw how much of each limit is used: its name, the figures in words, the share, a warning.

    The bar says nothing that the words beside it do not; a share of at least 0.8 is warned of.
    """
    items = []
    for name, words, share, warning in rows:
        tone = "red" if share >= 1 else "amber" if share >= WARNED_SHARE else "green"
        badge = f' <span class="es-badge es-{tone}">{escape(warning)}</span>' if warning else ""
        items.append(
            f'<li class="es-{tone}"><p><span>{escape(name)}{badge}</span>'
            f"<span>{escape(words)}</span></p>"
            f'<div class="es-meter" aria-hidden="true"><i style="width:{min(share, 1):.1%}"></i>'
            "</div></li>"
        )
    st.html(f'<ul class="es-meters">{"".join(items)}</ul>')


def strip(says: str, parts: Iterable[tuple[str, str]]) -> None:
    """Draw how something was, part after part: a tone and the words that a pointer shows.

    Args:
        says: All of it in words, for whoever does not see the colours.
        parts: From the first to the last, of one length.
    """
    drawn = "".join(
        f'<i class="es-{escape(tone)}" title="{escape(words)}"></i>' for tone, words in parts
    )
    st.html(f'<div class="es-strip" role="img" aria-label="{escape(says)}">{drawn}</div>')


def heat(says: str, rows: Iterable[tuple[str, Iterable[tuple[str, float, str]]]]) -> None:
    """Draw days as rows of hours: how each was, and how much there was of it.

    Args:
        says: All of it in words, for whoever does not see the colours.
        rows: A day's name and its 24 hours: a tone or ``none``, a share of the most there was in
            an hour, and the words that a pointer shows.
    """
    drawn = "".join(
        f'<span>{escape(day)}</span><div class="es-strip">'
        + "".join(
            f'<i class="es-{escape(tone)}" style="opacity:{0.35 + 0.65 * share:.2f}" '
            f'title="{escape(words)}"></i>'
            for tone, share, words in hours
        )
        + "</div>"
        for day, hours in rows
    )
    marks = "".join(f"<span>{hour:02d}</span>" for hour in (0, 6, 12, 18, 24))
    st.html(
        f'<div class="es-heat" role="img" aria-label="{escape(says)}">{drawn}'
        f'<span></span><div class="es-hours">{marks}</div></div>'
    )


def timeline(entries: Iterable[tuple[datetime, str, str]]) -> None:
    """Draw what happened, oldest first: when, the event's name, and a remark."""
    rows = "".join(
        f'<li class="es-{theme.look(event).tone}"><div class="es-event">{badge_html(event)}'
        f'<time datetime="{escape(at.isoformat())}">{escape(when(at))}</time></div>'
        f"{f'<p>{escape(remark)}</p>' if remark else ''}</li>"
        for at, event, remark in entries
    )
    st.html(f'<ol class="es-timeline">{rows}</ol>')


def empty(title: str, text: str) -> None:
    """Draw the place of a list that has nothing in it, and say what would fill it."""
    st.html(
        f'<div class="es-empty"><p class="es-empty-title">{escape(title)}</p>'
        f"<p>{escape(text)}</p></div>"
    )


def status(tone: str, word: str, sentence: str) -> None:
    """Draw how things stand, in a sentence: the first that is read on a page."""
    st.html(
        f'<p class="es-status es-{escape(tone)}" role="status">'
        f'<span class="es-badge es-{escape(tone)}">{escape(word)}</span> {escape(sentence)}</p>'
    )


def field_error(text: str) -> None:
    """Draw what is wrong with the field above."""
    st.html(f'<p class="es-field-error" role="alert">{escape(text)}</p>')


def verdict(*, good: bool, title: str, text: str, word: str = "") -> None:
    """Draw the outcome of a check so that it cannot be misread; ``word`` names it otherwise."""
    usual, kind = ("Passed", "green") if good else ("Failed", "red")
    word = escape(word or usual)
    st.html(
        f'<div class="es-verdict es-{kind}" role="status"><p class="es-verdict-title">'
        f'<span class="es-badge es-{kind}">{word}</span> {escape(title)}</p>'
        f"<p>{escape(text)}</p></div>"
    )
