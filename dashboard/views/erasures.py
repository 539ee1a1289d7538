"""Erased people: forgetting one, how far that is, and the certificates of those who were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, ListPage
from dashboard.widgets import confirm, markup, problems

if TYPE_CHECKING:
    from collections.abc import Mapping

_ERASE: Final = "subject:erase"
_SEEN: Final = "erasures-seen"
_LATEST: Final = 50
REFRESH_SECONDS: Final = 2.0


def draw(_: Mapping[str, Any]) -> None:
    """Draw the way to forget somebody, for who may, and the people who are being forgotten."""
    _form(state.current())
    now()


@st.fragment(run_every=REFRESH_SECONDS)
def now() -> None:
    """Draw how far each walk is; Streamlit runs this alone, again and again.

    When one has ended the page is drawn anew: the list below shows its certificate.
    """
    with problems.guard():
        found = state.current().api.list_erasures(limit=_LATEST).items
        running = [one for one in found if one.state == "running"]
        if running:
            with st.container(key="card-erasing"):
                markup.section("Being erased")
                for one in running:
                    _progress(one)
        seen = cast("frozenset[str]", st.session_state.get(_SEEN, frozenset()))
        st.session_state[_SEEN] = going_on = frozenset(one.id for one in running)
        if seen - going_on:
            st.rerun(scope="app")


def _progress(one: models.ErasureOut) -> None:
    if one.waits_for:
        markup.status("amber", "Waiting", one.waits_for)
    elif one.waits_until:
        markup.status(
            "amber",
            "Settling",
            f"It looks once more at {markup.moment(one.waits_until)}, when all that was under way "
            "is written.",
        )
    else:
        at = f", now at {one.place}" if one.place else ""
        markup.status("amber", "Looking", f"Round {max(one.round, 1)}{at}.")
    markup.facts(
        (
            ("Subject", one.subject),
            ("Keys", f"destroyed {markup.moment(one.started_at)}"),
            ("Looked at", f"{one.looked_at:,} rows"),
            ("Gone or overwritten", f"{one.rewritten:,} rows"),
        )
    )


def _form(session: state.Session) -> None:
    if not session.can(_ERASE):
        return
    with st.container(key="card-erase"):
        markup.section("Erase a person")
        markup.note(
            "Whom? The address of a recipient or of somebody who was invited, the id of a person "
            "who was a member, or both if they are one person's. Members are removed first."
        )
        address = st.text_input("Address", key="erase-address", placeholder="ada@example.test")
        user_id = st.text_input("User id (optional)", key="erase-user")
        with problems.guard():
            if not confirm.ask(
                "erase",
                "Erase",
                icon=":material/person_off:",
                danger=True,
                will=f"{(address or user_id).strip() or 'The person'} is forgotten, for good: the "
                "audit trail says erased at once where it told of them, and a worker deletes what "
                "messages said to them, and whatever else is found. Nobody can undo it. Backups "
                "from before still hold it.",
                yes="Erase for good",
            ):
                return
            made = session.api.erase_subject(
                models.SubjectErase(
                    user_id=user_id.strip() or None, address=address.strip() or None
                )
            )
            confirm.say_after_rerun(
                f"{made.subject} is being erased: the certificate comes when nothing is left."
            )
            st.rerun()


PAGE: Final = ListPage(
    key="erasures",
    of=models.ErasureOut,
    title="Erased people",
    lead="People whom this tenant forgets, each with a signed certificate of what went.",
    noun="erasure",
    nothing="Whoever asks to be forgotten is, and comes here by a name that tells of nobody.",
    fetch=Api.list_erasures,
    between=draw,
    name=lambda one: str(one.subject),
    columns=(
        Column("subject", "Subject", "code"),
        Column("state", "State", "badge"),
        Column("started_at", "Begun", "time"),
        Column("erased_at", "Complete", "time"),
        Column("erased_by", "By", "who"),
    ),
    facts=(
        Column("round", "Rounds"),
        Column("looked_at", "Rows looked at"),
        Column("rewritten", "Rows gone or overwritten"),
        Column("waits_for", "Waits for"),
        Column("statement", "Signed statement", "code"),
        Column("signature", "Signature", "code"),
        Column("key_id", "Signed with", "code"),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
