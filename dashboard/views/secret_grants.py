"""Folders of secrets: which are open to which roles, and so closed to all others."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage

PAGE: Final = ListPage(
    key="secret-grants",
    of=models.SecretGrantOut,
    title="Secret folders",
    lead="A folder with a grant is closed to every role that has none there, the owner's included.",
    noun="grant",
    nothing="Without grants all folders are as open as the permissions of roles make them.",
    fetch=Api.list_secret_grants,
    write="secret_grant:write",
    name=lambda one: f"{one.folder} for {one.role}",
    columns=(
        Column("folder", "Folder", "strong"),
        Column("environment", "Environment", value=lambda one: (
            "every one" if one.environment == "*" else one.environment
        )),
        Column("role", "Role"),
        Column("access", "Access"),
        Column("created_at", "Since", "time"),
    ),
    facts=(Column("created_by", "Created by", "who"),),
    form=Form(
        inputs=(
            Input(
                "folder", "Folder", example="billing",
                help="With its first grant the folder is closed to all other roles, to yours too: "
                "their workflows are refused from then on. Add a grant for each that goes on",
            ),
            Input("environment", "Environment (empty: every one)", required=False),
            Input("role", "Role", "role", usual="operator"),
            Input("access", "Access", "choice", usual="read",
                  options=lambda _: (("read", "read"), ("write", "read and write"))),
        ),
        body=lambda environment, **given: models.SecretGrantCreate(
            environment=environment or "*", **given
        ),
        call=Api.add_secret_grant,
        missing="It needs a folder, a role and an access.",
        said="{0}: open, and closed to roles without a grant.",
        verb="Add",
        button="Open a folder",
    ),
    acts=(
        Act(
            key="remove", label="Remove", icon=":material/folder_off:",
            call=Api.remove_secret_grant, yes="Remove this grant", said="{0}: removed.",
            will="{0}: the folder is closed to this role, or, if no grant is left, as open as what "
            "lies around it.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
