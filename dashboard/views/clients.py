"""API clients: the credentials with which workflows call the platform."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import api, state
from dashboard.widgets import confirm, markup, paging, problems, table

_COLUMNS: Final = (
    table.Column("name", "Name", "strong"),
    table.Column("client_id", "Client id", "code"),
    table.Column("role", "Role"),
    table.Column("created_at", "Created (UTC)", "time"),
)


def page() -> None:
    """Draw the list, the chosen client, and the way to a new one."""
    session = state.current()
    may_write = session.can("client:write")
    with markup.heading_row():
        markup.page_heading("API clients", "Credentials with which workflows call this tenant.")
        if may_write and st.button(
            "New client", key="clients-new", type="primary", icon=":material/add:"
        ):
            st.session_state["clients-creating"] = True
    if may_write and st.session_state.get("clients-creating"):
        _create(session)
    _show_secret()
    here = paging.place("clients-place")
    with problems.guard():
        found = session.api.list_clients(cursor=here.cursor)
        if not found.items:
            markup.empty("No client yet", "Create one for the credentials of a workflow.")
            return
        above = st.container()
        opened = table.draw(
            "clients",
            "API clients",
            _COLUMNS,
            [
                {
                    "id": client.id,
                    "name": client.name,
                    "client_id": client.client_id,
                    "role": client.role,
                    "created_at": markup.when(client.created_at),
                }
                for client in found.items
            ],
            opens=may_write,
        )
        if opened:
            st.session_state["clients-open"] = opened
        for client in found.items:
            if may_write and client.id == st.session_state.get("clients-open"):
                with above:
                    _change(session, client)
        paging.buttons("clients", here, found.next_cursor, len(found.items))


def _show_secret() -> None:
    """Draw a secret that was just made, until the person says they have it."""
    made = st.session_state.get("clients-made")
    if not isinstance(made, api.Client) or made.client_secret is None:
        return
    with st.container(key="card-client-secret"):
        markup.section(f"Credentials of {made.name}")
        markup.note("The secret is shown this once. Copy it into the workflow's credentials now.")
        st.code(
            f"Client ID      {made.client_id}\nClient secret  {made.client_secret}", language=None
        )
        st.button("I have copied it", key="clients-copied", type="primary", on_click=_forget_secret)


def _forget_secret() -> None:
    st.session_state.pop("clients-made", None)


def _create(session: state.Session) -> None:
    with problems.guard(), st.container(key="card-new-client"):
        markup.section("New client")
        roles = [role.name for role in session.api.list_roles()]
        with st.form("clients-form", border=False):
            name = st.text_input("Name", key="clients-name", placeholder="Invoices workflow")
            role = st.selectbox(
                "Role",
                roles,
                index=roles.index("workflow") if "workflow" in roles else 0,
                key="clients-role",
            )
            with st.container(horizontal=True):
                create = st.form_submit_button("Create client", type="primary")
                st.form_submit_button("Close", on_click=_close)
        if not create:
            return
        if not name.strip() or not role:
            st.warning("A client needs a name and a role.")
            return
        st.session_state["clients-made"] = session.api.create_client(name=name.strip(), role=role)
        _close()
        st.rerun()


def _change(session: state.Session, client: api.Client) -> None:
    with problems.guard(), st.container(key="card-client"):
        with markup.heading_row():
            markup.section(client.name)
            st.button("Close", key="clients-close", icon=":material/close:", on_click=_close_client)
        with st.container(horizontal=True):
            if confirm.ask(
                "clients-rotate",
                "New secret",
                will=(
                    f"{client.name} gets a new secret and the old one stops working. Workflows "
                    "that use it fail until the new one is in their credentials."
                ),
                yes="Replace the secret",
                icon=":material/autorenew:",
            ):
                st.session_state["clients-made"] = session.api.rotate_client(client.id)
                st.rerun()
            if confirm.ask(
                "clients-delete",
                "Delete",
                will=(
                    f"{client.name} can no longer log in, and its tokens stop working. What it did "
                    "stays in the audit trail. This cannot be undone."
                ),
                yes="Delete this client",
                icon=":material/delete:",
            ):
                session.api.delete_client(client.id)
                st.session_state.pop("clients-open", None)
                confirm.say_after_rerun(f"{client.name} is deleted.")
                st.rerun()


def _close_client() -> None:
    st.session_state.pop("clients-open", None)


def _close() -> None:
    st.session_state["clients-creating"] = False


if __name__ == "__main__":
    page()
