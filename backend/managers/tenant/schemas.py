"""Wire types of tenants and members."""

from datetime import datetime
from typing import Annotated, Final

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, Field, SecretStr

from backend.http.schemas import Input, Name
from backend.managers.tenant._quotas import Quota
from backend.managers.tenant._roles import Role


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
        pattern=r"\S",
        examples=["The invoice of October is unpaid: write to billing@example.test"],
    )


class CertificateOut(BaseModel):
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


PlanName = Annotated[str, Field(min_length=2, max_length=40, pattern=r"^[a-z][a-z0-9-]*[a-z0-9]$")]
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

    plan: PlanName | None = Field(None, description="Left out: the plan that it has")
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
    jobs: int = Field(description="That ended")
    members: int
    storage_bytes: int


class UsageOut(BaseModel):
    """Days with any figures, in order, and what there is now."""

    days: list[UsageDayOut]
    now: dict[str, int] = Field(description="How much of everything that is counted there is")


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


class RoleOut(BaseModel):
    """A built-in role and what it permits."""

    name: str
    permissions: list[str]
