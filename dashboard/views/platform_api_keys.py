"""Platform keys: long-lived credentials of tools that act on the platform itself."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Column, Form, Input, ListPage
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
    columns=(
        Column("name", "Name", "strong"),
        Column("prefix", "Begins with", "code"),
        Column("role", "Role"),
        Column("expires_at", "Expires", "time", none="never"),
        Column("last_used_at", "Last used", "time", none="not yet"),
        Column("created_at", "Created", "time"),
    ),
    facts=(Column("created_by", "Created by", "who"), *bounds.FACTS),
    form=Form(
        inputs=(
            Input("name", "Name", example="Nightly report of all tenants"),
            Input("role", "Role on the platform", "choice", options=of_platform),
            *bounds.INPUTS,
        ),
        body=bounds.body_of(models.PlatformApiKeyCreate),
        call=Api.create_platform_api_key,
        shows=(("API Key", "key"),),
    ),
    acts=(
        Act(
            key="revoke", label="Revoke", icon=":material/key_off:",
            call=Api.revoke_platform_api_key, yes="Revoke this key", said="{0} is revoked.",
            will="{0} stops working at once, and whatever sends it is refused. What was done with "
            "it stays in the platform's audit trail. This cannot be undone.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
