# Written by scripts/generate-client from tests/contract/openapi-v1.json.

"""What goes over the wire, as the API's document tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType, field

from dashboard.client.wire import Wire


class ApiKeyCreate(Wire, frozen=True, kw_only=True):
    """A long-lived credential for tools that cannot speak OAuth."""

    name: str
    role: str
    expires_at: datetime | None | UnsetType = UNSET


class ApiKeyOut(Wire, frozen=True, kw_only=True):
    """An API key without the key."""

    created_at: datetime
    created_by: str
    expires_at: datetime | None
    id: str
    last_used_at: datetime | None
    name: str
    prefix: str
    role: str


class ApiKeyPage(Wire, frozen=True, kw_only=True):
    items: list[ApiKeyOut]
    next_cursor: str | None


class ApiKeySecretOut(Wire, frozen=True, kw_only=True):
    """An API key with the key, which is shown this once."""

    created_at: datetime
    created_by: str
    expires_at: datetime | None
    id: str
    last_used_at: datetime | None
    name: str
    prefix: str
    role: str
    key: str | UnsetType = ""
    secret_withheld: str | None | UnsetType = UNSET


class AttachmentIn(Wire, frozen=True, kw_only=True):
    """One attached file."""

    content: str
    filename: str
    content_id: str | None | UnsetType = UNSET
    content_type: str | UnsetType = "application/octet-stream"


class AttachmentOut(Wire, frozen=True, kw_only=True):
    """An attachment without its bytes."""

    content_id: str | None
    content_type: str
    filename: str
    size_bytes: int


class AuditOut(Wire, frozen=True, kw_only=True):
    """One act. ``seq`` and ``hash`` are null for the moment between commit and sequencing."""

    action: str
    actor: str
    at: datetime
    data: dict[str, Any]
    hash: str | None
    id: str
    request_id: str
    seq: int | None
    target: str


class AuditPage(Wire, frozen=True, kw_only=True):
    items: list[AuditOut]
    next_cursor: str | None


class BatchCreate(Wire, frozen=True, kw_only=True):
    """Up to 500 messages that become durable together or not at all."""

    messages: list[EmailCreate]


class BatchOut(Wire, frozen=True, kw_only=True):
    """The messages in the order they were given."""

    items: list[SubmittedOut]


class CalendarIn(Wire, frozen=True, kw_only=True):
    """An invitation that mail programs show with buttons to answer."""

    content: str
    method: str | UnsetType = "REQUEST"


class CertificateOut(Wire, frozen=True, kw_only=True):
    """What went of a tenant that left, and the last link of its audit trail, which stays."""

    audit_root: str
    audit_seq: int
    begun_at: datetime
    counts: dict[str, int]
    deleted_at: datetime
    deleted_by: str
    finished_at: datetime
    id: str
    name: str
    slug: str
    tenant_created_at: datetime
    tenant_id: str


class CertificatePage(Wire, frozen=True, kw_only=True):
    items: list[CertificateOut]
    next_cursor: str | None


class ChainReportOut(Wire, frozen=True, kw_only=True):
    """The result of recomputing the whole chain."""

    first_invalid_seq: int | None
    head_hash: str | None
    head_seq: int
    records: int
    unsequenced: int
    valid: bool


class ClientCreate(Wire, frozen=True, kw_only=True):
    """A program that will call the API."""

    name: str
    role: str


class ClientOut(Wire, frozen=True, kw_only=True):
    """A client without its secret."""

    client_id: str
    created_at: datetime
    disabled: bool
    id: str
    name: str
    role: str


class ClientPage(Wire, frozen=True, kw_only=True):
    items: list[ClientOut]
    next_cursor: str | None


class ClientSecretOut(Wire, frozen=True, kw_only=True):
    """A client with its secret, which is shown this once."""

    client_id: str
    created_at: datetime
    disabled: bool
    id: str
    name: str
    role: str
    client_secret: str | UnsetType = ""
    secret_withheld: str | None | UnsetType = UNSET


class ContentOut(Wire, frozen=True, kw_only=True):
    """What the author wrote."""

    attachments: list[AttachmentOut]
    headers: dict[str, str]
    html: str | None
    text: str | None


class DeliveryOut(Wire, frozen=True, kw_only=True):
    """What became of the messages made in the window, as far as they are settled."""

    accepted: int
    accepted_share: float | None
    bounced: int
    partial: int
    settled: int
    suppressed: int


class EmailCreate(Wire, frozen=True, kw_only=True):
    """
    A message to send, from the tenant's own address.

    Give `subject` with `text`, `html` or both; or `template` with `variables`.
    """

    attachments: list[AttachmentIn] | UnsetType = UNSET
    bcc: list[str] | UnsetType = UNSET
    business_key: str | None | UnsetType = UNSET
    calendar: CalendarIn | None | UnsetType = UNSET
    cc: list[str] | UnsetType = UNSET
    from_: str | None | UnsetType = field(name="from", default=UNSET)
    headers: dict[str, str] | UnsetType = UNSET
    html: str | None | UnsetType = UNSET
    message_id: str | None | UnsetType = UNSET
    on_key_conflict: str | UnsetType = "refuse"
    reply_to: str | list[str] | None | UnsetType = UNSET
    send_at: datetime | None | UnsetType = UNSET
    subject: str | None | UnsetType = UNSET
    template: str | None | UnsetType = UNSET
    text: str | None | UnsetType = UNSET
    to: list[str] | UnsetType = UNSET
    variables: dict[str, Any] | UnsetType = UNSET


class EmailDetail(Wire, frozen=True, kw_only=True):
    """A message with its recipients and its way."""

    accepted_at: datetime | None
    attempts: int
    bcc: list[str]
    business_key: str | None
    cc: list[str]
    created_at: datetime
    created_by: str
    from_: str = field(name="from")
    id: str
    job_id: str
    message_id: str
    recipients: list[RecipientOut]
    send_at: datetime | None
    size_bytes: int
    state: str
    subject: str
    timeline: list[EventOut]
    to: list[str]
    updated_at: datetime


class EmailOut(Wire, frozen=True, kw_only=True):
    """A message and how far it has come."""

    accepted_at: datetime | None
    attempts: int
    bcc: list[str]
    business_key: str | None
    cc: list[str]
    created_at: datetime
    created_by: str
    from_: str = field(name="from")
    id: str
    job_id: str
    message_id: str
    send_at: datetime | None
    size_bytes: int
    state: str
    subject: str
    to: list[str]
    updated_at: datetime


class EmailPage(Wire, frozen=True, kw_only=True):
    items: list[EmailOut]
    next_cursor: str | None


class EmailSettingsOut(Wire, frozen=True, kw_only=True):
    """How the tenant sends; the ETag names this version."""

    from_address: str
    from_name: str
    keep_content_days: int | None
    keep_days: int | None
    kept: KeptOut
    relay: RelayOut
    retry: RetryOut | None
    senders: list[str]
    smtp: SmtpOut | None
    suppress_hard_bounces: bool
    warning: str | None | UnsetType = UNSET


class EmailSettingsPut(Wire, frozen=True, kw_only=True):
    """How the tenant sends."""

    from_address: str
    from_name: str | UnsetType = ""
    keep_content_days: int | None | UnsetType = UNSET
    keep_days: int | None | UnsetType = UNSET
    retry: RetryIn | None | UnsetType = UNSET
    senders: list[str] | UnsetType = UNSET
    smtp: SmtpIn | None | UnsetType = UNSET
    suppress_hard_bounces: bool | UnsetType = False


class Error(Wire, frozen=True, kw_only=True):
    detail: str | UnsetType = UNSET
    pointer: str | UnsetType = UNSET


class EventOut(Wire, frozen=True, kw_only=True):
    """One step on a message's way."""

    at: datetime
    attempt: int
    detail: str
    event: str


