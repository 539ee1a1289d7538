"""Wire types of clients, API keys and the caller's own view."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from backend.http.schemas import Input, Name, Time
from backend.managers.tenant import Role


class ClientCreate(Input):
    """A program that will call the API."""

    name: Name = Field(examples=["Invoices workflow"])
    role: Role = Field(examples=["workflow"])


class ClientOut(BaseModel):
    """A client without its secret."""

    id: str
    client_id: str = Field(examples=["es_0199c0de000070008000000000000001"])
    name: str
    role: str
    disabled: bool
    created_at: datetime


class ClientSecretOut(ClientOut):
    """A client with its secret, which is shown this once."""

    client_secret: str = Field(description="Shown once; only its hash is kept")


class ApiKeyCreate(Input):
    """A long-lived credential for tools that cannot speak OAuth."""

    name: Name = Field(examples=["Nightly report"])
    role: Role = Field(examples=["viewer"])
    expires_at: Time | None = Field(
        None, description="RFC 3339; null: never", examples=["2099-12-31T23:59:59Z"]
    )


class ApiKeyOut(BaseModel):
    """An API key without the key."""

    id: str
    name: str
    role: str
    prefix: str = Field(description="How the key begins, to tell keys apart")
    created_by: str = Field(examples=["user:0199c0de-0000-7000-8000-000000000001"])
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="Exact to about a minute")


class ApiKeySecretOut(ApiKeyOut):
    """An API key with the key, which is shown this once."""

    key: str = Field(description="Shown once; only its hash is kept")


class TenantRef(BaseModel):
    """The tenant the credential is bound to."""

    id: str
    slug: str
    name: str


class TenantRoleOut(TenantRef):
    """A tenant the caller may act in, and as what."""

    role: str


class MeOut(BaseModel):
    """Who the caller is and what they may do here."""

    subject: str = Field(examples=["client:es_0199c0de000070008000000000000001"])
    kind: Literal["user", "client", "api_key"]
    name: str
    tenant: TenantRef
    role: str
    permissions: list[str]
    platform_admin: bool
    tenants: list[TenantRoleOut] = Field(description="Where a person may switch to by exchange")


class SigningKeyRotated(BaseModel):
    """The new signing key."""

    kid: str
    old_keys_until: datetime = Field(description="Until then tokens of the old keys verify")
