"""Wire types of tenants and members."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, Field

from backend.http.schemas import PRINTED, Email, Input, Name, ShownOnce, Slug
from backend.managers.tenant._quotas import Quota
from backend.managers.tenant._roles import PlatformRole, Role


class TenantCreate(Input):
    """A new tenant, and who shall own it."""

    slug: Slug = Field(examples=["acme"])
    name: Name = Field(examples=["Acme Ltd"])
    owner_email: Email | None = Field(
        None, description="Who is invited to own it; the caller owns it when omitted"
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
    plan: str


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


class TenantSealCreate(Input):
    """Why a tenant's keys are sealed."""

    reason: str = Field(
        min_length=3,
        max_length=500,
        pattern=PRINTED,
        examples=["Its API key was published"],
    )


class TenantSealOut(BaseModel):
    """Whether a tenant's keys are sealed."""

    tenant_id: str
    sealed: bool
    reason: str | None
    sealed_at: datetime | None
    sealed_by: str | None


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
    statement: str | None = Field(
        description="What is signed, with the data keys that were destroyed: JSON, sorted keys, no "
        "blanks, UTF-8; null: it left before certificates were signed"
    )
    signature: str | None = Field(description="Ed25519 over the statement (RFC 8032), in base64")
    key_id: str | None = Field(description="The first 16 digits of the public key's SHA-256")


MAX_QUOTA: Final = 2**50


class PlanPut(Input):
    """What a plan allows; a quota that is left out has no limit."""

    quotas: dict[Quota, Annotated[int, Field(ge=0, le=MAX_QUOTA)]] = Field(
        examples=[{"emails_a_day": 10_000, "members": 25}]
    )

    def limits(self) -> dict[str, int]:
        """By name."""
        return {str(name): limit for name, limit in self.quotas.items()}


class PlanOut(BaseModel):
    """A plan; a quota that is not among its own has no limit."""

    name: str
    quotas: dict[str, int]
    updated_at: datetime


class QuotasPut(Input):
    """Another plan, other overrides of it, or both."""

    plan: Slug | None = Field(None, description="Left out: the plan that it has")
    overrides: dict[Quota, Annotated[int, Field(ge=0, le=MAX_QUOTA)] | None] | None = Field(
        None,
        description="All of them anew, null for no limit; left out: those that it has",
        examples=[{"emails_a_day": 20_000, "members": None}],
    )

    def limits(self) -> dict[str, int | None] | None:
        """The overrides by name."""
        if self.overrides is None:
            return None
        return {str(name): limit for name, limit in self.overrides.items()}


class QuotaOut(BaseModel):
    """One quota of a tenant."""

    quota: str
    limit: int | None = Field(description="Null: none")
    used: int | None = Field(description="Null: of a rate without limit nothing is counted")
    resets_at: datetime | None = Field(description="When the window of a rate ends")


class QuotasOut(BaseModel):
    """What a tenant may by its plan and what was overridden of it, and what it has used."""

    plan: str
    overrides: dict[str, int | None]
    items: list[QuotaOut]


class UsageDayOut(BaseModel):
    """What a tenant did on one day, in UTC, and what it had when that was looked up last."""

    day: str = Field(description="As 2026-11-26")
    requests: int
    emails_accepted: int
    emails_bounced: int
    jobs_ended: int
    members: int
    storage_bytes: int


class UsageOut(BaseModel):
    """Days with any figures, in order, and what there is now."""

    days: list[UsageDayOut]
    now: dict[str, int] = Field(description="How much of everything that is counted there is")


class TenantCreatedOut(TenantOut, ShownOnce):
    """A new tenant, with the link by which its first owner comes in if somebody was invited."""

    secrets = ("owner_invitation_link",)
    another = "Resend the invitation to get another one."

    owner_invitation_link: str | None = Field(
        None,
        description="Accepts the invitation, once; mailed too where the platform has a mail server."
        " Shown once, absent from a replay",
    )


class OwnerInvite(Input):
    """Who shall own a tenant."""

    email: Email = Field(examples=["grace@example.test"])


class OwnerInvitationOut(ShownOnce):
    """The link by which an owner comes in."""

    secrets = ("link",)
    another = "Invite them again to get another one."

    link: str = Field(
        "",
        description="Accepts the invitation, once; mailed too where the platform has a mail server."
        " Shown once, absent from a replay",
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
    disabled: bool = Field(description="Kept out of this tenant")


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