class FailureOut(Wire, frozen=True, kw_only=True):
    """Something a person should look at."""

    at: datetime
    detail: str
    id: str
    kind: str
    title: str


class HealthOut(Wire, frozen=True, kw_only=True):
    """One dependency."""

    detail: str
    milliseconds: float
    name: str
    ok: bool
    required: bool


class ImportedOut(Wire, frozen=True, kw_only=True):
    """What became of an imported file."""

    added: int
    known: int


class InactiveToken(Wire, frozen=True, kw_only=True):
    """All that is said of a token that does not hold, or is foreign."""

    active: bool


class Introspection(Wire, frozen=True, kw_only=True):
    """An active token, as RFC 7662 tells it; times are epoch seconds."""

    active: bool
    aud: str
    iss: str
    scope: str
    sub: str
    tenant: str
    token_type: str
    client_id: str | UnsetType = ""
    exp: int | UnsetType = 0
    iat: int | UnsetType = 0
    jti: str | UnsetType = ""


class JobOut(Wire, frozen=True, kw_only=True):
    """A job: one piece of background work and what became of it."""

    attempt: int
    cancel_requested: bool
    created_at: datetime
    due_at: datetime
    error: str | None
    finished_at: datetime | None
    id: str
    kind: str
    max_attempts: int
    priority: int
    result: Any
    started_at: datetime | None
    state: str
    subject: str | None
    worker: str | None


