"""Platform clients: the credentials of programs that act on the platform itself."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage
from dashboard.views.users import of_platform
from dashboard.widgets import bounds

_SHOWN_ONCE: Final = (("Client ID", "client_id"), ("Client Secret", "client_secret"))

PAGE: Final = ListPage(
    key="platform-clients",
    of=models.ClientOut,
    title="Platform clients",
    lead="Credentials of programs that act on the platform itself, in no tenant.",
    noun="platform client",
    nothing="Create one for what makes tenants, plans or limits by itself.",
    fetch=Api.list_platform_clients,
    write="platform_client:write",
    columns=(
        Column("name", "Name", "strong"),
        Column("client_id", "Client ID", "code"),
        Column("role", "Role"),
        Column("expires_at", "Expires", "time", none="never"),
        Column("last_used_at", "Last used", "time", none="not yet"),
        Column("created_at", "Created", "time"),
    ),
    facts=bounds.FACTS,
    form=Form(
        inputs=(
            Input("name", "Name", example="Tenants from the shop"),
            Input("role", "Role on the platform", "choice", options=of_platform),
            *bounds.INPUTS,
        ),
        body=bounds.body_of(models.PlatformClientCreate),
        call=Api.create_platform_client,
        shows=_SHOWN_ONCE,
    ),
    acts=(
        Act(
            key="rotate", label="New secret", icon=":material/autorenew:", ends=False, danger=True,
            call=Api.rotate_platform_client, yes="Replace the secret", shows=_SHOWN_ONCE,
            will="{0} gets a new secret and the old one stops working. Programs that use it fail "
            "until they have the new one.",
        ),
        Act(
            key="delete", label="Delete", icon=":material/delete:",
            call=Api.delete_platform_client, yes="Delete this client", said="{0} is deleted.",
            will="{0} can no longer log in, and its tokens stop working. What it did stays in the "
            "platform's audit trail. This cannot be undone.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
