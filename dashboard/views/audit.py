"""Audit: who did what to what, and the proof that nobody edited it since."""

from __future__ import annotations

import json
from typing import Final

import streamlit as st

from dashboard import schemas, state
from dashboard.widgets import listing, markup, problems, table


def _row(record: schemas.AuditRecord) -> dict[str, str]:
    return {
        "id": record.id,
        "action": record.action,
        "seq": markup.NONE if record.seq is None else str(record.seq),
        "actor": record.actor,
        "target": record.target or markup.NONE,
        "at": markup.when(record.at),
    }


_LIST: Final = listing.Listing(
    key="audit",
    title="Audit records",
    noun="record",
    nothing="The first change in this tenant appears here.",
    columns=(
        table.Column("action", "Action", "strong"),
        table.Column("at", "When (UTC)", "time"),
        table.Column("seq", "Seq", "number"),
        table.Column("actor", "Actor"),
        table.Column("target", "Target", "code"),
    ),
    row=_row,
    export=("seq", "id", "at", "actor", "action", "target", "data", "request_id", "hash"),
    filters=(
        listing.Text(name="action", label="Action", example="email.submitted"),
        listing.Text(name="actor", label="Actor", example="user:…"),
        listing.Text(name="target", label="Target", example="email:…"),
    ),
)


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
    listing.draw(_LIST, session.api.list_audit, card=_record)


def _verdict(session: state.Session, *, verify: bool) -> None:
    with problems.guard():
        if verify:
            with st.spinner("Recomputing every hash…"):
                st.session_state["audit-verdict"] = session.api.verify_audit()
        verdict = st.session_state.get("audit-verdict")
        if isinstance(verdict, schemas.AuditVerdict):
            _show_verdict(verdict)


def _show_verdict(verdict: schemas.AuditVerdict) -> None:
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


def _record(record: schemas.AuditRecord) -> None:
    number = "not yet chained" if record.seq is None else str(record.seq)
    with listing.open_card("audit", f"Record {number}"):
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


if __name__ == "__main__":
    page()
