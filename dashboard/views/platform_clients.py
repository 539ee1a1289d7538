"""Platform clients: the credentials of programs that act on the platform itself."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Form, Input, ListPage
from dashboard.views import clients
from dashboard.views.users import of_platform
from dashboard.widgets import bounds

PAGE: Final = ListPage(
    key="platform-clients",
    of=models.ClientOut,
    title="Platform clients",
    lead="Credentials of programs that act on the platform itself, in no tenant.",
    noun="platform client",
    nothing="Create one for what makes tenants, plans or limits by itself.",
    fetch=Api.list_platform_clients,
    write="platform_client:write",
    columns=(*clients.NAMED, *clients.TIMES),
    facts=bounds.FACTS,
    form=Form(
        inputs=(
            Input("name", "Name", example="Tenants from the shop"),
            Input("role", "Role on the platform", "choice", options=of_platform),
            *bounds.INPUTS,
        ),
        body=bounds.body_of(models.PlatformClientCreate),
        call=Api.create_platform_client,
        shows=clients.SHOWN_ONCE,
    ),
    acts=clients.acts(
        Api.rotate_platform_client, Api.delete_platform_client, "Programs",
        "the platform's audit trail",
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
