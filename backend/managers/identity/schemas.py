"""Wire types of clients, signing keys and the caller's own view."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr

from backend.http.schemas import Email, Input, Name, ShownOnce, Time
from backend.managers.audit import AuditEntry
from backend.managers.identity._bounds import NETWORKS_TEXT, SCOPES_TEXT, Networks, Scopes
from backend.managers.identity._providers import ProviderFacts
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
    state: str = Field(description="Of one that is not `active` an exchange tells why")


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


class SecondFactorOut(BaseModel):
    """What the caller has beside their password."""

    user_id: str
    enrolled: bool
    enrolled_at: datetime | None
    recovery_codes_left: int
    required: bool = Field(description="Whether the platform or one of their tenants asks for one")


class TotpEnrolmentOut(ShownOnce):
    """A secret that counts once a code of it was given."""

    secrets = ("secret", "uri", "qr_svg")
    another = "Begin again to get another one."

    secret: str = Field("", description="Base32, to be typed into an authenticator app")
    uri: str = Field("", description="The same as `otpauth://totp/...`")
    qr_svg: str = Field("", description="The same as a picture")


class TotpCode(Input):
    """What the authenticator app shows now."""

    code: str = Field(min_length=6, max_length=64, examples=["492039"])


class RecoveryCodesOut(ShownOnce):
    """Ten codes, each of which lets in once without the device."""

    secrets = ("recovery_codes",)
    another = "Ask for new ones."

    recovery_codes: list[str] = Field(
        default_factory=list, description="Shown once; only their hashes are kept"
    )


class LoginPolicyPut(Input):
    """What the tenant asks of its people's log-ins."""

    require_second_factor: bool = Field(examples=[False])


class LoginPolicyOut(BaseModel):
    """What the tenant asks of its people's log-ins."""

    require_second_factor: bool


class _ProviderInput(Input):
    name: Name = Field(examples=["Acme single sign-on"])
    issuer: str = Field(
        max_length=500,
        pattern=r"^https?://[^\s\x00-\x1f]+$",
        description="As its own metadata says it, to the letter",
        examples=["https://login.acme.example"],
        json_schema_extra={"format": "uri"},
    )
    client_id: str = Field(min_length=1, max_length=500, examples=["email-sender"])
    groups_claim: str = Field(
        "groups", min_length=1, max_length=100, description="Of id tokens; a list of texts"
    )
    roles_by_group: dict[str, Role] = Field(
        default_factory=dict,
        max_length=100,
        description="Of several groups that somebody is in, the first here counts",
    )
    default_role: Role | None = Field(
        None, description="Of who is in none of the groups; null: they may not enter"
    )
    second_factor: bool = Field(
        False, description="Whether its log-ins count as with a second factor"
    )
    domain: str | None = Field(
        None,
        max_length=253,
        description="Mail domain it speaks for, once that is proven or confirmed",
        examples=["acme.example"],
    )
    enforced: bool = Field(
        False, description="Whether nobody of that domain logs in with a password"
    )
    disabled: bool = False

    def facts(self) -> ProviderFacts:
        """What it says, without the secret."""
        return ProviderFacts(**self.model_dump(exclude={"client_secret"}))


class IdentityProviderCreate(_ProviderInput):
    """The tenant's own OpenID provider, at which we are registered as a client."""

    client_secret: SecretStr = Field(
        min_length=1, max_length=1000, examples=["a secret of the provider's"]
    )


class IdentityProviderPut(_ProviderInput):
    """All of it anew; the secret only if it changes."""

    client_secret: SecretStr | None = Field(None, min_length=1, max_length=1000)


class IdentityProviderOut(BaseModel):
    """An identity provider without its secret."""

    id: str
    name: str
    issuer: str
    client_id: str
    redirect_uri: str = Field(description="To be registered there")
    groups_claim: str
    roles_by_group: dict[str, str]
    default_role: str | None
    second_factor: bool
    domain: str | None
    domain_state: Literal["none", "claimed", "proven", "confirmed"]
    proof_name: str | None = Field(description="The name of a TXT record that proves the domain")
    proof_value: str | None = Field(description="What it has to say")
    enforced: bool
    disabled: bool
    created_at: datetime


class IdentityProviderCheck(IdentityProviderOut):
    """An identity provider that somebody looked at."""

    problem: str | None = Field(description="What is missing; null: nothing")


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
