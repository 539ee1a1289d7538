"""Members: the people of this tenant and what each may do."""

from typing import Final

import streamlit as st

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage
from dashboard.widgets import confirm


def _change_role(member: models.MemberOut) -> None:
    """Draw the choice of another role."""
    session = state.current()
    if not session.can("member:write"):
        return
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
            session.api.set_member_role(member.id, models.MemberPatch(role=role))
            confirm.say_after_rerun(f"{member.name} has the role {role} now.")
            st.rerun()


PAGE: Final = ListPage(
    key="members",
    of=models.MemberOut,
    title="Members",
    lead="The people of this tenant and their roles.",
    noun="member",
    nothing="Add the first person.",
    fetch=Api.list_members,
    write="member:write",
    columns=(
        Column("name", "Name", "strong"),
        Column("email", "E-mail"),
        Column("role", "Role"),
        Column("created_at", "Member since (UTC)", "time"),
    ),
    form=Form(
        inputs=(
            Input("email", "E-mail", example="ada@example.test"),
            Input("name", "Name", example="Ada Lovelace"),
            Input("role", "Role", "role", usual="viewer"),
            Input(
                "password", "First password (optional)", "password", required=False,
                help="Leave it empty for somebody who already has an account.",
            ),
        ),
        body=models.MemberCreate,
        call=Api.add_member,
        missing="A member needs an e-mail address, a name and a role.",
        said="{0} is a member now.",
        verb="Add",
        button="Add member",
        icon=":material/person_add:",
    ),
    acts=(
        Act(
            key="remove", label="Remove", icon=":material/person_remove:",
            call=Api.remove_member, yes="Remove this member", said="{0} is no longer a member.",
            will="{0} loses access to this tenant. Their account, and their place in other "
            "tenants, stay as they are; so does everything they did here.",
        ),
    ),
    below=_change_role,
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
