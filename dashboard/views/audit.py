"""Audit: who did what to what, and the proof that nobody edited it since."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode

import streamlit as st

from dashboard import client, pages, state
from dashboard.client import Api, ApiProblem, models
from dashboard.pages import Column, Days, ListPage, Words
from dashboard.views import audit_checkpoints
from dashboard.widgets import (
    audit_files,
    charts,
    facets,
    findings,
    markup,
    problems,
    retention,
    traced,
    trails,
)

_LONGEST: Final = timedelta(days=91)
_WORDS_SPAN: Final = timedelta(days=30)
_BARS: Final = "#1B8A8F"
# Where what was acted on is looked at: its page, who may, and what its opened row is kept under
# where it has no view of its own.
_PLACES: Final = {
    "email": ("views/emails.py", "email:read", ""),
    "job": ("views/jobs.py", "job:read", ""),
    "email_template": ("views/email_templates.py", "email_template:read", ""),
    "access_review": ("views/access_reviews.py", "access_review:read", ""),
    "tenant": ("views/tenants.py", "platform:read", ""),
    "user": ("views/members.py", "member:read", "members-open"),
    "api_key": ("views/api_keys.py", "api_key:read", "api-keys-open"),
}


def _number(record: models.AuditOut) -> str:
    return markup.NONE if record.seq is None else str(record.seq)


def _name(record: models.AuditOut) -> str:
    return "Record not yet chained" if record.seq is None else f"Record {record.seq}"


def _below(record: models.AuditOut) -> None:
    """Draw what the record holds beside its columns, and the way to what was acted on."""
    if record.data:
        st.code(
            json.dumps(record.data, ensure_ascii=False, indent=2), language=None, wrap_lines=True
        )
    noun, _, key = record.target.partition(":")
    place = _PLACES.get(noun)
    with st.container(horizontal=True):
        if (
            place
            and state.current().can(place[1])
            and st.button(
                f"Open the {noun.replace('_', ' ')}",
                key="audit-go",
                icon=":material/open_in_new:",
            )
        ):
            file, _, opened = place
            if opened:
                st.session_state[opened] = key
            st.switch_page(file, query_params=state.address(**({} if opened else {"id": key})))


def _logs(record: models.AuditOut) -> None:
    """Draw the ways to what programs said of the same request and execution."""
    of = (
        ("request", "request_id", record.request_id),
        ("execution", "execution_id", record.execution),
    )
    findings.ways(
        "audit-logs",
        [
            (f"/logs?{urlencode({name: value, 'range': 'any'})}", f"Log lines of its {noun}")
            for noun, name, value in of
            if value
        ],
    )


def show_records(**wanted: str) -> None:
    """Go to the tenant's records that these filters leave."""
    pages.preset(_TENANT.page, **wanted)
    trails.show(trails.TENANT)
    st.switch_page("views/audit.py", query_params=state.address())


def _below_own(record: models.AuditOut) -> None:
    """Draw the rest of a record of the tenant's, the ways to its trace and lines, and its proof."""
    _below(record)
    if record.request_id:
        traced.way("audit-trace", request_id=record.request_id)
    _logs(record)
    _proof(record)


def _proof(record: models.AuditOut) -> None:
    """Draw the proof that the record stands in the signed tree, once it was asked for."""
    asked = "audit-proof-of"
    if record.seq is None:
        markup.note("It has no place in the trail yet, and so no proof: that takes about a second.")
        return
    if st.session_state.get(asked) != record.id:
        if st.button("Prove it", key="audit-prove", icon=":material/verified:"):
            st.session_state[asked] = record.id
            st.rerun()
        return
    with problems.guard():
        proof = state.current().api.get_audit_proof(record.id)
        markup.section("Proof")
        if proof.checkpoint is None:
            markup.status(
                "amber",
                "Not signed yet",
                f"It is record {proof.seq:,} of {proof.size:,}, and the next checkpoint signs it. "
                "Until then the proof leads to a root that nothing signs.",
            )
            st.page_link(
                "views/audit_checkpoints.py",
                label="Checkpoints",
                icon=":material/approval:",
                query_params=state.address(),
            )
        else:
            markup.status(
                "green",
                "Proved",
                f"It is record {proof.seq:,} of the {proof.size:,} that the newest checkpoint "
                f"signs, by {len(proof.hashes)} hashes to the root.",
            )
        audit_checkpoints.save_proof(proof, f"record-{proof.seq}", "audit-proof-save")


def _day(record: models.AuditOut) -> str:
    return record.at.astimezone(markup.zone()).strftime("%A, %Y-%m-%d")


def _alike(record: models.AuditOut) -> tuple[str, str, str]:
    """Return what makes records one row: the same act of the same party on the same kind."""
    return record.action, record.actor, record.target.partition(":")[0]


def _searching(fetch: Callable[..., client.Page[models.AuditOut]]) -> Callable[..., Any]:
    """Give words a range, which the API asks for: thirty days, unless days are chosen."""

    def fetch_within(api: Api, **query: Any) -> client.Page[models.AuditOut]:
        if query.get("q") and query.get("created_after") is None:
            query["created_after"] = _midnight(query.get("created_before")) - _WORDS_SPAN
        return fetch(api, **query)

    return fetch_within


