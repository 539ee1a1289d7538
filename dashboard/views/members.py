"""Members: the people of this tenant and what each may do."""

from __future__ import annotations

from typing import Final

import streamlit as st

from dashboard import api, state
from dashboard.widgets import confirm, export, markup, paging, problems, table

_COLUMNS: Final = (
    table.Column("name", "Name", "strong"),
    table.Column("email", "E-mail"),
    table.Column("role", "Role"),
)


def page() -> None:
    """Draw the list, the chosen member, and the way to a new one."""
    session = state.current()
    may_write = session.can("member:write")
    with markup.heading_row():
        markup.page_heading("Members", "The people of this tenant and their roles.")
        if may_write and st.button(
            "Add member", key="members-new", type="primary", icon=":material/person_add:"
        ):
            st.session_state["members-adding"] = True
        export.button(
            "members-export",
            "members.csv",
            lambda cursor: session.api.list_members(cursor=cursor, limit=api.EXPORT_LIMIT),
            ("user_id", "email", "name", "role"),
            lambda member: [member.user_id, member.email, member.name, member.role],
        )
    if may_write and st.session_state.get("members-adding"):
        _add(session)
    here = paging.place("members-place")
    with problems.guard():
        found = session.api.list_members(cursor=here.cursor)
        above = st.container()
        opened = table.draw(
            "members",
            "Members",
            _COLUMNS,
            [
                {
                    "id": member.user_id,
                    "name": member.name,
                    "email": member.email,
                    "role": member.role,
                }
                for member in found.items
            ],
            opens=may_write,
        )
        if opened:
            st.session_state["members-open"] = opened
        for member in found.items:
            if may_write and member.user_id == st.session_state.get("members-open"):
                with above:
                    _change(session, member)
        paging.buttons("members", here, found.next_cursor, len(found.items))


def _add(session: state.Session) -> None:
    with problems.guard(), st.container(key="card-new-member"):
        markup.section("New member")
        roles = [role.name for role in session.api.list_roles()]
        with st.form("members-form", border=False):
            email = st.text_input("E-mail", key="members-email", placeholder="ada@example.test")
            name = st.text_input("Name", key="members-name")
            role = st.selectbox("Role", roles, key="members-role")
            password = st.text_input(
                "First password (optional)",
                key="members-password",
                type="password",
                autocomplete="new-password",
                help="Leave it empty for somebody who already has an account.",
            )
            with st.container(horizontal=True):
                add = st.form_submit_button("Add member", type="primary")
                st.form_submit_button("Close", on_click=_close)
        if not add:
            return
        if not email.strip() or not role:
            st.warning("A member needs an e-mail address and a role.")
            return
        made = session.api.add_member(
            email=email.strip(),
            name=name.strip() or email.strip(),
            role=role,
            password=password or None,
        )
        _close()
        confirm.say_after_rerun(f"{made.name} is a member now.")
        st.rerun()


def _change(session: state.Session, member: api.Member) -> None:
    with problems.guard(), st.container(key="card-member"):
        with markup.heading_row():
            markup.section(member.name)
            st.button("Close", key="members-close", icon=":material/close:", on_click=_close_member)
        roles = [role.name for role in session.api.list_roles()]
        if member.role not in roles:
            roles.insert(0, member.role)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            role = st.selectbox(
                "Role",
                roles,
                index=roles.index(member.role),
                key=f"members-role-{member.user_id}",
                width=220,
            )
            if st.button("Save role", key="members-save", disabled=role == member.role):
                session.api.change_member_role(member.user_id, role)
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
                session.api.remove_member(member.user_id)
                st.session_state.pop("members-open", None)
                confirm.say_after_rerun(f"{member.name} is no longer a member.")
                st.rerun()


def _close_member() -> None:
    st.session_state.pop("members-open", None)


def _close() -> None:
    st.session_state["members-adding"] = False


if __name__ == "__main__":
    page()
