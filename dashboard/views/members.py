"""Members: the people of this tenant and what each may do."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Edit, Form, Input, ListPage

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
    edits=(
        Edit(
            field=Input("role", "Role", "role"), body=models.MemberPatch, call=Api.set_member_role,
            said="{0} has the role {1} now.",
        ),
    ),
    acts=(
        Act(
            key="remove", label="Remove", icon=":material/person_remove:",
            call=Api.remove_member, yes="Remove this member", said="{0} is no longer a member.",
            will="{0} loses access to this tenant. Their account, and their place in other "
            "tenants, stay as they are; so does everything they did here.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
