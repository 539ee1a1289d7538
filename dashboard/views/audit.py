"""Audit: who did what to what, and the proof that nobody edited it since."""

from __future__ import annotations

import json
from functools import partial
from typing import Final

import streamlit as st

from dashboard import api, state
from dashboard.widgets import export, markup, paging, problems, table

_COLUMNS: Final = (
    table.Column("action", "Action", "strong"),
    table.Column("at", "When (UTC)", "time"),
    table.Column("seq", "Seq", "number"),
    table.Column("actor", "Actor"),
    table.Column("target", "Target", "code"),
)
_EXPORT: Final = ("seq", "id", "at", "actor", "action", "target", "data", "request_id", "hash")


def page() -> None:
    """Draw the check and the filtered trail."""
    session = state.current()
    with markup.heading_row():
        markup.page_heading(
            "Audit", "Every change in this tenant. Each record carries a hash over all before it."
        )
        verify = session.can("audit:verify") and st.button(
            "Verify the chain", key="audit-verify", icon=":material/verified_user:"
        )
    _verdict(session, verify=verify)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        action = _filter("Action", "email.submitted")
        actor = _filter("Actor", "user:…")
        target = _filter("Target", "email:…")
        fetch = partial(
            session.api.list_audit,
            action=action or None,
            actor=actor or None,
            target=target or None,
        )
        export.button(
            "audit-export",
            "audit.csv",
            lambda cursor: fetch(cursor=cursor, limit=api.EXPORT_LIMIT),
            _EXPORT,
            _export_row,
            filters=(action, actor, target),
        )
    here = paging.place("audit-place", action, actor, target)
    with problems.guard():
        found = fetch(cursor=here.cursor)
        if not found.items:
            if action or actor or target:
                markup.empty("No record matches", "Take a filter away to see more.")
            else:
                markup.empty("No record yet", "The first change in this tenant appears here.")
            return
        above = st.container()
        opened = table.draw(
            "audit", "Audit records", _COLUMNS, [_row(record) for record in found.items], opens=True
        )
        if opened:
            st.session_state["audit-open"] = opened
        chosen = st.session_state.get("audit-open")
        for record in found.items:
            if record.id == chosen:
                with above:
                    _record(record)
        paging.buttons("audit", here, found.next_cursor, len(found.items))


def _filter(label: str, example: str) -> str:
    return st.text_input(
        label, key=f"audit-{label.lower()}", placeholder=example, width=220
    ).strip()


def _verdict(session: state.Session, *, verify: bool) -> None:
    with problems.guard():
        if verify:
            with st.spinner("Recomputing every hash…"):
                st.session_state["audit-verdict"] = session.api.verify_audit()
        verdict = st.session_state.get("audit-verdict")
        if isinstance(verdict, api.AuditVerdict):
            _show_verdict(verdict)


def _show_verdict(verdict: api.AuditVerdict) -> None:
    waiting = (
        f" Newer records not yet chained: {verdict.unsequenced}; that takes about a second."
        if verdict.unsequenced
        else ""
    )
    if verdict.valid:
        head = f"record {verdict.head_seq}, hash {verdict.head_hash or markup.NONE}"
        markup.verdict(
            good=True,
            title=f"All {verdict.records:,} records are as they were written.",
            text=f"Head of the chain: {head}.{waiting}",
        )
    else:
        markup.verdict(
            good=False,
            title=f"Record {verdict.first_invalid_seq} was changed, removed or put in later.",
            text=(
                "Records before it are intact; what follows can no longer be proved. Keep the "
                f"database as it is and compare with the last exported head.{waiting}"
            ),
        )


def _row(record: api.AuditRecord) -> dict[str, str]:
    return {
        "id": record.id,
        "action": record.action,
        "seq": markup.NONE if record.seq is None else str(record.seq),
        "actor": record.actor,
        "target": record.target or markup.NONE,
        "at": markup.when(record.at),
    }


def _record(record: api.AuditRecord) -> None:
    with st.container(key="card-record"):
        with markup.heading_row():
            markup.section(f"Record {record.seq if record.seq is not None else 'not yet chained'}")
            st.button("Close", key="audit-close", icon=":material/close:", on_click=_close)
        markup.facts(
            [
                ("Action", record.action),
                ("When (UTC)", markup.when(record.at)),
                ("Actor", record.actor),
                ("Target", record.target or markup.NONE),
                ("Request", record.request_id or markup.NONE),
                ("Hash", record.hash or markup.NONE),
                ("Id", record.id),
            ]
        )
        if record.data:
            st.code(
                json.dumps(record.data, ensure_ascii=False, indent=2),
                language=None,
                wrap_lines=True,
            )


def _close() -> None:
    st.session_state.pop("audit-open", None)


def _export_row(record: api.AuditRecord) -> list[object]:
    return [
        record.seq,
        record.id,
        record.at.isoformat(),
        record.actor,
        record.action,
        record.target,
        json.dumps(record.data, ensure_ascii=False),
        record.request_id,
        record.hash,
    ]


if __name__ == "__main__":
    page()
