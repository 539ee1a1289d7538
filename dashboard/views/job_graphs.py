"""Graphs of jobs: how far each is, who waits for whom, and what can be done about it."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import VALUES, Api, models
from dashboard.pages import Choice, Column, ListPage
from dashboard.widgets import confirm, findings, flow, markup, paging, problems, table

_WRITE: Final = "job:write"
_PAGE: Final = 50
_REFRESH_SECONDS: Final = 3
_FAILED: Final = ("dead", "cancelled", "skipped")
_OVER: Final = ("succeeded", *_FAILED)
_STATES: Final = ("blocked", "ready", "running", "awaiting", *_OVER)
_TASKS: Final = (
    table.Column("name", "Task", "strong"),
    table.Column("state", "State", "badge"),
    table.Column("kind", "Kind", "code"),
    table.Column("after", "After"),
    table.Column("grown_by", "Handed in by"),
    table.Column("attempt", "Attempts", "number"),
    table.Column("took", "Took"),
    table.Column("error", "Error"),
)


def detail(graph_id: str) -> None:
    """Draw one graph: how far it is, its picture, its jobs, and what can be done."""
    st.button("All graphs", key="graphs-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        found = state.current().api.get_job_graph(graph_id)
        if found.state == "running":
            _live(graph_id)
        else:
            _draw(graph_id)


@st.fragment(run_every=_REFRESH_SECONDS)
def _live(graph_id: str) -> None:
    with problems.guard():
        if _draw(graph_id).state != "running":
            st.rerun()


def _draw(graph_id: str) -> models.GraphOut:
    session = state.current()
    found = session.api.get_job_graph(graph_id)
    over = _over(found)
    said = f"{over:,} of {found.total:,} jobs have ended"
    standing = _standing(found)
    if standing == "paused":
        said += "; it is paused, and starts no more of them"
    markup.object_heading(found.name, standing, f"{said}.")
    st.progress(over / found.total)
    if session.can(_WRITE):
        _acts(session, found)
    boxes = session.api.get_job_graph_outline(graph_id).boxes
    with st.container(key="card-flow"):
        markup.section("Who waits for whom")
        flow.draw(
            f"Jobs of {found.name}",
            [flow.Node(one.name, one.by_state, one.after) for one in boxes],
        )
        if len(boxes) < found.total:
            markup.note("Jobs that are alike stand in one box, with how many they are.")
    with st.container(key="card-tasks"):
        markup.section("Jobs")
        _tasks(session, found)
    with st.container(key="card-facts"):
        markup.section("Details")
        markup.facts(_facts(session, found))
    findings.way(f"/jobs?graph_id={found.id}", "Open its jobs as a list, to filter or act on many")
    return found


def _tasks(session: state.Session, found: models.GraphOut) -> None:
    which = st.pills("State", _STATES, key="graph-tasks-state", label_visibility="collapsed")
    here = paging.place("graph-tasks-page", found.id, which)
    page = session.api.list_job_graph_tasks(found.id, state=which, cursor=here.cursor, limit=_PAGE)
    opened = table.draw(
        "graph-tasks", "Jobs of this graph", _TASKS, list(map(_row, page.items)), opens=True
    )
    if opened:
        st.switch_page("views/jobs.py", query_params=state.address(id=opened))
    paging.buttons(
        "graph-tasks", here, page.next_cursor, len(page.items), words=("Before", "After")
    )


def _row(one: models.GraphTaskOut) -> dict[str, str]:
    return {
        "id": one.id,
        "name": one.name,
        "state": one.state,
        "kind": one.kind,
        "after": ", ".join(one.depends_on) or markup.NONE,
        "grown_by": one.grown_by or markup.NONE,
        "attempt": str(one.attempt),
        "took": markup.duration(one.started_at, one.finished_at),
        "error": one.error or markup.NONE,
    }


def _standing(one: models.GraphOut) -> str:
    return "paused" if one.paused and one.state == "running" else one.state


def _over(one: models.GraphOut) -> int:
    return sum(one.by_state.get(each, 0) for each in _OVER)


def _acts(session: state.Session, found: models.GraphOut) -> None:
    with st.container(horizontal=True):
        if found.state == "running" and not found.paused:
            if st.button("Pause", key="graphs-pause", icon=":material/pause:"):
                session.api.pause_job_graph(found.id)
                st.rerun()
        elif found.state == "running" and st.button(
            "Go on", key="graphs-resume", icon=":material/play_arrow:", type="primary"
        ):
            session.api.resume_job_graph(found.id)
            st.rerun()
        if any(found.by_state.get(each) for each in _FAILED) and st.button(
            "Run again what failed", key="graphs-retry", icon=":material/replay:"
        ):
            session.api.retry_job_graph(found.id, models.GraphRetry())
            confirm.say_after_rerun(f"What did not succeed of {found.name} starts again.")
            st.rerun()
    if found.state == "running" and confirm.ask(
        "graphs-cancel",
        "Cancel graph",
        will="What waits does not start, and what runs is asked to stop. What was done stays done.",
        yes="Cancel this graph",
        icon=":material/cancel:",
    ):
        session.api.cancel_job_graph(found.id)
        confirm.say_after_rerun(f"Nothing more of {found.name} starts.")
        st.rerun()


def _facts(session: state.Session, one: models.GraphOut) -> list[tuple[str, str]]:
    states = [f"{count:,} {name}" for name, count in sorted(one.by_state.items())]
    return [
        ("Jobs", ", ".join(states)),
        ("Submitted", markup.when(one.created_at)),
        ("By", session.names.of(one.created_by)),
        ("Ended", markup.when(one.finished_at)),
        ("Took", markup.duration(one.created_at, one.finished_at)),
        ("Id", one.id),
    ]


def _back() -> None:
    st.query_params.from_dict(state.address())


PAGE: Final = ListPage(
    key="job-graphs",
    of=models.GraphOut,
    title="Job graphs",
    lead="Jobs that wait for each other and were submitted together, the newest first.",
    noun="graph",
    nothing="Workflows and programs submit them.",
    fetch=Api.list_job_graphs,
    write=_WRITE,
    columns=(
        Column("name", "Graph", "strong"),
        Column("state", "State", "badge", value=_standing),
        Column("total", "Jobs", "number"),
        Column("created_by", "Submitted by", "who"),
        Column("created_at", "Submitted", "time"),
        Column("finished_at", "Ended", "time", none="no"),
    ),
    filters=(Choice("state", "State", VALUES["list_job_graphs.state"]),),
    detail=detail,
)

if __name__ == "__main__":
    pages.draw(PAGE)
