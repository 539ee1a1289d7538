"""Wire types of clients, signing keys and the caller's own view."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from backend.http.schemas import Input, Name, ShownOnce
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


class ClientSecretOut(ClientOut, ShownOnce):
    """A client with its secret, which is shown this once."""

    secrets = ("client_secret",)
    another = "Rotate the client to get another one."

    client_secret: str = Field(
        "", description="Shown once; only its hash is kept. Absent from a replay"
    )


class TenantRef(BaseModel):
    """The tenant the credential is bound to."""

    id: str
    slug: str
    name: str


class TenantRoleOut(TenantRef):
    """A tenant the caller may act in, and as what."""

    role: str
    state: str = Field(description="Of one that is not `active` an exchange tells why")


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