class JobPage(Wire, frozen=True, kw_only=True):
    items: list[JobOut]
    next_cursor: str | None


class JobsRetriedOut(Wire, frozen=True, kw_only=True):
    """What became of a part; `next_cursor` asks for the part after it, and is null on the last."""

    next_cursor: str | None
    refused: int
    retried: int


class JobsRetry(Wire, frozen=True, kw_only=True):
    """Which jobs to start again: those that a list has with the same filters, newest first."""

    created_after: datetime | None | UnsetType = UNSET
    created_before: datetime | None | UnsetType = UNSET
    cursor: str | None | UnsetType = UNSET
    kind: str | None | UnsetType = UNSET
    limit: int | UnsetType = 100
    state: str | UnsetType = "dead"


class KeptOut(Wire, frozen=True, kw_only=True):
    """For how many days mail is kept, whoever says so."""

    content_days: int
    days: int
    most_days: int
    usual_content_days: int
    usual_days: int


class LiveOut(Wire, frozen=True, kw_only=True):
    """The process runs its event loop."""

    live: bool | UnsetType = True


class MeOut(Wire, frozen=True, kw_only=True):
    """Who the caller is and what they may do here."""

    kind: str
    name: str
    permissions: list[str]
    platform_admin: bool
    role: str
    subject: str
    tenant: TenantRef
    tenants: list[TenantRoleOut]


class MemberCreate(Wire, frozen=True, kw_only=True):
    """A person to add: somebody known by e-mail, or, with a password, a new log-in."""

    email: str
    name: str
    role: str
    password: str | None | UnsetType = UNSET


class MemberOut(Wire, frozen=True, kw_only=True):
    """A person in this tenant; ``id`` is the user's."""

    created_at: datetime
    email: str
    id: str
    name: str
    role: str


class MemberPage(Wire, frozen=True, kw_only=True):
    items: list[MemberOut]
    next_cursor: str | None


class MemberPatch(Wire, frozen=True, kw_only=True):
    """The member's new role."""

    role: str


class OAuthError(Wire, frozen=True, kw_only=True):
    error: str
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    error_description: str | UnsetType = UNSET


class OverviewOut(Wire, frozen=True, kw_only=True):
    """Series over the window; counts of what was made in it, and of all that waits, however old."""

    delivery: DeliveryOut
    emails: dict[str, int]
    failures: list[FailureOut]
    jobs: dict[str, int]
    requests: RequestsOut
    series: list[PointOut]
    window_seconds: int
    workers: WorkersOut
    step_seconds: int | UnsetType = 10


class PlanOut(Wire, frozen=True, kw_only=True):
    """A plan; a quota that is not among its own has no limit."""

    name: str
    quotas: dict[str, int]
    updated_at: datetime


class PlanPage(Wire, frozen=True, kw_only=True):
    items: list[PlanOut]
    next_cursor: str | None


class PlanPut(Wire, frozen=True, kw_only=True):
    """What a plan allows; a quota that is left out has no limit."""

    quotas: dict[str, int]


