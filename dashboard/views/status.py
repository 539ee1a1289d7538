"""Status: how the platform is and was, what failed and for how long. Redrawn every ten seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import models
from dashboard.widgets import markup, problems, table

REFRESH_SECONDS: Final = 10
WINDOWS: Final = {1: "1 hour", 24: "1 day", 168: "7 days", 720: "30 days", 2160: "90 days"}
_USUAL_WINDOW: Final = 24
_PARTS: Final = 90
"""Of the strip: what a phone still shows one by one."""
_WORST: Final = ("not_measured", "ready", "degraded", "not_ready")
_LOOKS: Final = {
    "ready": ("green", "Up"),
    "degraded": ("amber", "Degraded"),
    "not_ready": ("red", "Down"),
    "not_measured": ("gray", "Not looked at"),
}
_CHECKS: Final = (
    table.Column("what", "What", "strong"),
    table.Column("now", "Now", "badge"),
    table.Column("uptime", "Worked"),
    table.Column("needed", "Without it"),
)
_SAYS: Final = table.Column("detail", "Says", title="detail")
_INCIDENTS: Final = (
    table.Column("what", "What", "strong"),
    table.Column("began", "Began", "time"),
    table.Column("lasted", "Lasted"),
)


def page() -> None:
    """Draw the page."""
    with markup.heading_row():
        markup.page_heading("Status", "How the platform is, and how it was.")
        pages.remember("status-window")
        st.session_state.setdefault("status-window", _USUAL_WINDOW)
        hours = st.segmented_control(
            "Window",
            list(WINDOWS),
            required=True,
            format_func=WINDOWS.__getitem__,
            key="status-window",
        )
    live(int(hours or _USUAL_WINDOW))


@st.fragment(run_every=REFRESH_SECONDS)
def live(hours: int) -> None:
    """Draw how it is; Streamlit runs this alone, again and again."""
    with problems.guard():
        session = state.current()
        told = session.can("platform:read")
        read = session.api.read_platform_status if told else session.api.read_status
        figures(read(hours=hours), WINDOWS[hours], told=told)


def figures(found: models.StatusOut, window: str, *, told: bool) -> None:
    """Draw everything below the heading.

    Args:
        found: What the API says.
        window: Its length in words.
        told: Whether it says what each check said.
    """
    markup.status(*verdict(found))
    with st.container(key="card-strip", gap="xsmall"):
        markup.section(f"The last {window.removeprefix('1 ')}")
        markup.strip(_in_words(found), _parts(found))
        markup.note(
            f"{markup.moment(found.since)} to {markup.moment(found.until)}. {uptime(found)}"
        )
    markup.section("What the platform needs")
    table.draw(
        "status-checks",
        "What the platform needs",
        (*_CHECKS, _SAYS) if told else _CHECKS,
        [_check(one) for one in found.checks],
    )
    markup.section("Incidents")
    if not found.incidents:
        markup.empty("No incident", f"Nothing failed in the last {window.removeprefix('1 ')}.")
        return
    table.draw(
        "status-incidents",
        "Incidents",
        (*_INCIDENTS, _SAYS) if told else _INCIDENTS,
        [_incident(one) for one in found.incidents],
    )


def verdict(found: models.StatusOut) -> tuple[str, str, str]:
    """Return how it is now, as a tone, a word and a sentence."""
    failing = [one for one in found.checks if one.ok is False]
    needed = [_name(one.name) for one in failing if one.required]
    others = [_name(one.name) for one in failing if not one.required]
    tone, word = _LOOKS[found.status]
    if needed:
        said = f"Nothing is served: {_listed(needed)} {_fails(needed)}."
    elif others:
        said = f"Requests are served; {_listed(others)} {_fails(others)}."
    else:
        said = "All that the platform needs works."
    return tone, word, said


def uptime(found: models.StatusOut) -> str:
    """Return the share that it was up, and what is not known of it."""
    if found.uptime is None:
        return "Nobody looked in this time: whether it was up is not known."
    said = (
        f"Up at {markup.percent(found.uptime)} of the looks, one every ten seconds in each process."
    )
    if found.measured < 1:
        missing = markup.percent(1 - found.measured)
        said += f" Nobody looked in {missing} of the time, which is neither up nor down."
    return said


def _parts(found: models.StatusOut) -> Iterator[tuple[str, str]]:
    """Yield the strip's parts: of so many steps each, as the worst of them was."""
    size = max(len(found.points) // _PARTS, 1)
    for start in range(0, len(found.points), size):
        part = found.points[start : start + size]
        worst = max((point.status for point in part), key=_WORST.index)
        failing = sorted({name for point in part for name in point.failing})
        tone, word = _LOOKS[worst]
        until = part[-1].at + timedelta(seconds=found.step_seconds)
        words = f"{markup.moment(part[0].at)} to {markup.moment(until)}: {word}"
        if failing:
            words += f" ({_listed([_name(name) for name in failing])})"
        yield tone, words


def _in_words(found: models.StatusOut) -> str:
    counts = {name: sum(point.status == name for point in found.points) for name in _WORST}
    parts = [f"{_LOOKS[name][1].lower()} in {count}" for name, count in counts.items() if count]
    return f"Of {len(found.points)} steps: {', '.join(parts)}."


def _check(one: models.CheckStatusOut) -> dict[str, str]:
    return {
        "what": _name(one.name),
        "now": {True: "works", False: "fails", None: "not looked at"}[one.ok],
        "uptime": markup.NONE if one.uptime is None else markup.percent(one.uptime),
        "needed": {True: "nothing is served", False: "some things wait", None: markup.NONE}[
            one.required
        ],
        "detail": one.detail or markup.NONE,
    }


def _incident(one: models.IncidentOut) -> dict[str, str]:
    lasted = markup.duration(one.started_at, one.ended_at) if one.ended_at else "goes on"
    return {
        "what": _name(one.name),
        "began": markup.when(one.started_at),
        "lasted": lasted,
        "detail": one.detail or markup.NONE,
    }


def _name(check: str) -> str:
    return check.replace("_", " ").capitalize()


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def _fails(names: Sequence[str]) -> str:
    return "fails" if len(names) == 1 else "fail"


if __name__ == "__main__":
    page()
