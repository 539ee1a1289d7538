"""Profile: one's own name, password, sessions and sign-ins."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, Page, models
from dashboard.pages import Act, Column, ListPage
from dashboard.widgets import confirm, markup, problems

_LEAST: Final = 12


def _sessions(api: Api, **_: Any) -> Page[models.SessionOut]:
    # All of them are one page.
    return api.list_sessions()


SESSIONS: Final = ListPage(
    key="sessions",
    of=models.SessionOut,
    title="Sessions",
    lead="",
    noun="session",
    nothing="This one will be listed.",
    fetch=_sessions,
    name=lambda item: item.agent or item.address,
    columns=(
        Column("agent", "Browser", "strong", none="unknown"),
        Column("address", "Address", "code"),
        Column("last_seen_at", "Last seen", "time"),
        Column("created_at", "Logged in", "time"),
        Column("current", "", value=lambda item: "this one" if item.current else ""),
    ),
    facts=(Column("expires_at", "Ends by itself", "time"),),
    acts=(
        Act(
            key="end", label="End session", icon=":material/logout:", call=Api.end_session,
            yes="End this session", said="The session on {0} has ended.",
            offered=lambda item: not item.current,
            will="Whoever uses {0} is logged out of the console at once. Your password stays as it "
            "is: change it if this was not you.",
        ),
    ),
)  # fmt: skip

SIGN_INS: Final = ListPage(
    key="sign-ins",
    of=models.SignInOut,
    title="Sign-ins",
    lead="",
    noun="sign-in",
    nothing="The next one will be listed.",
    fetch=Api.list_sign_ins,
    name=lambda item: f"{item.outcome} {markup.when(item.at)}",
    columns=(
        Column("at", "At", "time"),
        Column("outcome", "Outcome", "badge"),
        Column("count", "Times", "number"),
        Column("address", "Address", "code"),
        Column("agent", "Browser"),
    ),
)  # fmt: skip


def page() -> None:
    """Draw the page."""
    session = state.current()
    markup.page_heading("Profile", "Your own account: it is the same in all your tenants.")
    with problems.guard():
        own = session.api.get_profile()
        with st.container(key="card-profile"):
            markup.section(own.name or own.email)
            markup.facts([("E-mail", own.email), ("Id", own.id)])
            _name(session, own)
        with st.container(key="card-password"):
            markup.section("Password")
            _password(session)
    with markup.heading_row():
        markup.section("Sessions")
        with problems.guard():
            if confirm.ask(
                "sessions-others",
                "End all others",
                will="You are logged out everywhere but here, at once.",
                yes="End all other sessions",
                danger=True,
                icon=":material/logout:",
            ):
                session.api.end_other_sessions()
                confirm.say_after_rerun("You are logged in here alone.")
                st.rerun()
    pages.draw_list(SESSIONS)
    markup.section("Sign-ins")
    markup.note("Log-ins to your account, and attempts that failed.")
    pages.draw_list(SIGN_INS)


def _name(session: state.Session, own: models.ProfileOut) -> None:
    with st.form("profile-form", border=False):
        name = st.text_input("Name", own.name, key="profile-name", autocomplete="name").strip()
        if not st.form_submit_button("Save name"):
            return
    with problems.guard():
        if not name:
            st.warning("A name, please.")
            return
        session.api.put_profile(models.ProfilePut(name=name))
        session.look_again()
        confirm.say_after_rerun(f"You are called {name} now.")
        st.rerun()


def _password(session: state.Session) -> None:
    with st.form("password-form", border=False, clear_on_submit=True):
        old = st.text_input(
            "Old password", type="password", key="password-old", autocomplete="current-password"
        )
        new = st.text_input(
            "New password",
            type="password",
            key="password-new",
            autocomplete="new-password",
            help=f"At least {_LEAST} characters. A few words in a row are fine.",
        )
        again = st.text_input(
            "New password again",
            type="password",
            key="password-again",
            autocomplete="new-password",
        )
        if not st.form_submit_button("Change password"):
            return
    with problems.guard():
        if not (old and new):
            st.warning("The old and the new password, please.")
        elif new != again:
            st.warning("The two new passwords are not the same.")
        elif len(new) < _LEAST:
            st.warning(f"The new password needs {_LEAST} characters at least.")
        else:
            session.api.change_password(models.PasswordPut(old_password=old, new_password=new))
            confirm.say_after_rerun("Your password is changed, and all other sessions have ended.")
            st.rerun()


if __name__ == "__main__":
    page()
