"""Audit: who did what to what, and the proof that nobody edited it since."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Final

import streamlit as st

from dashboard import client, state
from dashboard.widgets import listing, markup, problems, table


def _row(record: client.models.AuditOut) -> dict[str, str]:
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Trail:
    """One chain of records: what it is of, and who may read and verify it."""

    name: str
    lead: str
    read: str
    verify: str
    listing: listing.Listing[client.models.AuditOut]
    platform: bool


# Each with a key of its own: a filter, a place or a verdict of one says nothing about the other.
_TENANT: Final = _Trail(
    name="This tenant",
    lead="Every change in this tenant. Each record carries a hash over all before it.",
    read="audit:read",
    verify="audit:verify",
    listing=_LIST,
    platform=False,
)
_PLATFORM: Final = _Trail(
    name="Platform",
    lead=(
        "What belongs to no tenant: log-ins, tenants made, signing keys. Each record carries a "
        "hash over all before it."
    ),
    read="platform:read",
    verify="platform:read",
    listing=dataclasses.replace(
        _LIST,
        key="platform-audit",
        title="The platform's audit records",
        nothing="The first log-in appears here.",
        filters=(
            listing.Text(name="action", label="Action", example="login.failed"),
            listing.Text(name="actor", label="Actor", example="user:…"),
            listing.Text(name="target", label="Target", example="tenant:…"),
        ),
    ),
    platform=True,
)


def page() -> None:
    """Draw the check and the filtered trail: the tenant's, or for those who may the platform's."""
    session = state.current()
    trails = {each.name: each for each in (_TENANT, _PLATFORM) if session.can(each.read)}
    head = st.container()
    trail = trails[_chosen(list(trails))]
    key = trail.listing.key
    with head, markup.heading_row():
        markup.page_heading("Audit", trail.lead)
        verify = session.can(trail.verify) and st.button(
            "Verify the chain", key=f"{key}-verify", icon=":material/verified_user:"
        )
    _verdict(session, trail, verify=verify)
    listing.draw(
        trail.listing,
        session.api.list_platform_audit if trail.platform else session.api.list_audit,
        card=functools.partial(_record, key),
    )


def _chosen(names: list[str]) -> str:
    """Return the name of the trail on show; who may read one alone has nothing to choose."""
    if len(names) == 1:
        return names[0]
    widget = "audit-trail"
    listing.remember(widget)
    st.session_state.setdefault(widget, names[0])
    st.segmented_control("Trail", names, required=True, key=widget, label_visibility="collapsed")
    return str(st.session_state[widget])


def _verdict(session: state.Session, trail: _Trail, *, verify: bool) -> None:
    kept = f"{trail.listing.key}-verdict"
    with problems.guard():
        if verify:
            with st.spinner("Recomputing every hash…"):
                st.session_state[kept] = (
                    session.api.verify_platform_audit()
                    if trail.platform
                    else session.api.verify_audit()
                )
        verdict = st.session_state.get(kept)
        if isinstance(verdict, client.models.ChainReportOut):
            _show_verdict(verdict)


def _show_verdict(verdict: client.models.ChainReportOut) -> None:
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


def _record(key: str, record: client.models.AuditOut) -> None:
    number = "not yet chained" if record.seq is None else str(record.seq)
    with listing.open_card(key, f"Record {number}"):
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
