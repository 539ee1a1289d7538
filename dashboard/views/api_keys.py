"""API keys: long-lived credentials for tools that cannot log in as a client."""

from typing import Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Change, Column, Form, Input, ListPage
from dashboard.widgets import bounds

PAGE: Final = ListPage(
    key="api-keys",
    of=models.ApiKeyOut,
    title="API keys",
    lead="For tools that send a key with every request.",
    noun="API key",
    nothing="Create one for a tool that cannot log in as an API client.",
    fetch=Api.list_api_keys,
    write="api_key:write",
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
            Input("name", "Name", example="Nightly report"),
            Input("role", "Role", "role", usual="viewer"),
            *bounds.INPUTS,
        ),
        body=bounds.body_of(models.ApiKeyCreate),
        call=Api.create_api_key,
        shows=(("API Key", "key"),),
    ),
    change=Change(
        inputs=(Input("name", "Name"), Input("role", "Role", "role"), *bounds.INPUTS),
        body=bounds.body_of(models.ApiKeyPut),
        call=Api.change_api_key,
        missing="It needs a name and a role.",
        said="{0} is changed, effective at once.",
    ),
    acts=(
        Act(
            key="revoke", label="Revoke", icon=":material/key_off:",
            call=Api.revoke_api_key, yes="Revoke this key", said="{0} is revoked.",
            will="{0} stops working at once, and whatever sends it is refused. What was done with "
            "it stays in the audit trail. This cannot be undone.",
        ),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
