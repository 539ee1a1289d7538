"""Traces: what a workflow's run did, from n8n's node through the platform to the mail server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Choice, Column, ListPage, Words
from dashboard.widgets import charts, markup, problems, table

ERROR: Final = 2
_SHOWN: Final = 300
_BUSIEST: Final = 20
_ID_LENGTH: Final = 32
_INDENTS: Final = 12


def detail(trace_id: str) -> None:
    """Draw one trace as a waterfall, and beside another one."""
    api = state.current().api
    st.button("All traces", key="traces-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        found = api.get_trace(trace_id)
        trace = found.trace
        markup.object_heading(
            f"{trace.service}: {trace.name}",
            "failed" if trace.errors else "succeeded",
            _told(trace),
        )
        with st.container(key="card-waterfall"):
            markup.section("Waterfall")
            charts.waterfall(
                "traces-waterfall",
                [
                    charts.Bar(
                        span.name,
                        span.service,
                        span.offset_ms,
                        span.duration_ms,
                        failed=span.status == ERROR,
                        depth=span.depth,
                    )
                    for span in found.spans[:_SHOWN]
                ],
            )
            if len(found.spans) > _SHOWN:
                markup.note(f"The first {_SHOWN} of {len(found.spans):,} spans.")
        with st.container(key="card-facts"):
            markup.section("Details")
            markup.facts(_facts(trace))
        _draw_span(found.spans)
        _compare(api, trace_id)


def _back() -> None:
    st.query_params.from_dict(state.address())


def _told(trace: models.TraceOut) -> str:
    spans = "span" if trace.spans == 1 else "spans"
    return f"{trace.spans:,} {spans}, {trace.errors:,} failed, {trace.duration_ms:,.1f} ms"


def _facts(trace: models.TraceOut) -> list[tuple[str, str]]:
    return [
        ("Trace", trace.trace_id),
        ("Began", markup.moment(trace.started_at)),
        ("Kept because of", trace.kept_for.replace("_", " ")),
        ("Workflow", trace.workflow_id or markup.NONE),
        ("Execution", trace.execution_id or markup.NONE),
        ("Request", trace.request_id or markup.NONE),
    ]


def _draw_span(spans: Sequence[models.SpanOut]) -> None:
    """What one span says of itself; at first the first that failed."""
    by_id = {span.span_id: span for span in spans[:_SHOWN]}
    if not by_id:
        return
    first = next((one for one, span in by_id.items() if span.status == ERROR), next(iter(by_id)))
    with st.container(key="card-span"):
        markup.section("A span")
        chosen = st.selectbox(
            "Span",
            list(by_id),
            index=list(by_id).index(first),
            format_func=lambda one: f"{'· ' * min(by_id[one].depth, _INDENTS)}{by_id[one].name}",
            key="traces-span",
        )
        span = by_id[chosen]
        pairs: list[tuple[str, str]] = [
            ("Service", span.service),
            ("Took", f"{span.duration_ms:,.2f} ms, {span.self_ms:,.2f} ms of it by itself"),
        ]
        if span.message:
            pairs.append(("Error", span.message))
        pairs += [(name, _text(value)) for name, value in sorted(span.attributes.items())]
        markup.facts(pairs)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _compare(api: Api, trace_id: str) -> None:
    with st.container(key="card-compare"):
        markup.section("Compare")
        other = st.text_input(
            "Another trace", key="traces-other", placeholder="Its id", max_chars=_ID_LENGTH
        )
        if not other:
            markup.note("Operations of two traces beside each other, what differs most first.")
            return
        with problems.guard():
            found = api.compare_traces(trace_id, other=other.strip().lower())
            rows = [
                {
                    "name": one.name,
                    "service": one.service,
                    "count": f"{one.count:,}",
                    "other_count": f"{one.other_count:,}",
                    "here": f"{one.self_ms:,.1f}",
                    "there": f"{one.other_self_ms:,.1f}",
                    "more": f"{one.other_self_ms - one.self_ms:+,.1f}",
                }
                for one in found.operations
            ]
            table.draw(
                "traces-differences",
                "Operations of both traces",
                [
                    table.Column("name", "Operation", "strong"),
                    table.Column("service", "Service"),
                    table.Column("count", "Here", "number"),
                    table.Column("other_count", "There", "number"),
                    table.Column("here", "Here, ms", "number"),
                    table.Column("there", "There, ms", "number"),
                    table.Column("more", "Difference", "number"),
                ],
                rows,
            )


def operations() -> None:
    """Rate, errors and duration of the busiest operations of the last hour."""
    with problems.guard():
        _draw_operations(state.current().api.list_trace_operations(minutes=60).items)


def _draw_operations(found: Sequence[models.OperationOut]) -> None:
    if not found:
        return
    with st.container(key="card-operations"):
        markup.section("Operations of the last hour")
        table.draw(
            "traces-operations",
            "Rate, errors and duration by operation",
            [
                table.Column("name", "Operation", "strong"),
                table.Column("service", "Service"),
                table.Column("rate", "Per minute", "number"),
                table.Column("errors", "Errors", "number"),
                table.Column("p50", "p50, ms", "number"),
                table.Column("p95", "p95, ms", "number"),
            ],
            [
                {
                    "name": one.name,
                    "service": one.service,
                    "rate": f"{one.per_minute:,.2f}",
                    "errors": f"{100 * one.error_rate:.2f} %",
                    "p50": f"{one.p50_ms or 0:,.1f}",
                    "p95": f"{one.p95_ms or 0:,.1f}",
                }
                for one in found[:_BUSIEST]
            ],
        )


PAGE: Final = ListPage(
    key="traces",
    of=models.TraceOut,
    title="Traces",
    lead="What is kept of runs: those that failed, were slow or new, and a share of the rest.",
    noun="trace",
    nothing="Have n8n send its spans here, or wait for a request that fails.",
    fetch=Api.list_traces,
    write="trace:write",
    id="trace_id",
    name=lambda one: f"{one.service}: {one.name}",
    columns=(
        Column("name", "Name", "strong"),
        Column("service", "Service"),
        Column("duration_ms", "Took, ms", "number", lambda one: f"{one.duration_ms:,.1f}"),
        Column("spans", "Spans", "number"),
        Column("errors", "Failed", "number"),
        Column("kept_for", "Kept because of", value=lambda one: one.kept_for.replace("_", " ")),
        Column("created_at", "Kept", "time"),
    ),
    export=(
        "trace_id", "service", "name", "started_at", "duration_ms", "spans", "errors", "kept_for",
        "workflow_id", "execution_id", "request_id", "created_at",
    ),
    filters=(
        Words("service", "Service", "n8n", width=160),
        Words("operation", "Operation", "node.execute", width=200),
        Words("execution_id", "Execution", "4711", width=140),
        Words("request_id", "Request", "0199c0de-…", width=200),
        Words("attribute", "Attribute", "name=value", width=200),
        Choice("failed", "Failed", ("true", "false")),
    ),
    notice=operations,
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