class PointOut(Wire, frozen=True, kw_only=True):
    """One step of the series."""

    at: datetime
    error_rate: float | None
    p95_ms: float | None
    requests_per_second: float


class Problem(Wire, frozen=True, kw_only=True):
    """RFC 9457 problem details"""

    code: str
    instance: str
    request_id: str
    status: int
    title: str
    type: str
    detail: str | UnsetType = UNSET
    errors: list[Error] | UnsetType = UNSET


class QuotaOut(Wire, frozen=True, kw_only=True):
    """One quota of a tenant."""

    limit: int | None
    quota: str
    resets_at: datetime | None
    used: int | None


class QuotaPage(Wire, frozen=True, kw_only=True):
    items: list[QuotaOut]
    next_cursor: str | None


class QuotasOut(Wire, frozen=True, kw_only=True):
    """What a tenant may by its plan and what was overridden of it, and what it has used."""

    items: list[QuotaOut]
    overrides: dict[str, int | None]
    plan: str


class QuotasPut(Wire, frozen=True, kw_only=True):
    """Another plan, other overrides of it, or both."""

    overrides: dict[str, int | None] | None | UnsetType = UNSET
    plan: str | None | UnsetType = UNSET


class ReadyOut(Wire, frozen=True, kw_only=True):
    """Ready when every required dependency is; degraded when another one is not."""

    checks: list[HealthOut]
    ready: bool
    status: str


class RecipientOut(Wire, frozen=True, kw_only=True):
    """One address and what the mail server said about it."""

    address: str
    kind: str
    response: str | None
    response_code: int | None
    state: str
    updated_at: datetime


class RelayLimitsOut(Wire, frozen=True, kw_only=True):
    """What the mail server is asked for at most; null is no limit."""

    connections: int
    messages_per_session: int | None
    rate_per_second: float | None
    recipients_per_transaction: int | None


class RelayOut(Wire, frozen=True, kw_only=True):
    """The mail server that the tenant's mail goes to, as its answers have shown it."""

    accepted_at: datetime | None
    limits: RelayLimitsOut
    name: str
    pauses: list[RelayPauseOut]
    provider: str | None
    state: str
    usual: RelayLimitsOut


class RelayPauseOut(Wire, frozen=True, kw_only=True):
    """Why nothing is handed to the mail server just now."""

    code: int | None
    kind: str
    reason: str
    sender: str | None
    since: datetime
    until: datetime


class RequestsOut(Wire, frozen=True, kw_only=True):
    """Figures of API requests over the whole window; what the console reads is not among them."""

    error_rate: float | None
    p95_ms: float | None
    per_second: float


class RetryIn(Wire, frozen=True, kw_only=True):
    """When a deferred message is tried again, and for how long."""

    waits_seconds: list[float]
    delay_notice_after_seconds: float | UnsetType = 14400
    give_up_after_seconds: float | UnsetType = 432000


class RetryOut(Wire, frozen=True, kw_only=True):
    """When a deferred message is tried again, and for how long."""

    delay_notice_after_seconds: float
    give_up_after_seconds: float
    waits_seconds: list[float]


class RoleOut(Wire, frozen=True, kw_only=True):
    """A built-in role and what it permits."""

    name: str
    permissions: list[str]


class RolePage(Wire, frozen=True, kw_only=True):
    items: list[RoleOut]
    next_cursor: str | None


class SigningKeyRotated(Wire, frozen=True, kw_only=True):
    """The new signing key."""

    kid: str
    old_keys_until: datetime


class SmtpIn(Wire, frozen=True, kw_only=True):
    """The tenant's own mail server; a password belongs to a user name."""

    host: str
    ca_certificate: str | None | UnsetType = UNSET
    connections: int | None | UnsetType = UNSET
    ehlo_name: str | None | UnsetType = UNSET
    login: str | UnsetType = "password"
    messages_per_session: int | None | UnsetType = UNSET
    password: str | None | UnsetType = UNSET
    port: int | UnsetType = 587
    rate_per_second: float | None | UnsetType = UNSET
    recipients_per_transaction: int | None | UnsetType = UNSET
    tls: str | UnsetType = "starttls"
    username: str | None | UnsetType = UNSET


