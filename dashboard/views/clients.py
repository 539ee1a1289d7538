"""API clients: the credentials with which workflows log in to the platform."""

from collections.abc import Callable
from typing import Any, Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Change, Column, Form, Input, ListPage
from dashboard.widgets import bounds

SHOWN_ONCE: Final = (("Client ID", "client_id"), ("Client Secret", "client_secret"))

NAMED: Final = (
    Column("name", "Name", "strong"),
    Column("client_id", "Client ID", "code"),
    Column("role", "Role"),
)
TIMES: Final = (
    Column("expires_at", "Expires", "time", none="never"),
    Column("last_used_at", "Last used", "time", none="not yet"),
    Column("created_at", "Created", "time"),
)


def acts(
    rotate: Callable[[Api, str], Any], delete: Callable[[Api, str], Any], users: str, trail: str
) -> tuple[Act, ...]:
    """Return what can be done with a client that ``users`` log in with."""
    return (
        Act(
            key="rotate", label="New secret", icon=":material/autorenew:", ends=False, danger=True,
            call=rotate, yes="Replace the secret", shows=SHOWN_ONCE,
            will="{0} gets a new secret and the old one stops working. "
            f"{users} that use it fail until they have the new one.",
        ),
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=delete, yes="Delete this client", said="{0} is deleted.",
            will="{0} can no longer log in, and its tokens stop working. What it did stays in "
            f"{trail}. This cannot be undone.",
        ),
    )  # fmt: skip


PAGE: Final = ListPage(
    key="clients",
    of=models.ClientOut,
    title="API clients",
    lead="Credentials with which workflows call this tenant.",
    noun="client",
    nothing="Create one for the credentials of a workflow.",
    fetch=Api.list_clients,
    write="client:write",
    columns=(
        *NAMED,
        Column("disabled", "State", "badge", lambda one: "disabled" if one.disabled else "active"),
        *TIMES,
    ),
    facts=bounds.FACTS,
    form=Form(
        inputs=(
            Input("name", "Name", example="Invoices workflow"),
            Input("role", "Role", "role", usual="workflow"),
            *bounds.INPUTS,
        ),
        body=bounds.body_of(models.ClientCreate),
        call=Api.create_client,
        shows=SHOWN_ONCE,
    ),
    change=Change(
        inputs=(Input("name", "Name"), Input("role", "Role", "role"), *bounds.INPUTS),
        body=bounds.body_of(models.ClientPut),
        call=Api.change_client,
        missing="It needs a name and a role.",
        said="{0} is changed, effective at once.",
    ),
    acts=acts(Api.rotate_client, Api.delete_client, "Workflows", "the audit trail"),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
