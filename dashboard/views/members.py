"""Members: the people of this tenant and what each may do."""

from dataclasses import replace
from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Edit, Input, ListPage
from dashboard.views import invitations


def _state(item: models.MemberOut) -> str:
    return "disabled" if item.disabled else "active"


PAGE: Final = ListPage(
    key="members",
    of=models.MemberOut,
    title="Members",
    lead="The people of this tenant and their roles.",
    noun="member",
    nothing="Invite the first person.",
    fetch=Api.list_members,
    write="member:write",
    columns=(
        Column("name", "Name", "strong"),
        Column("email", "E-mail"),
        Column("role", "Role"),
        Column("state", "State", "badge", value=_state),
        Column("created_at", "Member since", "time"),
    ),
    form=replace(invitations.FORM, verb="Invite"),
    shown=invitations.SHOWN,
    name=lambda item: item.name or item.email,
    edits=(
        Edit(
            field=Input("role", "Role", "role"), body=models.MemberPatch, call=Api.set_member_role,
            said="{0} has the role {1} now.",
        ),
    ),
    export=("id", "name", "email", "role", "disabled", "created_at"),
    acts=(
        Act(
            key="disable", label="Disable", icon=":material/person_off:",
            call=Api.disable_member, yes="Disable this member", said="{0} is kept out.",
            offered=lambda item: not item.disabled, ends=False, danger=True,
            will="{0} is kept out of this tenant at once, until you enable them. Their role, their "
            "account, and their place in other tenants stay as they are.",
        ),
        Act(
            key="enable", label="Enable", icon=":material/person_check:",
            call=Api.enable_member, yes="Enable this member", said="{0} may act again.",
            offered=lambda item: item.disabled, ends=False,
            will="{0} may act in this tenant again, in the role they have.",
        ),
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
