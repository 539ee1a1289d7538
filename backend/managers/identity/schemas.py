"""Wire types of clients, signing keys and the caller's own view."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from backend.http.schemas import Input, Name, ShownOnce, Time
from backend.managers.identity._bounds import NETWORKS_TEXT, SCOPES_TEXT, Networks, Scopes
from backend.managers.tenant import PlatformRole, Role


class ClientCreate(Input):
    """A program that will call the API."""

    name: Name = Field(examples=["Invoices workflow"])
    role: Role = Field(examples=["workflow"])
    scopes: Scopes | None = Field(None, description=SCOPES_TEXT, examples=[None])
    expires_at: Time | None = Field(
        None, description="RFC 3339; null: never", examples=["2099-12-31T23:59:59Z"]
    )
    networks: Networks = Field([], description=NETWORKS_TEXT, examples=[[]])


class PlatformClientCreate(ClientCreate):
    """A program that will act on the platform itself, in no tenant."""

    role: PlatformRole = Field(examples=["auditor"])
    scopes: Scopes | None = Field(None, description=SCOPES_TEXT, examples=[["platform:read"]])


class ClientPut(ClientCreate):
    """All that can be changed of a client; what is left out is bounded no more."""


class ClientOut(BaseModel):
    """A client without its secret."""

    id: str
    client_id: str = Field(examples=["es_0199c0de000070008000000000000001"])
    name: str
    role: str
    disabled: bool
    created_at: datetime
    scopes: list[str] | None = Field(description=SCOPES_TEXT)
    expires_at: datetime | None
    networks: list[str] = Field(description=NETWORKS_TEXT)
    last_used_at: datetime | None = Field(description="Exact to about a minute")


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


class MeOut(BaseModel):
    """Who the caller is and what they may do here."""

    subject: str = Field(examples=["client:es_0199c0de000070008000000000000001"])
    kind: Literal["user", "client", "api_key"]
    name: str
    tenant: TenantRef
    role: str
    permissions: list[str]
    platform_admin: bool = Field(description="Whether the platform role is administrator")
    platform_role: PlatformRole | None = Field(description="What the caller is to the platform")
    tenants: list[TenantRoleOut] = Field(description="Where a person may switch to by exchange")


class SigningKeyRotated(BaseModel):
    """The new signing key."""

    kid: str
    old_keys_until: datetime = Field(description="Until then tokens of the old keys verify")
