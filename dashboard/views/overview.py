"""Overview: is it up, is it fast, does the work succeed. Redrawn every ten seconds."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import client, state, theme
from dashboard.widgets import charts, markup, problems, table

REFRESH_SECONDS: Final = 10
WINDOWS: Final = {15: "15 minutes", 60: "1 hour", 360: "6 hours"}
_WAITING: Final = ("blocked", "ready")
_FAILURES: Final = (
    table.Column("title", "What", "strong"),
    table.Column("kind", "Kind"),
    table.Column("detail", "Why"),
    table.Column("at", "When (UTC)", "time"),
)
_PAGES: Final = {"email": "views/emails.py", "job": "views/jobs.py"}


def page() -> None:
    """Draw the page."""
    with markup.heading_row():
        markup.page_heading("Overview", "Traffic, e-mails and jobs of this tenant, live.")
        minutes = st.segmented_control(
            "Window",
            list(WINDOWS),
            default=15,
            required=True,
            format_func=WINDOWS.__getitem__,
            key="overview-window",
        )
    live(int(minutes or 15))


@st.fragment(run_every=REFRESH_SECONDS)
def live(minutes: int) -> None:
    """Draw the figures; Streamlit runs this alone, again and again."""
    with problems.guard():
        figures(state.current().api.read_overview(minutes=minutes), minutes)


def figures(overview: client.models.OverviewOut, minutes: int) -> None:
    """Draw everything below the heading."""
    indicators(overview, minutes)
    times = [point.at for point in overview.series]
    traffic, latency, errors = st.columns(3)
    with traffic:
        charts.series(
            "requests",
            "Requests",
            times,
            [point.requests_per_second for point in overview.series],
            unit="per second",
            color="#1FA97A",
        )
    with latency:
        charts.series(
            "latency",
            "Latency, p95",
            times,
            [point.p95_ms for point in overview.series],
            unit="ms",
            color="#5B8DEF",
        )
    with errors:
        charts.series(
            "errors",
            "Errors",
            times,
            [
                None if point.error_rate is None else point.error_rate * 100
                for point in overview.series
            ],
            unit="% of requests",
            color="#E0555F",
        )
    emails, jobs = st.columns(2)
    with emails:
        charts.by_state(
            "emails-by-state",
            "E-mails by state",
            overview.emails,
            theme.EMAIL_STATES,
            nothing="No e-mail yet. The first one a workflow sends appears here.",
        )
    with jobs:
        charts.by_state(
            "jobs-by-state",
            "Jobs by state",
            overview.jobs,
            theme.JOB_STATES,
            nothing="No job yet.",
        )
    failures(overview.failures)


def indicators(overview: client.models.OverviewOut, minutes: int) -> None:
    """Draw the row of key figures."""
    requests = overview.requests
    cells = st.columns(5)
    cells[0].metric(
        "Requests / s",
        f"{requests.per_second:,.1f}"
        if requests.per_second >= 10
        else f"{requests.per_second:.2f}",
        border=True,
        height="stretch",
        help=f"Mean of the last {WINDOWS.get(minutes, f'{minutes} minutes')}.",
    )
    cells[1].metric(
        "Latency, p95",
        markup.NONE if requests.p95_ms is None else f"{requests.p95_ms:,.0f} ms",
        border=True,
        height="stretch",
        help="Nineteen of twenty requests were answered within this time.",
    )
    cells[2].metric(
        "Error rate",
        markup.NONE if requests.error_rate is None else f"{requests.error_rate:.2%}",
        border=True,
        height="stretch",
        help="Share of requests that the platform failed to serve.",
    )
    cells[3].metric(
        "Accepted, 24 h",
        f"{overview.emails.get('accepted', 0):,}",
        border=True,
        height="stretch",
        help="E-mails taken over by the receiving mail server in the last 24 hours.",
    )
    cells[4].metric(
        "Jobs waiting",
        f"{sum(overview.jobs.get(name, 0) for name in _WAITING):,}",
        border=True,
        height="stretch",
        help="Ready to run, or blocked by another job.",
    )


def failures(found: list[client.models.FailureOut]) -> None:
    """Draw what failed last; a row opens the e-mail or the job."""
    markup.section("Last failures")
    if not found:
        markup.empty(
            "Nothing failed", "Bounced e-mails and jobs that gave up would be listed here."
        )
        return
    opened = table.draw(
        "failures",
        "Last failures",
        _FAILURES,
        [
            {
                "id": f"{failure.kind}:{failure.id}",
                "title": failure.title,
                "kind": failure.kind,
                "detail": failure.detail or markup.NONE,
                "at": markup.when(failure.at),
            }
            for failure in found
        ],
        opens=True,
    )
    if opened:
        kind, _, subject = opened.partition(":")
        if kind in _PAGES:
            st.switch_page(_PAGES[kind], query_params={"id": subject})


if __name__ == "__main__":
    page()
