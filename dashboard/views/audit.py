"""Audit: who did what to what, and the proof that nobody edited it since."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, ApiProblem, models
from dashboard.pages import Column, ListPage, Words
from dashboard.widgets import markup, problems


def _number(record: models.AuditOut) -> str:
    return markup.NONE if record.seq is None else str(record.seq)


def _name(record: models.AuditOut) -> str:
    return "Record not yet chained" if record.seq is None else f"Record {record.seq}"


def _data(record: models.AuditOut) -> None:
    if record.data:
        st.code(
            json.dumps(record.data, ensure_ascii=False, indent=2), language=None, wrap_lines=True
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Trail:
    """One chain of records: what it is of, and who may read and verify it."""

    name: str
    read: str
    verify: str
    page: ListPage[models.AuditOut]
    check: Callable[[Api], models.ChainReportOut]


# Each with a key of its own: a filter, a place or a verdict of one says nothing about the other.
_TENANT: Final = _Trail(
    name="This tenant",
    read="audit:read",
    verify="audit:verify",
    check=Api.verify_audit,
    page=ListPage(
        key="audit",
        of=models.AuditOut,
        title="Audit",
        lead="Every change in this tenant. Each record carries a hash over all before it.",
        noun="record",
        nothing="The first change in this tenant appears here.",
        fetch=Api.list_audit,
        name=_name,
        columns=(
            Column("action", "Action", "strong"),
            Column("at", "When", "time"),
            Column("seq", "Seq", "number", _number),
            Column("actor", "Actor", "who"),
            Column("target", "Target", "who"),
        ),
        facts=(Column("request_id", "Request"), Column("hash", "Hash")),
        export=("seq", "id", "at", "actor", "action", "target", "data", "request_id", "hash"),
        filters=(
            Words("action", "Action", "email.submitted"),
            Words("actor", "Actor", "user:…"),
            Words("target", "Target", "email:…"),
        ),
        below=_data,
    ),
)
_PLATFORM: Final = _Trail(
    name="Platform",
    read="platform_audit:read",
    verify="platform_audit:read",
    check=Api.verify_platform_audit,
    page=dataclasses.replace(
        _TENANT.page,
        key="platform-audit",
        lead=(
            "What belongs to no tenant: log-ins, tenants made, signing keys. Each record carries a "
            "hash over all before it."
        ),
        nothing="The first log-in appears here.",
        fetch=Api.list_platform_audit,
        filters=(
            Words("action", "Action", "login.failed"),
            Words("actor", "Actor", "user:…"),
            Words("target", "Target", "tenant:…"),
        ),
    ),
)


def page() -> None:
    """Draw the check and the filtered trail: the tenant's, or for those who may the platform's."""
    session = state.current()
    trails = {each.name: each for each in (_TENANT, _PLATFORM) if session.can(each.read)}
    head = st.container()
    trail = trails[_chosen(list(trails))]
    with head:
        pages.heading(trail.page, partial(_verify, session, trail))
    verdict = st.session_state.get(f"{trail.page.key}-verdict")
    if isinstance(verdict, models.ChainReportOut):
        _show_verdict(verdict)
    elif isinstance(verdict, ApiProblem):
        problems.show(verdict)
    pages.draw_list(trail.page)


def _verify(session: state.Session, trail: _Trail) -> None:
    """Draw the button that has every hash recomputed, and keep what came of it."""
    if not session.can(trail.verify):
        return
    key = trail.page.key
    if st.button("Verify the chain", key=f"{key}-verify", icon=":material/verified_user:"):
        with st.spinner("Recomputing every hash…"):
            try:
                st.session_state[f"{key}-verdict"] = trail.check(session.api)
            except ApiProblem as problem:
                st.session_state[f"{key}-verdict"] = problem


def _chosen(names: list[str]) -> str:
    """Return the name of the trail on show; who may read one alone has nothing to choose."""
    if len(names) == 1:
        return names[0]
    widget = "audit-trail"
    pages.remember(widget)
    st.session_state.setdefault(widget, names[0])
    st.segmented_control("Trail", names, required=True, key=widget, label_visibility="collapsed")
    return str(st.session_state[widget])


def _show_verdict(verdict: models.ChainReportOut) -> None:
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


if __name__ == "__main__":
    page()
