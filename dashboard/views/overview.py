"""Overview: how it is in a sentence, what succeeds, how fast, how much. Renewed every ten seconds.

Figures stand in the order in which people ask: before how fast something is comes whether it
succeeds. Each leads to its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import pages, state, theme
from dashboard.client import models
from dashboard.widgets import charts, findings, latest, markup, problems, table, usage

REFRESH_SECONDS: Final = 5
"""Every second time the platform is asked; in between the age of the figures is drawn anew."""
WINDOWS: Final = {
    15: "15 minutes",
    60: "1 hour",
    360: "6 hours",
    1440: "1 day",
    10_080: "7 days",
    43_200: "30 days",
    129_600: "90 days",
}
_FRESH_SECONDS: Final = 9
_LONG_FRESH_SECONDS: Final = 55
_LONG: Final = 1440
"""Windows longer than this are asked for once a minute: nothing in them moves faster."""
_USUAL_WINDOW: Final = 15
_WAITING: Final = ("blocked", "ready")
_FAILURES: Final = (
    table.Column("title", "What", "strong"),
    table.Column("kind", "Kind"),
    table.Column("detail", "Why"),
    table.Column("at", "When", "time"),
)
_PAGES: Final = {"email": "views/emails.py", "job": "views/jobs.py"}


def page() -> None:
    """Draw the page."""
    with markup.heading_row():
        markup.page_heading("Overview", "Mail, jobs and API requests of this tenant, live.")
        pages.remember("overview-window")
        st.session_state.setdefault("overview-window", _USUAL_WINDOW)
        minutes = st.segmented_control(
            "Window",
            list(WINDOWS),
            required=True,
            format_func=WINDOWS.__getitem__,
            key="overview-window",
        )
    session = state.current()
    quotas: Sequence[models.QuotaOut] = ()
    with problems.guard():
        # Once a visit: they fill by the day and not by the second.
        if session.can("usage:read"):
            quotas = session.api.list_quotas().items
    live(int(minutes or _USUAL_WINDOW), quotas)


@st.fragment(run_every=REFRESH_SECONDS)
def live(minutes: int, quotas: Sequence[models.QuotaOut]) -> None:
    """Draw the figures; Streamlit runs this alone, again and again.

    When the platform does not answer, that is said above the last figures, which stay.
    """
    session = state.current()
    with problems.guard():
        lasting = _LONG_FRESH_SECONDS if minutes > _LONG else _FRESH_SECONDS
        kept = latest.ask(
            "overview-found",
            (session.me.tenant.id, minutes),
            lambda: session.api.read_overview(minutes=minutes),
            lasting,
        )
        if kept is None:
            return
        # What was well when it was last told is not known to be well now.
        told = (markup.now() - kept.at).total_seconds() < lasting
        figures(kept.found, minutes, quotas, told=told)
        if session.can("platform:read"):
            platform()


def updated(overview: models.OverviewOut) -> str:
    """Return how old the figures are."""
    seconds = max(round((markup.now() - overview.made_at).total_seconds()), 0)
    if seconds < 120:
        return f"Updated {_count(seconds, 'second')} ago."
    return f"Updated {markup.age(overview.made_at, markup.now())} ago."


def figures(
    overview: models.OverviewOut,
    minutes: int,
    quotas: Sequence[models.QuotaOut],
    *,
    told: bool = True,
) -> None:
    """Draw everything below the heading; ``told`` is whether the figures are of now."""
    window = f"the last {WINDOWS.get(minutes, f'{minutes} minutes').removeprefix('1 ')}"
    if told:
        findings.draw("overview", overview.verdict)
    else:
        markup.status("red", "Act now", "The API does not answer: how it is now is not known.")
    markup.note(updated(overview))
    usage.warn(quotas)
    mail(overview, window)
    why, took = st.columns(2)
    with why:
        reasons(overview, window)
    with took:
        acceptance(overview, window)
    failures(overview.failures)
    requests(overview, window)
    markup.section("How much")
    emails, jobs = st.columns(2)
    with emails:
        charts.by_state(
            "emails-by-state",
            "E-mails by state",
            overview.emails,
            theme.EMAIL_STATES,
            unit=f"made in {window}, and all that wait",
            nothing=f"No e-mail in {window}, and none waits.",
        )
    with jobs:
        charts.by_state(
            "jobs-by-state",
            "Jobs by state",
            overview.jobs,
            theme.JOB_STATES,
            unit=f"made in {window}, and all that wait",
            nothing=f"No job in {window}, and none waits.",
        )


def reasons(overview: models.OverviewOut, window: str) -> None:
    """Draw why messages failed, those of most messages first."""
    with st.container(key="card-reasons", height="stretch", gap="xsmall"):
        markup.section("Why mail failed")
        if not overview.reasons:
            markup.empty("No mail failed", f"No message of {window} bounced.")
            return
        table.draw(
            "overview-reasons",
            "Why mail failed",
            (
                table.Column("reason", "What the mail server said", "strong"),
                table.Column("messages", "Messages", "number"),
            ),
            [{"reason": one.reason, "messages": f"{one.messages:,}"} for one in overview.reasons],
        )
        findings.ways(
            "reasons",
            [
                ("/emails?state=bounced", "Bounced e-mails"),
                ("/emails?state=partial", "Taken in part"),
            ],
        )


def acceptance(overview: models.OverviewOut, window: str) -> None:
    """Draw how long it took from submission until the mail server took the message."""
    found = overview.acceptance
    with st.container(key="card-acceptance", height="stretch", gap="xsmall"):
        markup.section("From submission to acceptance")
        if found.p50_seconds is None or found.p95_seconds is None:
            markup.empty("Not measured", f"No message of {window} was accepted.")
            return
        half, most = st.columns(2)
        half.metric("Half within", _seconds(found.p50_seconds))
        most.metric("95 % within", _seconds(found.p95_seconds))
        markup.note(
            f"Of {_count(found.messages, 'message')}, the newest accepted ones of {window}; "
            "from the request, or from when a message was to be sent."
        )
        findings.ways("acceptance", [("/emails?state=accepted", "Accepted e-mails")])


def platform() -> None:
    """Draw how the platform does across its tenants, for who administers it."""
    session = state.current()
    kept = latest.ask(
        "overview-platform",
        session.me.tenant.id,
        session.api.read_platform_overview,
        _FRESH_SECONDS,
    )
    if kept is None:
        return
    found: models.PlatformOverviewOut = kept.found
    markup.section("The platform, across tenants")
    findings.draw("platform", found.verdict)
    if not found.tenants:
        markup.empty("No tenant asked for anything", "In the last 15 minutes.")
        return
    opened = table.draw(
        "overview-tenants",
        "Tenants by how long their requests take",
        (
            table.Column("name", "Tenant", "strong"),
            table.Column("p95", "95 % within", "number"),
            table.Column("requests", "Requests", "number"),
            table.Column("errors", "Failed", "number"),
        ),
        [
            {
                "id": one.id,
                "name": one.name,
                "p95": markup.NONE if one.p95_ms is None else f"{one.p95_ms:,.0f} ms",
                "requests": f"{one.requests:,}",
                "errors": markup.NONE if one.error_rate is None else markup.percent(one.error_rate),
            }
            for one in found.tenants
        ],
        opens=True,
    )
    if opened:
        st.switch_page("views/tenants.py", query_params=state.address(id=opened))


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:,.0f} ms"
    return f"{seconds:,.1f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"


def mail(overview: models.OverviewOut, window: str) -> None:
    """Draw what became of the mail, and what waits."""
    found = overview.delivery
    markup.section("What succeeds")
    waiting = sum(overview.jobs.get(name, 0) for name in _WAITING)
    running = overview.jobs.get("running", 0)
    with st.container(key="figures"):
        cells = st.columns(4)
    _figure(
        cells[0],
        "Mail accepted",
        markup.NONE if found.accepted_share is None else markup.percent(found.accepted_share),
        f"{found.accepted:,} of {found.settled:,} settled" if found.settled else "no mail settled",
        "Of the e-mails made in "
        f"{window} whose outcome is known: those that the mail server of every recipient took "
        "over. What happens behind that server is not seen.",
    )
    _figure(
        cells[1],
        "Bounced",
        f"{found.bounced:,}" if found.settled else markup.NONE,
        f"{found.partial:,} accepted in part" if found.settled else "no mail settled",
        "E-mails that no recipient's mail server took over. Beside them those that some took.",
    )
    _figure(
        cells[2],
        "Suppressed",
        f"{found.suppressed:,}" if found.settled else markup.NONE,
        "not sent on purpose" if found.settled else "no mail settled",
        "E-mails of which every recipient is on the suppression list.",
    )
    _figure(
        cells[3],
        "Jobs waiting",
        f"{waiting:,}",
        f"{running:,} running, {_count(overview.workers.alive, 'worker')}"
        if overview.workers.alive
        else ("all workers draining" if overview.workers.draining else "no worker"),
        "Ready to run, due later, or blocked by another job; however old. The workers are the "
        "platform's and serve all tenants.",
    )
    findings.ways(
        "mail",
        [
            ("/emails?state=accepted", "Accepted"),
            ("/emails?state=bounced", "Bounced"),
            ("/emails?state=suppressed", "Suppressed"),
            ("/emails?state=deferred", "Deferred"),
            ("/jobs?state=ready", "Waiting jobs"),
            ("/jobs?state=dead", "Jobs that gave up"),
        ],
    )


def requests(overview: models.OverviewOut, window: str) -> None:
    """Draw how the API served this tenant."""
    markup.section("How fast: API requests")
    markup.note(
        f"By this tenant's clients, keys and people in {window}. What the console reads to show it "
        "does not count."
    )
    found = overview.requests
    times = [point.at for point in overview.series]
    traffic, latency, errors = st.columns(3)
    rate = _rate(found.per_second)
    with traffic:
        charts.series(
            "requests",
            "Requests",
            times,
            [point.requests_per_second for point in overview.series],
            unit=f"per second, mean {rate}",
            of="per second",
            color="#1FA97A",
        )
    with latency:
        charts.series(
            "latency",
            "Latency, p95",
            times,
            [point.p95_ms for point in overview.series],
            unit="ms" if found.p95_ms is None else f"ms, over all {found.p95_ms:,.0f}",
            of="ms",
            color="#5B8DEF",
        )
    with errors:
        charts.series(
            "errors",
            "Request errors (5xx)",
            times,
            [
                None if point.error_rate is None else point.error_rate * 100
                for point in overview.series
            ],
            unit="%"
            if found.error_rate is None
            else f"% of requests, over all {markup.percent(found.error_rate)}",
            of="% of requests",
            color="#E0555F",
        )
    findings.ways(
        "requests", [("/traces", "Traces"), ("/traces?failed=true", "Traces with failures")]
    )


def _figure(cell: DeltaGenerator, label: str, value: str, beside: str, about: str) -> None:
    cell.metric(
        label,
        value,
        beside,
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=about,
    )


def _rate(per_second: float) -> str:
    """Return so many a second, rounded away from none."""
    if 0 < per_second < 0.01:
        return "< 0.01"
    return f"{per_second:,.1f}" if per_second >= 10 else f"{per_second:.2f}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def failures(found: list[models.FailureOut]) -> None:
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
            st.switch_page(_PAGES[kind], query_params=state.address(id=subject))


if __name__ == "__main__":
    page()
