"""Wire types of clients, signing keys and the caller's own view."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr

from backend.http.schemas import Email, Input, Name, ShownOnce
from backend.managers.audit import AuditEntry
from backend.managers.tenant import PlatformRole, Role


class ClientCreate(Input):
    """A program that will call the API."""

    name: Name = Field(examples=["Invoices workflow"])
    role: Role = Field(examples=["workflow"])


class PlatformClientCreate(ClientCreate):
    """A program that will act on the platform itself, in no tenant."""

    role: PlatformRole = Field(examples=["auditor"])


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


class SigningKeyOut(BaseModel):
    """A key that signs tokens, or verifies those it has signed; nothing private."""

    kid: str = Field(description="As tokens and `/oauth/jwks` name it")
    state: Literal["active", "retiring"] = Field(
        description="`active` signs; `retiring` verifies what it signed"
    )
    algorithm: str = Field(examples=["ES256"])
    created_at: datetime
    until: datetime | None = Field(
        description="When it stops verifying; null: not before the next rotation"
    )


class SigningKeyRotated(BaseModel):
    """The new signing key."""

    kid: str
    old_keys_until: datetime = Field(description="Until then tokens of the old keys verify")


class InvitationCreate(Input):
    """Whom to invite, and what they shall be."""

    email: Email = Field(examples=["grace@example.test"])
    name: Name | None = Field(
        None, description="What they are called, until they say it", examples=["Grace Hopper"]
    )
    role: Role = Field(examples=["viewer"])


class InvitationOut(BaseModel):
    """An invitation without its link."""

    id: str
    email: str
    name: str
    role: str
    state: Literal["open", "accepted", "revoked", "expired"]
    invited_by: str
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None


class InvitationLinkOut(InvitationOut, ShownOnce):
    """An invitation with the link that accepts it, which is shown this once."""

    secrets = ("link",)
    another = "Resend the invitation to get another one."

    link: str = Field(
        "",
        description="Works once; mailed too where the platform has a mail server. Shown once, for"
        " the invited person alone. Absent from a replay",
    )


class ProfilePut(Input):
    """What a person calls themselves."""

    name: Name = Field(examples=["Ada Lovelace"])


class ProfileOut(BaseModel):
    """A person's own account."""

    id: str
    email: str
    name: str
    platform_role: str | None


class PasswordPut(Input):
    """The password of now, and the one from now on."""

    old_password: SecretStr = Field(
        min_length=1, max_length=1024, examples=["correct horse battery staple"]
    )
    new_password: SecretStr = Field(
        min_length=12,
        max_length=1024,
        description="Not among the most used ones, and without the e-mail address",
        examples=["correct horse battery staple"],
    )


class SessionOut(BaseModel):
    """A browser in which the caller is logged in."""

    id: str
    created_at: datetime
    last_seen_at: datetime = Field(description="To within minutes")
    expires_at: datetime
    address: str
    agent: str = Field(description="The browser, as it calls itself, in short")
    current: bool = Field(description="The log-in that this request belongs to")


@dataclass(frozen=True, slots=True)
class SignIn:
    """A log-in, or failures of one account in ten seconds, as the trail has them."""

    id: str
    at: datetime
    outcome: Literal["succeeded", "failed"]
    count: int
    address: str
    agent: str

    @classmethod
    def of(cls, entry: AuditEntry) -> Self:
        """Read it from its record."""
        return cls(
            entry.id,
            entry.at,
            "succeeded" if entry.action.endswith(".succeeded") else "failed",
            int(entry.data.get("count", 1)),
            str(entry.data.get("address", "")),
            str(entry.data.get("agent", "")),
        )


class SignInOut(BaseModel):
    """A log-in, or several that failed within ten seconds."""

    id: str
    at: datetime
    outcome: Literal["succeeded", "failed"]
    count: int
    address: str = Field(description="Of the first, where there are several")
    agent: str


class UserOut(BaseModel):
    """A person who logs in here."""

    id: str
    email: str
    name: str
    platform_role: str | None
    disabled: bool
    created_at: datetime


class UserPlaceOut(TenantRoleOut):
    """A tenant that the person belongs to."""

    disabled: bool


class UserDetailOut(UserOut):
    """A person, and where they belong."""

    tenants: list[UserPlaceOut]
