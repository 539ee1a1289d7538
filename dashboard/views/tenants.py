"""Tenants: the platform's own list, for its administrators."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import client, state
from dashboard.widgets import listing, markup, new, problems, table


def _row(tenant: client.models.TenantOut) -> dict[str, str]:
    return {
        "id": tenant.id,
        "name": tenant.name,
        "slug": tenant.slug,
        "state": tenant.state,
        "created_at": markup.when(tenant.created_at),
    }


_LIST: Final = listing.Listing(
    key="tenants",
    title="Tenants",
    noun="tenant",
    nothing="Create the first one above.",
    columns=(
        table.Column("name", "Name", "strong"),
        table.Column("slug", "Slug", "code"),
        table.Column("state", "State", "badge"),
        table.Column("id", "Id", "code"),
        table.Column("created_at", "Created (UTC)", "time"),
    ),
    row=_row,
    export=("id", "slug", "name", "state", "created_at"),
)


def page() -> None:
    """Draw the list and, for those who may, the way to a new tenant."""
    session = state.current()
    may_write = session.can("platform:write")
    with markup.heading_row():
        markup.page_heading("Tenants", "Every tenant of this platform.")
        if may_write:
            new.button("tenants", "New tenant")
    if may_write and new.asked("tenants"):
        _create(session)
    listing.draw(_LIST, session.api.list_tenants)


def _create(session: state.Session) -> None:
    with new.form("tenants", "New tenant", "Create tenant") as form:
        name = st.text_input("Name", key="tenants-name", placeholder="Acme Industries")
        slug = st.text_input(
            "Slug",
            key="tenants-slug",
            placeholder="acme",
            help="Short and lasting: it appears in addresses and cannot be changed.",
        )
        owner = st.text_input(
            "Owner's e-mail (optional)",
            key="tenants-owner",
            help="This person becomes the tenant's owner.",
        )
    if not form.sent:
        return
    with form.card, problems.guard():
        if not name.strip() or not slug.strip():
            st.warning("A tenant needs a name and a slug.")
            return
        made = session.api.create_tenant(
            client.models.TenantCreate(
                slug=slug.strip(), name=name.strip(), owner_email=owner.strip() or None
            )
        )
        new.done("tenants", f"Tenant {made.name} is created.")


if __name__ == "__main__":
    page()
