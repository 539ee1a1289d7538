"""API keys: long-lived credentials for tools that cannot log in as a client."""

from collections.abc import Callable
from typing import Any, Final

from dashboard import pages
from dashboard.client import Api, models
from dashboard.pages import Act, Change, Column, Form, Input, ListPage
from dashboard.widgets import bounds

COLUMNS: Final = (
    Column("name", "Name", "strong"),
    Column("prefix", "Begins with", "code"),
    Column("role", "Role"),
    Column("expires_at", "Expires", "time", none="never"),
    Column("last_used_at", "Last used", "time", none="not yet"),
    Column("created_at", "Created", "time"),
)
FACTS: Final = (Column("created_by", "Created by", "who"), *bounds.FACTS)
SHOWN_ONCE: Final = (("API Key", "key"),)


def revoke(call: Callable[[Api, str], Any], trail: str) -> Act:
    """Return the act that ends a key; what was done with it stays in ``trail``."""
    return Act(
        key="revoke", label="Revoke", icon=":material/key_off:",
        call=call, yes="Revoke this key", said="{0} is revoked.",
        will="{0} stops working at once, and whatever sends it is refused. What was done with "
        f"it stays in {trail}. This cannot be undone.",
    )  # fmt: skip


PAGE: Final = ListPage(
    key="api-keys",
    of=models.ApiKeyOut,
    title="API keys",
    lead="For tools that send a key with every request.",
    noun="API key",
    nothing="Create one for a tool that cannot log in as an API client.",
    fetch=Api.list_api_keys,
    write="api_key:write",
    columns=COLUMNS,
    facts=FACTS,
    form=Form(
        inputs=(
            Input("name", "Name", example="Nightly report"),
            Input("role", "Role", "role", usual="viewer"),
            *bounds.INPUTS,
        ),
        body=bounds.body_of(models.ApiKeyCreate),
        call=Api.create_api_key,
        shows=SHOWN_ONCE,
    ),
    change=Change(
        inputs=(Input("name", "Name"), Input("role", "Role", "role"), *bounds.INPUTS),
        body=bounds.body_of(models.ApiKeyPut),
        call=Api.change_api_key,
        missing="It needs a name and a role.",
        said="{0} is changed, effective at once.",
    ),
    acts=(revoke(Api.revoke_api_key, "the audit trail"),),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