class SmtpOut(Wire, frozen=True, kw_only=True):
    """The tenant's own mail server, without its password."""

    ca_certificate: str | None
    connections: int | None
    ehlo_name: str | None
    host: str
    login: str
    messages_per_session: int | None
    port: int
    rate_per_second: float | None
    recipients_per_transaction: int | None
    tls: str
    username: str | None


class SubmittedOut(Wire, frozen=True, kw_only=True):
    """A message as its sender sees it."""

    accepted_at: datetime | None
    attempts: int
    bcc: list[str]
    business_key: str | None
    cc: list[str]
    created_at: datetime
    created_by: str
    deduplicated: bool
    from_: str = field(name="from")
    id: str
    job_id: str
    message_id: str
    send_at: datetime | None
    size_bytes: int
    state: str
    subject: str
    to: list[str]
    updated_at: datetime


class SuppressionCreate(Wire, frozen=True, kw_only=True):
    """An address that is not to be mailed."""

    address: str
    comment: str | UnsetType = ""
    expires_at: datetime | None | UnsetType = UNSET


class SuppressionOut(Wire, frozen=True, kw_only=True):
    """An address that is not mailed."""

    address: str
    comment: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    id: str
    reason: str


class SuppressionPage(Wire, frozen=True, kw_only=True):
    items: list[SuppressionOut]
    next_cursor: str | None


class TemplateOut(Wire, frozen=True, kw_only=True):
    """A template; the ETag names this content."""

    html: str | None
    name: str
    subject: str
    text: str | None
    updated_at: datetime


class TemplatePage(Wire, frozen=True, kw_only=True):
    items: list[TemplateOut]
    next_cursor: str | None


class TemplatePut(Wire, frozen=True, kw_only=True):
    """A template's text; Jinja2 in a sandbox without calls."""

    subject: str
    html: str | None | UnsetType = UNSET
    text: str | None | UnsetType = UNSET


class TenantCreate(Wire, frozen=True, kw_only=True):
    """A new tenant, and who owns it first: a person who logs in here already."""

    name: str
    slug: str
    owner_email: str | None | UnsetType = UNSET


class TenantOut(Wire, frozen=True, kw_only=True):
    """A tenant."""

    created_at: datetime
    id: str
    name: str
    plan: str
    purge_at: datetime | None
    reason: str | None
    slug: str
    state: str
    state_since: datetime | None


class TenantPage(Wire, frozen=True, kw_only=True):
    items: list[TenantOut]
    next_cursor: str | None


class TenantPatch(Wire, frozen=True, kw_only=True):
    """Another name, another slug; what is left out stays."""

    name: str | None | UnsetType = UNSET
    slug: str | None | UnsetType = UNSET


class TenantRef(Wire, frozen=True, kw_only=True):
    """The tenant the credential is bound to."""

    id: str
    name: str
    slug: str


class TenantRoleOut(Wire, frozen=True, kw_only=True):
    """A tenant the caller may act in, and as what."""

    id: str
    name: str
    role: str
    slug: str
    state: str


class TenantSuspend(Wire, frozen=True, kw_only=True):
    """Why a tenant is suspended: its own people and programs are told so."""

    reason: str


class TokenResponse(Wire, frozen=True, kw_only=True):
    access_token: str
    expires_in: int
    token_type: str
    id_token: str | UnsetType = UNSET
    issued_token_type: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    tenant: str | UnsetType = UNSET


class UsageDayOut(Wire, frozen=True, kw_only=True):
    """What a tenant did on one day, in UTC, and what it had when that was looked up last."""

    day: str
    emails_accepted: int
    emails_bounced: int
    jobs: int
    members: int
    requests: int
    storage_bytes: int


class UsageOut(Wire, frozen=True, kw_only=True):
    """Days with any figures, in order, and what there is now."""

    days: list[UsageDayOut]
    now: dict[str, int]


class UserInfo(Wire, frozen=True, kw_only=True):
    sub: str
    email: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class WorkersOut(Wire, frozen=True, kw_only=True):
    """The platform's workers, without which no tenant's mail goes out."""

    alive: int
    seen_at: datetime | None
