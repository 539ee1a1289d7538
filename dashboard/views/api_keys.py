"""API keys: long-lived credentials for tools that cannot log in as a client."""

from __future__ import annotations

from functools import partial
from typing import Final

import streamlit as st

from dashboard import client, state
from dashboard.widgets import confirm, credentials, listing, markup, new, problems, table


def _row(key: client.models.ApiKeyOut) -> dict[str, str]:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "role": key.role,
        "expires_at": _expiry(key),
        "last_used_at": _last_use(key),
        "created_at": markup.when(key.created_at),
    }


def _expiry(key: client.models.ApiKeyOut) -> str:
    return markup.when(key.expires_at) if key.expires_at else "never"


def _last_use(key: client.models.ApiKeyOut) -> str:
    return markup.when(key.last_used_at) if key.last_used_at else "not yet"


_LIST: Final = listing.Listing(
    key="api-keys",
    title="API keys",
    noun="API key",
    nothing="Create one for a tool that cannot log in as an API client.",
    columns=(
        table.Column("name", "Name", "strong"),
        table.Column("prefix", "Begins with", "code"),
        table.Column("role", "Role"),
        table.Column("expires_at", "Expires (UTC)", "time"),
        table.Column("last_used_at", "Last used (UTC)", "time"),
        table.Column("created_at", "Created (UTC)", "time"),
    ),
    row=_row,
    export=(
        "id", "name", "prefix", "role", "created_by", "created_at", "expires_at", "last_used_at"
    ),
)  # fmt: skip


def page() -> None:
    """Draw the list, the chosen key, and the way to a new one."""
    session = state.current()
    with markup.heading_row():
        markup.page_heading("API keys", "For tools that send a key with every request.")
        if session.can("api_key:write"):
            new.button("api-keys", "New API key")
    if session.can("api_key:write"):
        credentials.form(
            "api-keys",
            "API key",
            partial(_create, session),
            example="Nightly report",
            role="viewer",
            expires=True,
        )
    credentials.draw("api-keys")
    listing.draw(_LIST, session.api.list_api_keys, card=partial(_one, session))


def _create(session: state.Session, wanted: credentials.Wanted) -> credentials.Secret:
    made = session.api.create_api_key(
        client.models.ApiKeyCreate(name=wanted.name, role=wanted.role, expires_at=wanted.expires_at)
    )
    return credentials.Secret(made.name, (("API Key", made.key),))


def _one(session: state.Session, key: client.models.ApiKeyOut) -> None:
    with problems.guard(), listing.open_card("api-keys", key.name):
        markup.facts(
            [
                ("Begins with", key.prefix),
                ("Role", key.role),
                ("Created by", key.created_by),
                ("Created (UTC)", markup.when(key.created_at)),
                ("Expires (UTC)", _expiry(key)),
                ("Last used (UTC)", _last_use(key)),
                ("Id", key.id),
            ]
        )
        if session.can("api_key:write") and confirm.ask(
            "api-keys-revoke",
            "Revoke",
            will=(
                f"{key.name} stops working at once, and whatever sends it is refused. What was "
                "done with it stays in the audit trail. This cannot be undone."
            ),
            yes="Revoke this key",
            icon=":material/key_off:",
        ):
            session.api.revoke_api_key(key.id)
            listing.close("api-keys")
            confirm.say_after_rerun(f"{key.name} is revoked.")
            st.rerun()


if __name__ == "__main__":
    page()