def _midnight(before: datetime | None) -> datetime:
    """Return the last midnight of whoever looks: pages of a search are of one range."""
    moment = (before or markup.now()).astimezone(markup.zone())
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _counts(key: str, count: Callable[..., models.FacetsOut], wanted: Mapping[str, Any]) -> None:
    """Draw when the records were made and what is most of them; a choice filters by it."""
    query = {name: value for name, value in wanted.items() if name != "q"}
    end = query["created_before"] or markup.now()
    if query["created_after"] is not None:
        query["created_after"] = max(query["created_after"], end - _LONGEST)
    with problems.guard():
        told = count(state.current().api, **query)
        left, right = st.columns([3, 2])
        with left:
            charts.by_time(
                f"{key}-times",
                "Acts" if query["created_after"] else "Acts of the last 24 hours",
                {one.at: one.count for one in told.stretches},
                (told.after, told.before),
                timedelta(seconds=told.step_seconds),
                color=_BARS,
            )
            if not told.complete:
                markup.note(f"The newest {told.counted:,} of more. Choose fewer days to count all.")
        with right, st.container(key=f"card-{key}-facets", height="stretch", gap="xsmall"):
            names = state.current().names
            facets.draw(f"{key}-action", "By act", _counted(told.actions))
            facets.draw(f"{key}-actor", "By actor", _counted(told.actors), name=names.of)


def _counted(found: list[models.FacetOut]) -> dict[str, int]:
    return {one.value: one.count for one in found}


def _between(
    key: str,
    count: Callable[..., models.FacetsOut],
    files: audit_files.Files,
    wanted: Mapping[str, Any],
) -> None:
    """Draw what stands above the list: counts, and files of what the filters leave."""
    _counts(key, count, wanted)
    audit_files.draw(files, wanted)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Trail:
    """One chain of records: what it is of, and who may read and verify it."""

    name: str
    read: str
    verify: str
    page: ListPage[models.AuditOut]
    check: Callable[[Api], models.ChainReportOut]
    keep: Callable[[], None]


_MORE: Final = (
    Words("request_id", "Request", "0199c0de-…"),
    Words("workflow", "Workflow", "8sBqYH3wN1tRz0Qk"),
    Words("execution", "Execution", "4711", width=160),
    Words("q", "Words", "payroll overdue"),
    Days("When"),
)
# Each with a key of its own: a filter, a place or a verdict of one says nothing about the other.
_TENANT: Final = _Trail(
    name=trails.TENANT,
    read="audit:read",
    verify="audit:verify",
    check=Api.verify_audit,
    keep=partial(
        retention.draw,
        "audit",
        Api.get_audit_retention,
        Api.put_audit_retention,
        "audit_retention:write",
    ),
    page=ListPage(
        key="audit",
        of=models.AuditOut,
        title="Audit",
        lead="Every change in this tenant. Each record carries a hash over all before it.",
        noun="record",
        nothing="The first change in this tenant appears here.",
        fetch=_searching(Api.list_audit),
        name=_name,
        columns=(
            Column("action", "Action", "strong"),
            Column("at", "When", "time"),
            Column("seq", "Seq", "number", _number),
            Column("actor", "Actor", "who"),
            Column("target", "Target", "who"),
        ),
        facts=(
            Column("workflow", "Workflow"),
            Column("execution", "Execution"),
            Column("request_id", "Request"),
            Column("hash", "Hash"),
        ),
        export=(
            *("seq", "id", "at", "actor", "action", "target", "data"),
            *("request_id", "workflow", "execution", "hash"),
        ),
        filters=(
            Words("action", "Action", "email.submitted"),
            Words("actor", "Actor", "user:…"),
            Words("target", "Target", "email:…"),
            *_MORE,
        ),
        between=partial(
            _between,
            "audit",
            Api.count_audit,
            audit_files.Files(
                key="audit",
                permission="audit:export",
                start=Api.start_audit_export,
                list=Api.list_audit_exports,
                download=Api.download_audit_export,
                delete=Api.delete_audit_export,
            ),
        ),
        group=_day,
        alike=_alike,
        below=_below_own,
    ),
)
_PLATFORM: Final = _Trail(
    name=trails.PLATFORM,
    read="platform_audit:read",
    verify="platform_audit:read",
    check=Api.verify_platform_audit,
    keep=partial(
        retention.draw,
        "platform-audit",
        Api.get_platform_audit_retention,
        Api.put_platform_audit_retention,
        "platform_audit:write",
    ),
    page=dataclasses.replace(
        _TENANT.page,
        key="platform-audit",
        lead=(
            "What belongs to no tenant: log-ins, tenants made, signing keys. Each record carries a "
            "hash over all before it."
        ),
        nothing="The first log-in appears here.",
        fetch=_searching(Api.list_platform_audit),
        between=partial(
            _between,
            "platform-audit",
            Api.count_platform_audit,
            audit_files.Files(
                key="platform-audit",
                permission="platform_audit:export",
                start=Api.start_platform_audit_export,
                list=Api.list_platform_audit_exports,
                download=Api.download_platform_audit_export,
                delete=Api.delete_platform_audit_export,
            ),
        ),
        below=_below,
        filters=(
            Words("action", "Action", "login.failed"),
            Words("actor", "Actor", "user:…"),
            Words("target", "Target", "tenant:…"),
            *_MORE,
        ),
    ),
)


def page() -> None:
    """Draw the check and the filtered trail: the tenant's, or for those who may the platform's."""
    session = state.current()
    readable = {each.name: each for each in (_TENANT, _PLATFORM) if session.can(each.read)}
    head = st.container()
    trail = readable[trails.choose(list(readable))]
    with head:
        pages.heading(trail.page, partial(_verify, session, trail))
    verdict = st.session_state.get(f"{trail.page.key}-verdict")
    if isinstance(verdict, models.ChainReportOut):
        _show_verdict(verdict)
    elif isinstance(verdict, ApiProblem):
        problems.show(verdict)
    trail.keep()
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
