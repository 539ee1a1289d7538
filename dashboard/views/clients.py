"""API clients: the credentials with which workflows log in to the platform."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Change, Column, Form, Input, ListPage
from dashboard.widgets import bounds

_SHOWN_ONCE: Final = (("Client ID", "client_id"), ("Client Secret", "client_secret"))

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
        Column("name", "Name", "strong"),
        Column("client_id", "Client ID", "code"),
        Column("role", "Role"),
        Column("disabled", "State", "badge", lambda one: "disabled" if one.disabled else "active"),
        Column("expires_at", "Expires", "time", none="never"),
        Column("last_used_at", "Last used", "time", none="not yet"),
        Column("created_at", "Created", "time"),
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
        shows=_SHOWN_ONCE,
    ),
    change=Change(
        inputs=(Input("name", "Name"), Input("role", "Role", "role"), *bounds.INPUTS),
        body=bounds.body_of(models.ClientPut),
        call=Api.change_client,
        missing="It needs a name and a role.",
        said="{0} is changed, effective at once.",
    ),
    acts=(
        Act(
            key="rotate", label="New secret", icon=":material/autorenew:", ends=False, danger=True,
            call=Api.rotate_client, yes="Replace the secret", shows=_SHOWN_ONCE,
            will="{0} gets a new secret and the old one stops working. Workflows that use it fail "
            "until the new one is in their credentials.",
        ),
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=Api.delete_client, yes="Delete this client", said="{0} is deleted.",
            will="{0} can no longer log in, and its tokens stop working. What it did stays in the "
            "audit trail. This cannot be undone.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
