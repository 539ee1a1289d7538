"""Tenants: the platform's own list, for its administrators."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import api, state
from dashboard.widgets import confirm, export, markup, paging, problems, table

_COLUMNS: Final = (
    table.Column("name", "Name", "strong"),
    table.Column("slug", "Slug", "code"),
    table.Column("state", "State", "badge"),
    table.Column("id", "Id", "code"),
    table.Column("created_at", "Created (UTC)", "time"),
)
_EXPORT: Final = ("id", "slug", "name", "state", "created_at")


def page() -> None:
    """Draw the list and, for those who may, the way to a new tenant."""
    session = state.current()
    with markup.heading_row():
        markup.page_heading("Tenants", "Every tenant of this platform.")
        if session.can("platform:write") and st.button(
            "New tenant", key="tenants-new", type="primary", icon=":material/add:"
        ):
            st.session_state["tenants-creating"] = True
        export.button(
            "tenants-export",
            "tenants.csv",
            lambda cursor: session.api.list_tenants(cursor=cursor, limit=api.EXPORT_LIMIT),
            _EXPORT,
            lambda tenant: [
                tenant.id, tenant.slug, tenant.name, tenant.state, tenant.created_at.isoformat()
            ],
        )  # fmt: skip
    if st.session_state.get("tenants-creating"):
        _create(session)
    here = paging.place("tenants-place")
    with problems.guard():
        found = session.api.list_tenants(cursor=here.cursor)
        if not found.items:
            markup.empty("No tenant yet", "Create the first one above.")
            return
        table.draw(
            "tenants",
            "Tenants",
            _COLUMNS,
            [
                {
                    "id": tenant.id,
                    "name": tenant.name,
                    "slug": tenant.slug,
                    "state": tenant.state,
                    "created_at": markup.when(tenant.created_at),
                }
                for tenant in found.items
            ],
        )
        paging.buttons("tenants", here, found.next_cursor, len(found.items))


def _create(session: state.Session) -> None:
    with st.container(key="card-new-tenant"):
        markup.section("New tenant")
        with st.form("tenants-form", border=False):
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
            with st.container(horizontal=True):
                create = st.form_submit_button("Create tenant", type="primary")
                st.form_submit_button("Close", on_click=_close)
        if not create:
            return
        if not name.strip() or not slug.strip():
            st.warning("A tenant needs a name and a slug.")
            return
        with problems.guard():
            made = session.api.create_tenant(
                slug=slug.strip(), name=name.strip(), owner_email=owner.strip() or None
            )
            _close()
            confirm.say_after_rerun(f"Tenant {made.name} is created.")
            st.rerun()


def _close() -> None:
    st.session_state["tenants-creating"] = False


if __name__ == "__main__":
    page()
