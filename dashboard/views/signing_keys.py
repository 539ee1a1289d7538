"""Signing keys: what the platform's tokens are signed with, for its administrators."""

from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, ListPage
from dashboard.widgets import confirm, markup, problems


def _rotate() -> None:
    """Draw the way to a new key, for who may make one."""
    session = state.current()
    if not session.can(PAGE.write):
        return
    with problems.guard():
        if not confirm.ask(
            "signing-keys-rotate",
            "Rotate",
            icon=":material/autorenew:",
            will="A new key signs every token from now on. The keys until now verify what they "
            "signed until the last of it has expired, and are deleted then: nobody is logged out.",
            yes="Sign with a new key",
        ):
            return
        made = session.api.rotate_signing_key()
        until = markup.moment(made.old_keys_until)
        confirm.say_after_rerun(f"A new key signs. Older ones verify until {until}.")
        st.rerun()


PAGE: Final = ListPage(
    key="signing-keys",
    of=models.SigningKeyOut,
    title="Signing keys",
    lead="What the tokens of this platform are signed with.",
    noun="signing key",
    nothing="The first one is made with the first token.",
    # All of them come at once: there are as many as rotations within the life of a token.
    fetch=lambda api, **_: Api.list_signing_keys(api),
    write="platform:write",
    id="kid",
    name=lambda key: str(key.kid),
    columns=(
        Column("kid", "Key ID", "code"),
        Column("state", "State", "badge"),
        Column("algorithm", "Algorithm"),
        Column("created_at", "Created", "time"),
        Column("until", "Verifies until", "time", none="the next rotation"),
    ),
    notice=_rotate,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
