"""Wire types of API keys."""

from datetime import datetime

from pydantic import BaseModel, Field

from backend.http.schemas import Input, Name, ShownOnce, Time
from backend.managers.identity import NETWORKS_TEXT, SCOPES_TEXT, Networks, Scopes
from backend.managers.tenant import PlatformRole, Role


class ApiKeyCreate(Input):
    """A long-lived credential for tools that cannot speak OAuth."""

    name: Name = Field(examples=["Nightly report"])
    role: Role = Field(examples=["viewer"])
    expires_at: Time | None = Field(
        None, description="RFC 3339; null: never", examples=["2099-12-31T23:59:59Z"]
    )
    scopes: Scopes | None = Field(None, description=SCOPES_TEXT, examples=[None])
    networks: Networks = Field([], description=NETWORKS_TEXT, examples=[[]])


class PlatformApiKeyCreate(ApiKeyCreate):
    """A long-lived credential for tools that act on the platform itself, in no tenant."""

    role: PlatformRole = Field(examples=["auditor"])
    scopes: Scopes | None = Field(None, description=SCOPES_TEXT, examples=[["platform:read"]])


class ApiKeyPut(ApiKeyCreate):
    """All that can be changed of an API key; what is left out is bounded no more."""


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
    scopes: list[str] | None = Field(description=SCOPES_TEXT)
    networks: list[str] = Field(description=NETWORKS_TEXT)


class ApiKeySecretOut(ApiKeyOut, ShownOnce):
    """An API key with the key, which is shown this once."""

    secrets = ("key",)
    another = "Revoke this key and create another one."

    key: str = Field("", description="Shown once; only its hash is kept. Absent from a replay")
