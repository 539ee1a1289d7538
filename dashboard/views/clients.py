"""API clients: the credentials with which workflows log in to the platform."""

from __future__ import annotations

from functools import partial
from typing import Final

import streamlit as st

from dashboard import client as api
from dashboard import state
from dashboard.widgets import confirm, credentials, listing, markup, new, problems, table


def _row(client: api.models.ClientOut) -> dict[str, str]:
    return {
        "id": client.id,
        "name": client.name,
        "client_id": client.client_id,
        "role": client.role,
        "created_at": markup.when(client.created_at),
    }


_LIST: Final = listing.Listing(
    key="clients",
    title="API clients",
    noun="client",
    nothing="Create one for the credentials of a workflow.",
    columns=(
        table.Column("name", "Name", "strong"),
        table.Column("client_id", "Client ID", "code"),
        table.Column("role", "Role"),
        table.Column("created_at", "Created (UTC)", "time"),
    ),
    row=_row,
    export=("id", "client_id", "name", "role", "created_at"),
)


def page() -> None:
    """Draw the list, the chosen client, and the way to a new one."""
    session = state.current()
    may_write = session.can("client:write")
    with markup.heading_row():
        markup.page_heading("API clients", "Credentials with which workflows call this tenant.")
        if may_write:
            new.button("clients", "New client")
    if may_write:
        credentials.form(
            "clients",
            "client",
            lambda wanted: _secret(
                session.api.create_client(
                    api.models.ClientCreate(name=wanted.name, role=wanted.role)
                )
            ),
            example="Invoices workflow",
            role="workflow",
        )
    credentials.draw("clients")
    listing.draw(_LIST, session.api.list_clients, card=partial(_one, session))


def _secret(client: api.models.ClientSecretOut) -> credentials.Secret:
    return credentials.Secret(
        client.name,
        (("Client ID", client.client_id), ("Client Secret", client.client_secret)),
    )


def _one(session: state.Session, client: api.models.ClientOut) -> None:
    with problems.guard(), listing.open_card("clients", client.name):
        markup.facts(
            [
                ("Client ID", client.client_id),
                ("Role", client.role),
                ("Created (UTC)", markup.when(client.created_at)),
                ("Id", client.id),
            ]
        )
        if session.can("client:write"):
            _acts(session, client)


def _acts(session: state.Session, client: api.models.ClientOut) -> None:
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
            credentials.show("clients", _secret(session.api.rotate_client(client.id)))
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
            listing.close("clients")
            confirm.say_after_rerun(f"{client.name} is deleted.")
            st.rerun()


if __name__ == "__main__":
    page()
