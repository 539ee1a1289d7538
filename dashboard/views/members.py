"""Members: the people of this tenant and what each may do."""

from __future__ import annotations

from functools import partial
from typing import Final

import streamlit as st

from dashboard import client, state
from dashboard.widgets import confirm, listing, markup, new, problems, table


def _row(member: client.models.MemberOut) -> dict[str, str]:
    return {
        "id": member.id,
        "name": member.name,
        "email": member.email,
        "role": member.role,
        "created_at": markup.when(member.created_at),
    }


_LIST: Final = listing.Listing(
    key="members",
    title="Members",
    noun="member",
    nothing="Add the first person.",
    columns=(
        table.Column("name", "Name", "strong"),
        table.Column("email", "E-mail"),
        table.Column("role", "Role"),
        table.Column("created_at", "Member since (UTC)", "time"),
    ),
    row=_row,
    export=("id", "email", "name", "role", "created_at"),
)


def page() -> None:
    """Draw the list, the chosen member, and the way to a new one."""
    session = state.current()
    may_write = session.can("member:write")
    with markup.heading_row():
        markup.page_heading("Members", "The people of this tenant and their roles.")
        if may_write:
            new.button("members", "Add member", icon=":material/person_add:")
    if may_write and new.asked("members"):
        _add(session)
    listing.draw(_LIST, session.api.list_members, card=partial(_one, session))


def _add(session: state.Session) -> None:
    with problems.guard():
        roles = session.api.list_roles().items
        with new.form("members", "New member", "Add member") as form:
            email = st.text_input("E-mail", key="members-email", placeholder="ada@example.test")
            name = st.text_input("Name", key="members-name")
            role = new.role("members", roles, "viewer")
            password = st.text_input(
                "First password (optional)",
                key="members-password",
                type="password",
                autocomplete="new-password",
                help="Leave it empty for somebody who already has an account.",
            )
        if not form.sent:
            return
        with form.card, problems.guard():
            if not email.strip() or not role:
                st.warning("A member needs an e-mail address and a role.")
                return
            made = session.api.add_member(
                client.models.MemberCreate(
                    email=email.strip(),
                    name=name.strip() or email.strip(),
                    role=role,
                    password=password or None,
                )
            )
            new.done("members", f"{made.name} is a member now.")


def _one(session: state.Session, member: client.models.MemberOut) -> None:
    with problems.guard(), listing.open_card("members", member.name):
        markup.facts(
            [
                ("E-mail", member.email),
                ("Role", member.role),
                ("Member since (UTC)", markup.when(member.created_at)),
                ("Id", member.id),
            ]
        )
        if session.can("member:write"):
            _acts(session, member)


def _acts(session: state.Session, member: client.models.MemberOut) -> None:
    roles = [role.name for role in session.api.list_roles().items]
    if member.role not in roles:
        roles.insert(0, member.role)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        role = st.selectbox(
            "Role",
            roles,
            index=roles.index(member.role),
            key=f"members-role-{member.id}",
            width=220,
        )
        if st.button("Save role", key="members-save", disabled=role == member.role):
            session.api.set_member_role(member.id, client.models.MemberPatch(role=role))
            confirm.say_after_rerun(f"{member.name} has the role {role} now.")
            st.rerun()
        if confirm.ask(
            "members-remove",
            "Remove",
            will=(
                f"{member.name} loses access to this tenant. Their account, and their place in "
                "other tenants, stay as they are; so does everything they did here."
            ),
            yes="Remove this member",
            icon=":material/person_remove:",
        ):
            session.api.remove_member(member.id)
            listing.close("members")
            confirm.say_after_rerun(f"{member.name} is no longer a member.")
            st.rerun()


if __name__ == "__main__":
    page()
