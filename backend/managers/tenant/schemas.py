"""Wire types of tenants and members."""

from datetime import datetime
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr

from backend.http.schemas import PRINTED, Input, Name
from backend.managers.tenant._roles import PlatformRole, Role


def _email(text: str) -> str:
    try:
        found = validate_email(
            text, check_deliverability=False, test_environment=True, globally_deliverable=False
        )
    except EmailNotValidError as exc:
        raise ValueError(str(exc)) from exc
    return found.normalized


Email = Annotated[
    str, Field(max_length=254, json_schema_extra={"format": "email"}), AfterValidator(_email)
]


Slug = Annotated[str, Field(min_length=2, max_length=40, pattern=r"^[a-z][a-z0-9-]*[a-z0-9]$")]


class TenantCreate(Input):
    """A new tenant, and who owns it first: a person who logs in here already."""

    slug: Slug = Field(examples=["acme"])
    name: Name = Field(examples=["Acme Ltd"])
    owner_email: Email | None = Field(
        None, description="An existing person who becomes the owner; the caller when omitted"
    )


class TenantOut(BaseModel):
    """A tenant."""

    id: str
    slug: str
    name: str
    state: str = Field(description="`active`, `suspended` or `deleting`")
    created_at: datetime
    reason: str | None = Field(description="Why it is, or was before it is to go, suspended")
    state_since: datetime | None = Field(description="Of the state; null since it was made")
    purge_at: datetime | None = Field(description="When the data of a deleted tenant goes")


class TenantPatch(Input):
    """Another name, another slug; what is left out stays."""

    slug: Slug | None = Field(None, examples=["acme-group"])
    name: Name | None = Field(None, examples=["Acme Group"])


class TenantSuspend(Input):
    """Why a tenant is suspended: its own people and programs are told so."""

    reason: str = Field(
        min_length=3,
        max_length=500,
        pattern=PRINTED,
        examples=["The invoice of October is unpaid: write to billing@example.test"],
    )


class TenantCertificateOut(BaseModel):
    """What went of a tenant that left, and the last link of its audit trail, which stays."""

    id: str
    tenant_id: str
    slug: str
    name: str
    tenant_created_at: datetime
    deleted_by: str
    deleted_at: datetime
    begun_at: datetime
    finished_at: datetime
    counts: dict[str, int] = Field(description="Rows that went, by table")
    audit_seq: int = Field(description="The number of the trail's last record")
    audit_root: str = Field(description="Its chain hash, in hex")


class MemberCreate(Input):
    """A person to add: somebody known by e-mail, or, with a password, a new log-in."""

    email: Email = Field(examples=["grace@example.test"])
    name: Name = Field(examples=["Grace Hopper"])
    role: Role = Field(examples=["viewer"])
    password: SecretStr | None = Field(
        None, min_length=12, max_length=200, examples=["correct horse battery staple"]
    )


class MemberPatch(Input):
    """The member's new role."""

    role: Role = Field(examples=["operator"])


class MemberOut(BaseModel):
    """A person in this tenant; ``id`` is the user's."""

    id: str
    email: str
    name: str
    role: str
    created_at: datetime


class PlatformRolePut(Input):
    """What the person is to the platform from now on."""

    platform_role: PlatformRole | None = Field(description="null: nothing", examples=["auditor"])


class PlatformUserOut(BaseModel):
    """A person as the platform sees them."""

    id: str
    email: str
    name: str
    platform_role: str | None
    disabled: bool


class RolePut(Input):
    """What a role of the tenant's own permits."""

    description: str = Field("", max_length=500, examples=["Sends invoices, sees no templates"])
    permissions: list[Annotated[str, Field(max_length=100)]] = Field(
        max_length=200, examples=[["member:read", "role:read"]]
    )


class RoleOut(BaseModel):
    """A role and what it permits."""

    name: str
    permissions: Annotated[list[str], BeforeValidator(sorted)]
    built_in: bool
    description: str
    version: int = Field(description="Of a role of the tenant's own; 0 of a built-in one")
    updated_at: datetime | None
