"""Verifications: looks at all of the trail, seen while they go on, and what they found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, ListPage
from dashboard.widgets import confirm, markup, problems, table, workers

REFRESH_SECONDS: Final = 2.0
_UNDER_WAY: Final = frozenset({"waiting", "running"})
_VERDICTS: Final = frozenset({"held", "failed"})
_SEEN: Final = "audit-verifications-seen"
_LATEST: Final = 20
_FOUND_BY: Final = {
    "enumeration": "Counting",
    "search": "Search",
    "mac": "MAC",
    "chain": "Hash chain",
    "tree": "Merkle tree",
    "checkpoint": "Checkpoint",
}
_FINDINGS: Final = (
    # The first is as wide as it needs to be.
    table.Column("detail", "What does not hold", "strong"),
    table.Column("seq", "Record", "number"),
    table.Column("by", "Found by"),
)


def _looked_at(one: models.AuditVerificationOut) -> str:
    if one.size <= one.from_size:
        return "none yet" if one.state in _UNDER_WAY else "none"
    return f"{one.from_size + 1:,} to {one.size:,}"


def _took(one: models.AuditVerificationOut) -> str:
    return markup.duration(one.created_at, one.finished_at)


def _below(one: models.AuditVerificationOut) -> None:
    if one.findings:
        _findings(f"audit-verification-{one.id}", one.findings)


PAGE: Final = ListPage(
    key="audit-verifications",
    of=models.AuditVerificationOut,
    title="Verifications",
    lead="A worker looks at all of the trail, and names what does not hold.",
    noun="verification",
    nothing="Whoever may verify the trail starts the first one above.",
    fetch=Api.list_audit_verifications,
    name=lambda one: f"Verification of {markup.when(one.created_at)}",
    columns=(
        Column("created_at", "Begun", "strong"),
        Column("state", "State", "badge"),
        Column("records", "Records", "text", _looked_at),
        Column("findings", "Findings", "number", lambda one: f"{len(one.findings):,}"),
        Column("created_by", "Begun by", "who"),
        Column(
            "took", "Took", "text", lambda one: markup.duration(one.created_at, one.finished_at)
        ),
    ),
    facts=(Column("finished_at", "Ended", "time"),),
    export=("id", "state", "from_size", "size", "created_by", "created_at", "finished_at"),
    below=_below,
)


def page() -> None:
    """Draw how the trail stands, the ways to look at it, and the looks that there were."""
    pages.heading(PAGE, _start)
    workers.warn()
    now()
    pages.draw_list(PAGE)


def _start() -> None:
    """Draw the two ways to look, for who may verify the trail."""
    session = state.current()
    if not session.can("audit:verify"):
        return
    with st.container(horizontal=True, width="content"):
        new = st.button(
            "Verify what is new", key="audit-verifications-new", icon=":material/update:"
        )
        everything = st.button(
            "Verify all",
            key="audit-verifications-all",
            type="primary",
            icon=":material/verified_user:",
        )
    if new or everything:
        with problems.guard():
            body = models.AuditVerificationCreate(full=everything)
            session.api.start_audit_verification(body)
            said = "from the first record on" if everything else "from where the last one held"
            confirm.say_after_rerun(f"A worker looks at the trail, {said}.")
            st.rerun()


@st.fragment(run_every=REFRESH_SECONDS)
def now() -> None:
    """Draw the verdict and the look that is under way; Streamlit runs this alone, again and again.

    When a look has begun or ended the page is drawn anew: the list below shows it, too.
    """
    with problems.guard():
        api = state.current().api
        looks = api.list_audit_verifications(limit=_LATEST).items
        newest = next((one.seq for one in api.list_audit(limit=_LATEST).items if one.seq), 0)
        under_way = [one for one in looks if one.state in _UNDER_WAY]
        last = next((one for one in looks if one.state in _VERDICTS), None)
        markup.status(*verdict(looks))
        if last is not None and last.state == "held" and newest > last.size:
            many = newest - last.size
            said = f"{many:,} newer {'record is' if many == 1 else 'records are'} not verified yet."
            markup.status("gray", "Not verified yet", said)
        if last is not None and last.findings:
            with st.container(key="card-audit-findings"):
                markup.section("What does not hold")
                _findings("audit-findings", last.findings)
                markup.note(
                    "Records before the first of these are intact. Keep the database as it is, and "
                    "compare an export with a checkpoint that was kept elsewhere."
                )
        for one in under_way:
            _progress(one)
        seen = st.session_state.get(_SEEN, frozenset())
        st.session_state[_SEEN] = now_seen = frozenset((one.id, one.state) for one in under_way)
        if seen - now_seen:
            st.rerun(scope="app")


def verdict(looks: Sequence[models.AuditVerificationOut]) -> tuple[str, str, str]:
    """Return how the trail stands by its looks, newest first: a tone, a word and a sentence.

    What was not looked at is never well: only a look that ended, and that no newer one speaks
    against, is green.
    """
    last = next((one for one in looks if one.state in _VERDICTS), None)
    if last is None:
        if looks and looks[0].state in _UNDER_WAY:
            return "gray", "Not verified yet", "The first look at this trail is under way."
        if looks:
            return "gray", "Not verified yet", "The last look ended without a verdict."
        return "gray", "Not verified yet", "Nobody has looked at all of this trail so far."
    ended = markup.moment(last.finished_at)
    if last.state == "failed":
        seqs = [one.seq for one in last.findings if one.seq is not None]
        where = f"Record {min(seqs):,} is the first that does not hold" if seqs else "It fails"
        return "red", "Does not hold", f"{where}; looked at {ended}."
    since = f" Those up to {last.from_size:,} had held before." if last.from_size else ""
    many = f"All {last.size:,} records" if last.size != 1 else "The one record"
    return "green", "Holds", f"{many} until {ended} are as they were written.{since}"


def _progress(one: models.AuditVerificationOut) -> None:
    begun = f"Begun {markup.moment(one.created_at)} by {state.current().names.of(one.created_by)}"
    if one.state == "waiting":
        st.progress(0.0, text=f"Waiting for a worker. {begun}.")
        return
    whole, done = one.target_size - one.from_size, one.size - one.from_size
    share = done / whole if whole > 0 else 1.0
    st.progress(
        min(max(share, 0.0), 1.0), text=f"{one.size:,} of {one.target_size:,} records. {begun}."
    )


def _findings(key: str, found: Sequence[models.FindingOut]) -> None:
    table.draw(
        key,
        "What does not hold",
        _FINDINGS,
        [
            {
                "by": _FOUND_BY.get(one.by, one.by),
                "seq": markup.NONE if one.seq is None else f"{one.seq:,}",
                "detail": one.detail,
            }
            for one in found
        ],
    )


if __name__ == "__main__":
    page()
