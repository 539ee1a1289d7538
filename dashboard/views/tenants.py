"""Tenants: the platform's own list, for its administrators."""

from typing import Final

from dashboard import pages, state
from dashboard.client import Api, models
from dashboard.pages import Column, Form, Input, ListPage


def _create(api: Api, body: models.TenantCreate) -> models.TenantCreatedOut:
    made = api.create_tenant(body)
    state.current().look_again()  # it may be one more that this person can choose
    return made


PAGE: Final = ListPage(
    key="tenants",
    of=models.TenantOut,
    title="Tenants",
    lead="Every tenant of this platform.",
    noun="tenant",
    nothing="Create the first one above.",
    fetch=Api.list_tenants,
    write="platform:write",
    columns=(
        Column("name", "Name", "strong"),
        Column("slug", "Slug", "code"),
        Column("state", "State", "badge"),
        Column("created_at", "Created (UTC)", "time"),
    ),
    form=Form(
        inputs=(
            Input("name", "Name", example="Acme Industries"),
            Input(
                "slug", "Slug", example="acme",
                help="Short and lasting: it appears in addresses and cannot be changed.",
            ),
            Input(
                "owner_email", "Owner's e-mail (optional)", required=False,
                help="Is invited to own the tenant. Without one it is yours.",
            ),
        ),
        body=models.TenantCreate,
        call=_create,
        missing="A tenant needs a name and a slug.",
        said="Tenant {0} is created.",
        shows=(("Link for the owner", "owner_invitation_link"),),
    ),
)  # fmt: skip

if __name__ == "__main__":
    pages.draw(PAGE)
