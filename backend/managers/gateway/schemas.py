"""Wire types of API keys and of limits."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from backend.http.deps import canonical_id
from backend.http.schemas import Input, Name, ShownOnce, Time
from backend.managers.gateway._limits import LimitKind
from backend.managers.identity import NETWORKS_TEXT, SCOPES_TEXT, Networks, Scopes
from backend.managers.tenant import PlatformRole, Role

TenantId = Annotated[str, Field(json_schema_extra={"format": "uuid"}), AfterValidator(canonical_id)]


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


class RateModel(Input):
    """So many at once, and so many more every so many seconds."""

    burst: int = Field(ge=1, le=10**12, description="Admitted at once", examples=[1000])
    refill: int = Field(ge=1, le=10**12, description="Free again in that time", examples=[1000])
    seconds: int = Field(ge=1, le=31 * 86_400, description="The time", examples=[86_400])


class LimitPut(Input):
    """What a limit allows; null says nothing, and what the next wider limit says holds."""

    requests: RateModel | None = Field(
        None, examples=[{"burst": 100, "refill": 100, "seconds": 60}]
    )
    sustained: RateModel | None = Field(
        None,
        description="A second rate of requests, over a longer time; both hold",
        examples=[{"burst": 5000, "refill": 5000, "seconds": 86_400}],
    )
    bytes: RateModel | None = Field(None, description="Of request bodies")


class Within(Input):
    """Whom a limit is for, beside kind and name."""

    route_class: str = Field(
        "",
        max_length=200,
        description="For one caller: limit their use of this class of routes alone (`emails`)",
    )


class LimitCreate(Within, LimitPut):
    """A limit of the tenant's own, within the platform's."""

    kind: Literal["caller", "client", "api_key", "user", "route_class"] = Field(
        description="`caller`: each of the tenant's callers. `client`, `api_key`, `user`: the one "
        "that `name` names. `route_class`: each caller's use of the class `name`",
        examples=["client"],
    )
    name: str = Field(
        "",
        max_length=200,
        description="A client id, the id of a key or a person, or a class of routes; empty for "
        "`caller`",
        examples=["es_0199c0de00007000800000000000000a"],
    )


class PlatformLimitPut(LimitPut):
    """What a limit of the platform allows; null says nothing."""

    concurrency: int | None = Field(
        None, ge=1, le=1_000_000, description="Requests under way at once; of the tenant alone"
    )
    cost: int | None = Field(
        None,
        ge=1,
        le=10_000,
        description="How many requests one of the class counts for, by every limit",
    )


class PlatformLimitCreate(Within, PlatformLimitPut):
    """A limit that the platform sets."""

    tenant_id: TenantId | None = Field(None, description="Whom it is for; null: every tenant")
    kind: LimitKind = Field(
        description="`tenant`: all requests of the tenant together; else as for tenants",
        examples=["client"],
    )
    name: str = Field(
        "",
        max_length=200,
        description="As for tenants; empty for `tenant`",
        examples=["es_0199c0de00007000800000000000000b"],
    )


class RateOut(BaseModel):
    """So many at once, and so many more every so many seconds."""

    burst: int
    refill: int
    seconds: int


class LimitOut(BaseModel):
    """A limit. The version goes into If-Match as the ETag does."""

    id: str
    tenant_id: str | None = Field(description="Whom it is for; null: every tenant")
    owner: Literal["platform", "tenant"] = Field(description="Who may change it")
    kind: LimitKind
    name: str
    route_class: str = Field(description="Of one caller, the class that it is about; else empty")
    requests: RateOut | None
    sustained: RateOut | None
    bytes: RateOut | None
    concurrency: int | None
    cost: int | None
    updated_by: str = Field(examples=["user:0199c0de-0000-7000-8000-000000000001"])
    updated_at: datetime
    version: str


class LimitUseOut(BaseModel):
    """How much of what holds for somebody is used."""

    level: str = Field(description="As the RateLimit headers name it", examples=["tenant"])
    subject: str = Field(description="The caller; empty: the tenant as a whole")
    unit: Literal["requests", "content-bytes", "concurrent-requests"]
    burst: int = Field(description="Admitted at once")
    refill: int | None = Field(description="Free again every `seconds`; null: as requests end")
    seconds: int | None
    used: int
    remaining: int
    reset_seconds: int | None = Field(description="Until all of it is free again")


class LimitUsageOut(BaseModel):
    """What holds for a tenant and its callers, and how much of it is used just now."""

    shared: bool = Field(
        description="Whether all processes count together; else these are the figures of the one "
        "that answers"
    )
    levels: list[LimitUseOut]
