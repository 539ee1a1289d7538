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


class SigningKeyRotated(BaseModel):
    """The new signing key."""

    kid: str
    old_keys_until: datetime = Field(description="Until then tokens of the old keys verify")
