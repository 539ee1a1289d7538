"""Erased people: forgetting one, and the certificates of those who were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, ListPage
from dashboard.widgets import confirm, markup, problems

if TYPE_CHECKING:
    from collections.abc import Mapping

_ERASE: Final = "subject:erase"


def draw(_: Mapping[str, Any]) -> None:
    """Draw the way to forget somebody, for who may."""
    session = state.current()
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
                "audit trail says erased where it told of them, and what messages said to them is "
                "deleted. Nobody can undo it. Backups from before still hold it.",
                yes="Erase for good",
            ):
                return
            made = session.api.erase_subject(
                models.SubjectErase(
                    user_id=user_id.strip() or None, address=address.strip() or None
                )
            )
            confirm.say_after_rerun(f"{made.subject} is erased: the certificate is below.")
            st.rerun()


PAGE: Final = ListPage(
    key="erasures",
    of=models.ErasureOut,
    title="Erased people",
    lead="People whom this tenant has forgotten, each with a signed certificate of what went.",
    noun="erasure",
    nothing="Whoever asks to be forgotten is, and comes here by a name that tells of nobody.",
    fetch=Api.list_erasures,
    between=draw,
    name=lambda one: str(one.subject),
    columns=(
        Column("subject", "Subject", "code"),
        Column("erased_at", "Erased", "time"),
        Column("erased_by", "By", "who"),
    ),
    facts=(
        Column("statement", "Signed statement", "code"),
        Column("signature", "Signature", "code"),
        Column("key_id", "Signed with", "code"),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
