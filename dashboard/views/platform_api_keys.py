"""Platform keys: long-lived credentials of tools that act on the platform itself."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Form, Input, ListPage
from dashboard.views import api_keys
from dashboard.views.users import of_platform
from dashboard.widgets import bounds

PAGE: Final = ListPage(
    key="platform-api-keys",
    of=models.ApiKeyOut,
    title="Platform keys",
    lead="For tools that act on the platform itself and send a key with every request.",
    noun="platform key",
    nothing="Create one for a tool that cannot log in as a platform client.",
    fetch=Api.list_platform_api_keys,
    write="platform_api_key:write",
    columns=api_keys.COLUMNS,
    facts=api_keys.FACTS,
    form=Form(
        inputs=(
            Input("name", "Name", example="Nightly report of all tenants"),
            Input("role", "Role on the platform", "choice", options=of_platform),
            *bounds.INPUTS,
        ),
        body=bounds.body_of(models.PlatformApiKeyCreate),
        call=Api.create_platform_api_key,
        shows=api_keys.SHOWN_ONCE,
    ),
    acts=(api_keys.revoke(Api.revoke_platform_api_key, "the platform's audit trail"),),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
