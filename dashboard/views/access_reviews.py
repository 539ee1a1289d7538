"""Access reviews: who holds what, kept or taken away line by line, with evidence at the end."""

from __future__ import annotations

from typing import Final

import msgspec
import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, Form, Input, ListPage
from dashboard.widgets import confirm, markup, problems, table

_WRITE: Final = "access_review:write"
_UNDECIDED: Final = "undecided"


def detail(review_id: str) -> None:
    """Draw one review with its lines."""
    session = state.current()
    st.button("All access reviews", key="review-back", icon=":material/arrow_back:", on_click=_back)
    with problems.guard():
        review = session.api.get_access_review(review_id)
        markup.object_heading(
            review.name,
            _state(review),
            f"Due {markup.moment(review.due_at)}. {review.undecided:,} of "
            f"{len(review.lines):,} lines wait for a decision.",
        )
        table.draw(
            "review-lines",
            "Who held what when the review began",
            (
                table.Column("name", "Name", "strong"),
                table.Column("who", "Who", title="subject"),
                table.Column("role", "Role"),
                table.Column("last_used_at", "Last used", "time"),
                table.Column("decision", "Decision", "badge"),
                table.Column("decided_by", "Decided by"),
                table.Column("decided_at", "Decided", "time"),
            ),
            [
                {
                    "name": one.name,
                    "who": session.names.whose(one.subject),
                    "subject": one.subject,
                    "role": one.role,
                    "last_used_at": markup.when(one.last_used_at),
                    "decision": one.decision or _UNDECIDED,
                    "decided_by": session.names.of(one.decided_by) if one.decided_by else "",
                    "decided_at": markup.when(one.decided_at),
                }
                for one in review.lines
            ],
        )
        if review.closed_at is None and session.can(_WRITE):
            _decide(session, review)
        _evidence(session, review)


def _state(review: models.ReviewDetailOut | models.ReviewOut) -> str:
    if review.closed_at is not None:
        return "closed"
    return "overdue" if review.overdue else "open"


def _back() -> None:
    st.query_params.from_dict(state.address())


def _decide(session: state.Session, review: models.ReviewDetailOut) -> None:
    waiting = {one.subject: one for one in review.lines if one.decision is None}
    with st.container(key="card-review-decide"):
        if not waiting:
            markup.section("Every line is decided")
            if confirm.ask(
                "review-close",
                "Close the review",
                icon=":material/lock:",
                will="No decision can be changed or added afterwards.",
                yes="Close this review",
            ):
                session.api.close_access_review(review.id)
                confirm.say_after_rerun(f"{review.name} is closed.")
                st.rerun()
            return
        markup.section("Decide")
        chosen = st.multiselect(
            "Lines",
            list(waiting),
            key=f"review-chosen-{len(waiting)}",
            format_func=lambda subject: (
                f"{waiting[subject].name}, {session.names.whose(subject)} ({waiting[subject].role})"
            ),
            placeholder="Choose one or several",
        )
        names = ", ".join(waiting[subject].name for subject in chosen)
        with st.container(horizontal=True):
            if st.button("Keep", key="review-keep", disabled=not chosen):
                _send(session, review, chosen, "keep")
            if chosen and confirm.ask(
                "review-revoke",
                "Take away",
                icon=":material/block:",
                will=f"{names}: what they hold in this tenant is taken away at once. Members are "
                "removed, clients deleted, keys revoked.",
                yes="Take it away",
                danger=True,
            ):
                _send(session, review, chosen, "revoke")


def _send(
    session: state.Session, review: models.ReviewDetailOut, chosen: list[str], decision: str
) -> None:
    session.api.decide_access_review(
        review.id,
        models.ReviewDecisions(
            decisions=[models.ReviewDecision(subject=one, decision=decision) for one in chosen]
        ),
    )
    confirm.say_after_rerun(f"{len(chosen):,} decided.")
    st.rerun()


def _evidence(session: state.Session, review: models.ReviewDetailOut) -> None:
    place = f"review-evidence-{review.id}"
    if st.button("Prepare evidence", key="review-prepare", icon=":material/verified:"):
        found = session.api.get_access_review_evidence(review.id)
        st.session_state[place] = msgspec.json.format(msgspec.json.encode(found), indent=2)
    content = st.session_state.get(place)
    if isinstance(content, bytes):
        st.download_button(
            "Download evidence",
            content,
            file_name=f"access-review-{review.id}.json",
            mime="application/json",
            key="review-download",
            icon=":material/download:",
        )
        markup.note(
            "Every decision with its time, who decided, and its place in the audit trail; a place "
            "is known a second after the decision."
        )


PAGE: Final = ListPage(
    key="access-reviews",
    of=models.ReviewOut,
    title="Access reviews",
    lead="Lists of who holds what here, kept or taken away line by line.",
    noun="access review",
    nothing="Begin one to look at everybody who holds something in this tenant.",
    fetch=Api.list_access_reviews,
    write=_WRITE,
    columns=(
        Column("name", "Name", "strong"),
        Column("state", "State", "badge", _state),
        Column("undecided", "Undecided"),
        Column("due_at", "Due", "time"),
        Column("created_at", "Begun", "time"),
        Column("closed_at", "Closed", "time"),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="First quarter"),
            Input("due_at", "Due day", "last_day"),
        ),
        body=models.ReviewCreate,
        call=Api.open_access_review,
        missing="It needs a name and a day.",
        said="{0} has begun.",
        verb="Begin",
    ),
    detail=detail,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
