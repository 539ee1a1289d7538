# Written by scripts/generate-client from tests/contract/openapi-v1.json.

"""What goes over the wire, as the API's document tells it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from msgspec import UNSET, UnsetType, field

from dashboard.client.wire import Wire


class AcceptanceOut(Wire, frozen=True, kw_only=True):
    """How long the mail server took to take messages: from submission, or when they were due."""

    messages: int
    p50_seconds: float | None
    p95_seconds: float | None


class AccessAnswer(Wire, frozen=True, kw_only=True):
    """Whether they may, at this moment."""

    allowed: bool
    permission: str
    subject: str


class AccessCheck(Wire, frozen=True, kw_only=True):
    """May somebody do this?"""

    permission: str
    subject: str | None | UnsetType = UNSET


class AccessPreview(Wire, frozen=True, kw_only=True):
    """A role, and what it would permit."""

    permissions: list[str]
    role: str


class AccessPreviewOut(Wire, frozen=True, kw_only=True):
    """What would change; nothing has changed."""

    added: list[str]
    exists: bool
    removed: list[str]
    role: str
    touched: list[TouchedOut]


class AlertAct(Wire, frozen=True, kw_only=True):
    """What is said to it."""

    text: str | UnsetType = ""


class AlertAssign(Wire, frozen=True, kw_only=True):
    """Who sees to it; null: nobody any more."""

    assignee: str | None


class AlertCatalogueOut(Wire, frozen=True, kw_only=True):
    """All rules that ship."""

    items: list[ShippedRuleOut]


class AlertChannelMadeOut(Wire, frozen=True, kw_only=True):
    """A channel that was just made, and of a webhook the secret of its signatures."""

    created_at: datetime
    created_by: str
    fallback_id: str | None
    host: str
    id: str
    kind: str
    name: str
    per_minute: int
    schedule_id: str | None
    send_resolved: bool
    updated_at: datetime
    updated_by: str
    version: str
    secret: str | None | UnsetType = UNSET
    secret_withheld: str | None | UnsetType = UNSET


class AlertChannelOut(Wire, frozen=True, kw_only=True):
    """A channel; of an address of the web the host alone is told."""

    created_at: datetime
    created_by: str
    fallback_id: str | None
    host: str
    id: str
    kind: str
    name: str
    per_minute: int
    schedule_id: str | None
    send_resolved: bool
    updated_at: datetime
    updated_by: str
    version: str


class AlertChannelPage(Wire, frozen=True, kw_only=True):
    items: list[AlertChannelOut]
    next_cursor: str | None


class AlertChannelPut(Wire, frozen=True, kw_only=True):
    """A way to somebody."""

    kind: str
    name: str
    ca_certificate: str | None | UnsetType = UNSET
    fallback_id: str | None | UnsetType = UNSET
    per_minute: int | UnsetType = 30
    schedule_id: str | None | UnsetType = UNSET
    send_resolved: bool | UnsetType = True
    to: list[str] | UnsetType = UNSET
    token: str | None | UnsetType = UNSET
    url: str | None | UnsetType = UNSET


class AlertCommentCreate(Wire, frozen=True, kw_only=True):
    """What is written down."""

    text: str


class AlertDayOut(Wire, frozen=True, kw_only=True):
    """How many fired on a day, by UTC."""

    day: str
    fired: int


class AlertDetailOut(Wire, frozen=True, kw_only=True):
    """The same, and what happened to it, in order."""

    acknowledged_at: datetime | None
    acknowledged_by: str | None
    assignee: str | None
    ended_at: datetime | None
    ended_by: str | None
    expires_at: datetime | None
    fingerprint: str
    fired_at: datetime | None
    id: str
    incident_id: str | None
    labels: dict[str, str]
    name: str
    notes: list[AlertNoteOut]
    rule_id: str | None
    runbook_url: str
    severity: str
    silenced_by: list[str]
    since: datetime
    snoozed_until: datetime | None
    source: str
    state: str
    summary: str
    value: float | None


class AlertHistoryOut(Wire, frozen=True, kw_only=True):
    """What alerts were like in some days."""

    acknowledged: AlertSpansOut
    by_severity: dict[str, int]
    complete: bool
    days: list[AlertDayOut]
    fired: int
    noise: list[AlertNoiseOut]
    resolved: AlertSpansOut
    silenced: int
    since: datetime
    unseen: int


class AlertIncidentOut(Wire, frozen=True, kw_only=True):
    """An incident."""

    alerts: int
    cause: str
    created_by: str
    ended_at: datetime | None
    ended_by: str | None
    firing: int
    follow_up: str
    gathered: bool
    id: str
    lead: str | None
    severity: str
    started_at: datetime
    state: str
    summary: str
    title: str
    version: str


class AlertIncidentPage(Wire, frozen=True, kw_only=True):
    items: list[AlertIncidentOut]
    next_cursor: str | None


class AlertInhibitionModel(Wire, frozen=True, kw_only=True):
    """While an alert fires that `source` is about, those that `target` is about are not told."""

    source: str
    target: str
    equal: list[str] | UnsetType = UNSET


class AlertNoiseOut(Wire, frozen=True, kw_only=True):
    """What an alert of one name came to."""

    fired: int
    flapping: bool
    last_at: datetime
    lasts: AlertSpansOut
    name: str
    rule_id: str | None
    silenced: int
    unseen: int


class AlertNoteOut(Wire, frozen=True, kw_only=True):
    """What happened to an alert."""

    actor: str
    at: datetime
    id: str
    kind: str
    text: str
    value: float | None


class AlertNotificationOut(Wire, frozen=True, kw_only=True):
    """That somebody is told of an alert."""

    channel: str | None
    channel_id: str
    due_at: datetime | None
    error: str | None
    held_by: str | None
    id: str
    kind: str
    sent_at: datetime | None
    state: str
    step: int


class AlertNotificationsOut(Wire, frozen=True, kw_only=True):
    """Who is told, and who was."""

    items: list[AlertNotificationOut]


class AlertOut(Wire, frozen=True, kw_only=True):
    """One time that something was wrong."""

    acknowledged_at: datetime | None
    acknowledged_by: str | None
    assignee: str | None
    ended_at: datetime | None
    ended_by: str | None
    expires_at: datetime | None
    fingerprint: str
    fired_at: datetime | None
    id: str
    labels: dict[str, str]
    name: str
    rule_id: str | None
    runbook_url: str
    severity: str
    since: datetime
    snoozed_until: datetime | None
    source: str
    state: str
    summary: str
    value: float | None


class AlertPage(Wire, frozen=True, kw_only=True):
    items: list[AlertOut]
    next_cursor: str | None


class AlertPolicyOut(Wire, frozen=True, kw_only=True):
    """A policy, as it is kept."""

    created_at: datetime
    created_by: str
    id: str
    name: str
    repeat_seconds: int
    repeats: int
    steps: list[AlertPolicyStepOut]
    updated_at: datetime
    updated_by: str
    version: str


class AlertPolicyPage(Wire, frozen=True, kw_only=True):
    items: list[AlertPolicyOut]
    next_cursor: str | None


class AlertPolicyPut(Wire, frozen=True, kw_only=True):
    """Who is told first, and who next, until somebody sees to it."""

    name: str
    steps: list[AlertPolicyStep]
    repeat_seconds: int | UnsetType = 900
    repeats: int | UnsetType = 0


class AlertPolicyStep(Wire, frozen=True, kw_only=True):
    """Some channels at a time."""

    channels: list[str]
    after_seconds: int | UnsetType = 0


class AlertPolicyStepOut(Wire, frozen=True, kw_only=True):
    """Some channels at a time."""

    after_seconds: int
    channels: list[str]


class AlertRaise(Wire, frozen=True, kw_only=True):
    """What is wrong. The same name and labels are the same alert until it is over."""

    name: str
    severity: str
    labels: dict[str, Any] | UnsetType = UNSET
    lasts_seconds: int | None | UnsetType = UNSET
    runbook_url: str | UnsetType = ""
    summary: str | UnsetType = ""
    value: float | None | UnsetType = UNSET


class AlertRouteModel(Wire, frozen=True, kw_only=True):
    """A place in the tree. What it does not say, the one above it says."""

    children: list[AlertRouteModel] | UnsetType = UNSET
    goes_on: bool | UnsetType = False
    group_by: list[str] | None | UnsetType = UNSET
    group_interval_seconds: int | None | UnsetType = UNSET
    group_wait_seconds: int | None | UnsetType = UNSET
    matchers: str | UnsetType = ""
    policy: str | None | UnsetType = UNSET


class AlertRoutingOut(Wire, frozen=True, kw_only=True):
    """Where alerts go; version 0: nothing was said yet, and nobody is told of anything."""

    incidents: list[IncidentGatheringModel]
    inhibitions: list[AlertInhibitionModel]
    tree: dict[str, Any]
    updated_at: datetime | None
    updated_by: str | None
    version: str


class AlertRoutingPut(Wire, frozen=True, kw_only=True):
    """Where alerts go."""

    incidents: list[IncidentGatheringModel] | UnsetType = UNSET
    inhibitions: list[AlertInhibitionModel] | UnsetType = UNSET
    tree: AlertRouteModel | UnsetType = UNSET


class AlertRoutingTry(Wire, frozen=True, kw_only=True):
    """An alert that might be."""

    labels: dict[str, Any]


class AlertRuleOut(Wire, frozen=True, kw_only=True):
    """A rule and whether it can be looked at."""

    clear_seconds: int
    condition: dict[str, Any]
    created_at: datetime
    created_by: str
    enabled: bool
    every_seconds: int
    hold_seconds: int
    id: str
    labels: dict[str, str]
    looked_at: datetime | None
    name: str
    no_data: str
    problem: str | None
    problem_since: datetime | None
    runbook_url: str
    severity: str
    summary: str
    updated_at: datetime
    updated_by: str
    version: str


class AlertRulePage(Wire, frozen=True, kw_only=True):
    items: list[AlertRuleOut]
    next_cursor: str | None


class AlertRulePut(Wire, frozen=True, kw_only=True):
    """What somebody wants to be told of."""

    condition: dict[str, Any]
    name: str
    severity: str
    clear_seconds: int | UnsetType = 0
    enabled: bool | UnsetType = True
    every_seconds: int | UnsetType = 60
    hold_seconds: int | UnsetType = 0
    labels: dict[str, Any] | UnsetType = UNSET
    no_data: str | UnsetType = "keep"
    runbook_url: str | UnsetType = ""
    summary: str | UnsetType = "{text}"


class AlertRuleTriedOut(Wire, frozen=True, kw_only=True):
    """What a rule would have done. Each look is at a window of its own, one after the other."""

    complete: bool
    lines: list[TriedLineOut]
    start_at: datetime
    step_seconds: int


class AlertRuleTry(Wire, frozen=True, kw_only=True):
    """The same, and how many days are looked back."""

    condition: dict[str, Any]
    name: str
    severity: str
    clear_seconds: int | UnsetType = 0
    days: int | UnsetType = 1
    enabled: bool | UnsetType = True
    every_seconds: int | UnsetType = 60
    hold_seconds: int | UnsetType = 0
    labels: dict[str, Any] | UnsetType = UNSET
    no_data: str | UnsetType = "keep"
    runbook_url: str | UnsetType = ""
    summary: str | UnsetType = "{text}"


class AlertRulesImportedOut(Wire, frozen=True, kw_only=True):
    """What became of a rule file, or would."""

    changed: int
    created: int
    dry_run: bool
    refused: int
    rules: list[ImportedAlertRuleOut]
    unchanged: int


class AlertSnooze(Wire, frozen=True, kw_only=True):
    """For how long nobody is told of it; 0: no longer."""

    seconds: int
    text: str | UnsetType = ""


class AlertSpansOut(Wire, frozen=True, kw_only=True):
    """How long something took, in seconds; null: it never happened."""

    count: int
    median: float | None
    p90: float | None


class AlertWayOut(Wire, frozen=True, kw_only=True):
    """Where it would go."""

    group: dict[str, str]
    policy_id: str | None
    routes: list[str]


class AlertWaysOut(Wire, frozen=True, kw_only=True):
    """All of its ways."""

    items: list[AlertWayOut]


class AlertmanagerAlertIn(Wire, frozen=True, kw_only=True):
    """An alert as Prometheus sends it."""

    labels: dict[str, Any]
    annotations: dict[str, Any] | UnsetType = UNSET
    endsAt: datetime | None | UnsetType = UNSET
    generatorURL: str | UnsetType = ""
    startsAt: datetime | None | UnsetType = UNSET


class AlertmanagerAlertOut(Wire, frozen=True, kw_only=True):
    """An alert that fires."""

    annotations: dict[str, str]
    endsAt: datetime
    fingerprint: str
    generatorURL: str
    labels: dict[str, str]
    receivers: list[AlertmanagerReceiver]
    startsAt: datetime
    status: AlertmanagerStatusOut
    updatedAt: datetime


class AlertmanagerGroupOut(Wire, frozen=True, kw_only=True):
    """Alerts of one message."""

    alerts: list[AlertmanagerAlertOut]
    labels: dict[str, str]
    receiver: AlertmanagerReceiver


class AlertmanagerInfoOut(Wire, frozen=True, kw_only=True):
    """What there is, in the form of Alertmanager's."""

    cluster: dict[str, Any]
    config: dict[str, str]
    uptime: datetime
    versionInfo: dict[str, str]


class AlertmanagerMatcher(Wire, frozen=True, kw_only=True):
    """What one label has to be."""

    isRegex: bool
    name: str
    value: str
    isEqual: bool | UnsetType = True


class AlertmanagerReceiver(Wire, frozen=True, kw_only=True):
    """Whom an alert goes to: an escalation policy."""

    name: str


class AlertmanagerSilenceId(Wire, frozen=True, kw_only=True):
    """Which silence."""

    silenceID: str


class AlertmanagerSilenceIn(Wire, frozen=True, kw_only=True):
    """What nobody is to be told of, when, and why; with an id it takes that one's place."""

    comment: str
    createdBy: str
    endsAt: datetime
    matchers: list[AlertmanagerMatcher]
    startsAt: datetime
    id: str | None | UnsetType = UNSET


class AlertmanagerSilenceOut(Wire, frozen=True, kw_only=True):
    """A silence, or maintenance."""

    comment: str
    createdBy: str
    endsAt: datetime
    id: str
    matchers: list[dict[str, Any]]
    startsAt: datetime
    status: AlertmanagerSilenceState
    updatedAt: datetime


class AlertmanagerSilenceState(Wire, frozen=True, kw_only=True):
    """Whether it counts."""

    state: str


class AlertmanagerStatusOut(Wire, frozen=True, kw_only=True):
    """Whether people are told of an alert, and what keeps them from it."""

    inhibitedBy: list[str]
    mutedBy: list[str]
    silencedBy: list[str]
    state: str


class AlertsAcknowledge(Wire, frozen=True, kw_only=True):
    """Which of the alerts that fire somebody sees to: all that these leave."""

    cursor: str | None | UnsetType = UNSET
    matchers: str | UnsetType = ""
    rule_id: str | None | UnsetType = UNSET
    severity: str | None | UnsetType = UNSET


class AlertsAcknowledgedOut(Wire, frozen=True, kw_only=True):
    """What was done to a part of them."""

    acknowledged: int
    next_cursor: str | None


class AlertsFiringOut(Wire, frozen=True, kw_only=True):
    """How many alerts fire now."""

    critical: int
    info: int
    unseen: int
    warning: int


class AnomalyConditionModel(Wire, frozen=True, kw_only=True):
    """The last whole hour of a metric is unusual; with `by` for each set of those labels."""

    aggregate: str
    kind: str
    metric: str
    by: list[str] | UnsetType = UNSET
    direction: str | UnsetType = "any"
    labels: dict[str, Any] | UnsetType = UNSET
    quantile: float | UnsetType = 0.95


class ApiKeyCreate(Wire, frozen=True, kw_only=True):
    """A long-lived credential for tools that cannot speak OAuth."""

    name: str
    role: str
    expires_at: datetime | None | UnsetType = UNSET
    networks: list[str] | UnsetType = field(default_factory=list)
    scopes: list[str] | None | UnsetType = UNSET


class ApiKeyOut(Wire, frozen=True, kw_only=True):
    """An API key without the key."""

    created_at: datetime
    created_by: str
    expires_at: datetime | None
    id: str
    last_used_at: datetime | None
    name: str
    networks: list[str]
    prefix: str
    role: str
    scopes: list[str] | None


class ApiKeyPage(Wire, frozen=True, kw_only=True):
    items: list[ApiKeyOut]
    next_cursor: str | None


class ApiKeyPut(Wire, frozen=True, kw_only=True):
    """All that can be changed of an API key; what is left out is bounded no more."""

    name: str
    role: str
    expires_at: datetime | None | UnsetType = UNSET
    networks: list[str] | UnsetType = field(default_factory=list)
    scopes: list[str] | None | UnsetType = UNSET


class ApiKeySecretOut(Wire, frozen=True, kw_only=True):
    """An API key with the key, which is shown this once."""

    created_at: datetime
    created_by: str
    expires_at: datetime | None
    id: str
    last_used_at: datetime | None
    name: str
    networks: list[str]
    prefix: str
    role: str
    scopes: list[str] | None
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


class AuditCheckpointOut(Wire, frozen=True, kw_only=True):
    """A signed state of the tree over the trail."""

    created_at: datetime
    id: str
    note: str
    published_at: datetime | None
    root: str
    size: int


class AuditCheckpointPage(Wire, frozen=True, kw_only=True):
    items: list[AuditCheckpointOut]
    next_cursor: str | None


class AuditCheckpointSignedOut(Wire, frozen=True, kw_only=True):
    """A checkpoint that was just made."""

    created_at: datetime
    id: str
    last_record_id: str
    note: str
    published_at: datetime | None
    root: str
    size: int


class AuditConditionModel(Wire, frozen=True, kw_only=True):
    """How many acts the trail has; with `by` of each actor, or on each target, that has any."""

    actions: list[str]
    compare: str
    kind: str
    threshold: int
    actor: str | None | UnsetType = UNSET
    by: str | None | UnsetType = UNSET
    target: str | None | UnsetType = UNSET
    where: dict[str, Any] | UnsetType = UNSET
    window_seconds: int | UnsetType = 300


class AuditKeyOut(Wire, frozen=True, kw_only=True):
    """The Ed25519 public key of the trail's checkpoints."""

    key_id: str
    name: str
    vkey: str


class AuditOut(Wire, frozen=True, kw_only=True):
    """One act. ``seq`` and ``hash`` are null for the moment between commit and sequencing."""

    action: str
    actor: str
    at: datetime
    data: dict[str, Any]
    execution: str | None
    hash: str | None
    id: str
    request_id: str
    seq: int | None
    target: str
    workflow: str | None


class AuditPage(Wire, frozen=True, kw_only=True):
    items: list[AuditOut]
    next_cursor: str | None


class AuditPanel(Wire, frozen=True, kw_only=True):
    """Asks `GET /api/v1/audit/facets`; of the platform's dashboards, the platform's trail."""

    action: str | None | UnsetType = UNSET
    actor: str | None | UnsetType = UNSET
    show: str | UnsetType = "time"


class AuditRetentionOut(Wire, frozen=True, kw_only=True):
    """How long the trail is kept, and what of it is gone."""

    keep_days: int | None
    least_days: int
    removed_at: datetime | None
    removed_seq: int
    statement: str | None
    updated_at: datetime | None
    updated_by: str | None


class AuditRetentionPut(Wire, frozen=True, kw_only=True):
    """How long the trail is to be kept."""

    keep_days: int | None


class AuditVerificationCreate(Wire, frozen=True, kw_only=True):
    """How much of the trail is to be looked at."""

    full: bool | UnsetType = False


class AuditVerificationOut(Wire, frozen=True, kw_only=True):
    """A look at the whole trail, which a worker does."""

    created_at: datetime
    created_by: str
    findings: list[FindingOut]
    finished_at: datetime | None
    from_size: int
    id: str
    size: int
    state: str
    target_size: int


class AuditVerificationPage(Wire, frozen=True, kw_only=True):
    items: list[AuditVerificationOut]
    next_cursor: str | None


class BatchCreate(Wire, frozen=True, kw_only=True):
    """Up to 500 messages that become durable together or not at all."""

    messages: list[EmailCreate]


class BatchOut(Wire, frozen=True, kw_only=True):
    """The messages in the order they were given."""

    items: list[SubmittedOut]


class BudgetOut(Wire, frozen=True, kw_only=True):
    """What may go wrong of what happened, and what did."""

    allowed: float
    left: float | None
    spent: int


class BurnOut(Wire, frozen=True, kw_only=True):
    """A pair of windows; 1 spends the budget exactly by the end of the objective's window."""

    burning: bool
    long_rate: float | None
    long_seconds: int
    severity: str
    short_rate: float | None
    short_seconds: int
    threshold: float


class CalendarIn(Wire, frozen=True, kw_only=True):
    """An invitation that mail programs show with buttons to answer."""

    content: str
    method: str | UnsetType = "REQUEST"


class CalendarTimingModel(Wire, frozen=True, kw_only=True):
    """Times of some days of each so many days, weeks, months or years."""

    since: str
    times: list[str]
    type: str
    days: list[str] | UnsetType = field(default_factory=list)
    every: int | UnsetType = 1
    repeated: str | UnsetType = "first"
    skipped: str | UnsetType = "shift"
    unit: str | UnsetType = "day"
    zone: str | UnsetType = "UTC"


class CauseOut(Wire, frozen=True, kw_only=True):
    """Something that is not as it should be."""

    address: str
    cause: str
    sentence: str
    severity: str


class CertificateOut(Wire, frozen=True, kw_only=True):
    """Who the mail server proved to be, and how the line is encrypted."""

    cipher: str
    issuer: str
    names: list[str]
    not_after: datetime
    not_before: datetime
    protocol: str
    sha256: str
    subject: str


class ChainReportOut(Wire, frozen=True, kw_only=True):
    """The result of recomputing the whole chain."""

    complete: bool
    findings: list[FindingOut]
    first_invalid_seq: int | None
    from_seq: int
    head_hash: str | None
    head_seq: int
    records: int
    removed_seq: int
    unsequenced: int
    valid: bool


class CheckStatusOut(Wire, frozen=True, kw_only=True):
    """One dependency: how it is, and over the window."""

    detail: str | None
    name: str
    ok: bool | None
    required: bool | None
    uptime: float | None


class ClientCreate(Wire, frozen=True, kw_only=True):
    """A program that will call the API."""

    name: str
    role: str
    expires_at: datetime | None | UnsetType = UNSET
    networks: list[str] | UnsetType = field(default_factory=list)
    scopes: list[str] | None | UnsetType = UNSET


class ClientOut(Wire, frozen=True, kw_only=True):
    """A client without its secret."""

    client_id: str
    created_at: datetime
    disabled: bool
    expires_at: datetime | None
    id: str
    last_used_at: datetime | None
    name: str
    networks: list[str]
    role: str
    scopes: list[str] | None


class ClientPage(Wire, frozen=True, kw_only=True):
    items: list[ClientOut]
    next_cursor: str | None


class ClientPut(Wire, frozen=True, kw_only=True):
    """All that can be changed of a client; what is left out is bounded no more."""

    name: str
    role: str
    expires_at: datetime | None | UnsetType = UNSET
    networks: list[str] | UnsetType = field(default_factory=list)
    scopes: list[str] | None | UnsetType = UNSET


class ClientSecretOut(Wire, frozen=True, kw_only=True):
    """A client with its secret, which is shown this once."""

    client_id: str
    created_at: datetime
    disabled: bool
    expires_at: datetime | None
    id: str
    last_used_at: datetime | None
    name: str
    networks: list[str]
    role: str
    scopes: list[str] | None
    client_secret: str | UnsetType = ""
    secret_withheld: str | None | UnsetType = UNSET


class ComparisonOut(Wire, frozen=True, kw_only=True):
    """Two traces beside each other, what differs most first."""

    operations: list[DifferenceOut]
    other: TraceOut
    trace: TraceOut


class ConditionModel(Wire, frozen=True, kw_only=True):
    """Something that has to hold of the result of a task that it waits for."""

    task: str
    test: str
    path: str | UnsetType = ""
    value: Any | UnsetType = UNSET


class ConsistencyProofOut(Wire, frozen=True, kw_only=True):
    """
    That the tree only grew; checked by the algorithm of RFC 9162, 2.1.4.2.

    Saved as it is, `audit_verify.py --proof` checks it, with the tenant's key and nothing else.
    """

    checkpoint: str | None
    hashes: list[str]
    old_checkpoint: str | None
    old_root: str
    old_size: int
    root: str
    size: int


class ContentOut(Wire, frozen=True, kw_only=True):
    """What the author wrote."""

    attachments: list[AttachmentOut]
    headers: dict[str, str]
    html: str | None
    text: str | None


class CronTimingModel(Wire, frozen=True, kw_only=True):
    """Crontab's times by the clocks of a zone."""

    expression: str
    type: str
    repeated: str | UnsetType = "first"
    skipped: str | UnsetType = "shift"
    zone: str | UnsetType = "UTC"


class DashboardCreate(Wire, frozen=True, kw_only=True):
    """The same, and who sees it: `person`, who makes it, or all who may in the tenant."""

    name: str
    panels: list[DashboardPanel]
    description: str | UnsetType = ""
    range_minutes: int | UnsetType = 60
    variables: list[DashboardVariable] | UnsetType = field(default_factory=list)
    visibility: str | UnsetType = "tenant"


class DashboardDetailOut(Wire, frozen=True, kw_only=True):
    """A dashboard with what is on it."""

    created_at: datetime
    created_by: str
    description: str
    id: str
    name: str
    panel_count: int
    panels: list[DashboardPanel]
    range_minutes: int
    updated_at: datetime
    updated_by: str
    variables: list[DashboardVariable]
    version: int
    visibility: str


class DashboardDocument(Wire, frozen=True, kw_only=True):
    """A dashboard as a file: what it was in, and in which form it is told."""

    format: str
    name: str
    panels: list[DashboardPanel]
    schema_version: int
    description: str | UnsetType = ""
    range_minutes: int | UnsetType = 60
    variables: list[DashboardVariable] | UnsetType = field(default_factory=list)


class DashboardImport(Wire, frozen=True, kw_only=True):
    """The same, and who sees it."""

    document: DashboardDocument
    name: str | None | UnsetType = UNSET
    visibility: str | UnsetType = "tenant"


class DashboardOut(Wire, frozen=True, kw_only=True):
    """A dashboard without what is on it; `version` goes into If-Match as the ETag does."""

    created_at: datetime
    created_by: str
    description: str
    id: str
    name: str
    panel_count: int
    updated_at: datetime
    updated_by: str
    version: int
    visibility: str


class DashboardPage(Wire, frozen=True, kw_only=True):
    items: list[DashboardOut]
    next_cursor: str | None


class DashboardPanel(Wire, frozen=True, kw_only=True):
    """
    A panel: its place in a grid of twelve columns, and exactly one question.

    Panels of one `row` stand side by side; a row is as high as its highest panel.
    """

    title: str
    audit: AuditPanel | None | UnsetType = UNSET
    column: int | UnsetType = 0
    height: int | UnsetType = 4
    logs: LogsPanel | None | UnsetType = UNSET
    metric: MetricPanel | None | UnsetType = UNSET
    overview: OverviewPanel | None | UnsetType = UNSET
    prometheus: PrometheusPanel | None | UnsetType = UNSET
    row: int | UnsetType = 0
    slo: SloPanel | None | UnsetType = UNSET
    text: TextPanel | None | UnsetType = UNSET
    traces: TracesPanel | None | UnsetType = UNSET
    usage: UsagePanel | None | UnsetType = UNSET
    width: int | UnsetType = 12


class DashboardPut(Wire, frozen=True, kw_only=True):
    """All that is on a dashboard."""

    name: str
    panels: list[DashboardPanel]
    description: str | UnsetType = ""
    range_minutes: int | UnsetType = 60
    variables: list[DashboardVariable] | UnsetType = field(default_factory=list)


class DashboardTemplateOut(Wire, frozen=True, kw_only=True):
    """A dashboard that ships: to look at, and to copy; `key` is its name for ever."""

    description: str
    key: str
    name: str
    panels: list[DashboardPanel]
    range_minutes: int
    variables: list[DashboardVariable]


class DashboardTemplatesOut(Wire, frozen=True, kw_only=True):
    """All of them, in the order in which they are shown."""

    items: list[DashboardTemplateOut]


class DashboardVariable(Wire, frozen=True, kw_only=True):
    """What may be chosen while one looks; `${name}` in a question stands for it."""

    name: str
    default: str | UnsetType = ""
    values: list[str] | UnsetType = field(default_factory=list)


class DashboardVersionDetailOut(Wire, frozen=True, kw_only=True):
    """What was on it at a version."""

    description: str
    name: str
    panel_count: int
    panels: list[DashboardPanel]
    range_minutes: int
    saved_at: datetime
    saved_by: str
    variables: list[DashboardVariable]
    version: int


class DashboardVersionOut(Wire, frozen=True, kw_only=True):
    """What a dashboard was called at a version, and who saved it."""

    description: str
    name: str
    panel_count: int
    saved_at: datetime
    saved_by: str
    version: int


class DashboardVersionsOut(Wire, frozen=True, kw_only=True):
    """The newest twenty, the current one first."""

    items: list[DashboardVersionOut]


class DataKeyBatchIn(Wire, frozen=True, kw_only=True):
    """Up to a thousand at once."""

    items: list[DataKeyBody]


class DataKeyBatchOut(Wire, frozen=True, kw_only=True):
    """What became of each item, in the order of the request."""

    failed: int
    items: list[DataKeyBatchOutItem]


class DataKeyBatchOutItem(Wire, frozen=True, kw_only=True):
    """A result, or why there is none."""

    error: ItemError | None | UnsetType = UNSET
    result: DataKeyOut | None | UnsetType = UNSET


class DataKeyBody(Wire, frozen=True, kw_only=True):
    """A key for data that the caller encrypts: 32 random bytes."""

    context: str | UnsetType = ""
    wrapped_only: bool | UnsetType = False


class DataKeyListOut(Wire, frozen=True, kw_only=True):
    """All versions that are there, oldest first: of those that are gone there are records."""

    items: list[DataKeyVersionOut]


class DataKeyOut(Wire, frozen=True, kw_only=True):
    """The data key in the clear, unless only the wrapped one was asked for, and wrapped."""

    ciphertext: str
    version: int
    plaintext: str | None | UnsetType = UNSET


class DataKeyVersionOut(Wire, frozen=True, kw_only=True):
    """A version of the key that seals what this tenant keeps."""

    created_at: datetime
    due_at: datetime | None
    id: str
    left: int | None
    seals_from: datetime
    state: str
    version: int


class DeadLetterOut(Wire, frozen=True, kw_only=True):
    """A line that Elasticsearch does not take, and why; `seq` is the line's."""

    at: datetime
    document_id: str
    id: str
    kind: str
    reason: str
    retrying: bool
    seq: int
    status: int
    stream: str


class DeadLetterPage(Wire, frozen=True, kw_only=True):
    items: list[DeadLetterOut]
    next_cursor: str | None


class DeadLettersOut(Wire, frozen=True, kw_only=True):
    """Of how many dead letters it was done; of none named there may be more."""

    count: int


class DeadLettersSelect(Wire, frozen=True, kw_only=True):
    """Which dead letters: these, or none named: the oldest thousand."""

    ids: list[str] | None | UnsetType = UNSET


class DecryptBatchIn(Wire, frozen=True, kw_only=True):
    """Up to a thousand at once."""

    items: list[DecryptBody]


class DecryptBatchOut(Wire, frozen=True, kw_only=True):
    """What became of each item, in the order of the request."""

    failed: int
    items: list[DecryptBatchOutItem]


class DecryptBatchOutItem(Wire, frozen=True, kw_only=True):
    """A result, or why there is none."""

    error: ItemError | None | UnsetType = UNSET
    result: DecryptOut | None | UnsetType = UNSET


class DecryptBody(Wire, frozen=True, kw_only=True):
    """What to open, for where it was encrypted."""

    ciphertext: str
    context: str | UnsetType = ""


class DecryptOut(Wire, frozen=True, kw_only=True):
    """What was encrypted, and with which version."""

    plaintext: str
    version: int


class DeliveryOut(Wire, frozen=True, kw_only=True):
    """What became of the messages made in the window, as far as they are settled."""

    accepted: int
    accepted_share: float | None
    bounced: int
    partial: int
    settled: int
    suppressed: int


class DialogueStepOut(Wire, frozen=True, kw_only=True):
    """One thing that was done with the mail server, and what it said to that."""

    at_ms: float
    code: int | None
    name: str
    ok: bool
    said: str
    sent: str
    took_ms: float


class DifferenceOut(Wire, frozen=True, kw_only=True):
    """An operation in two traces; times are what it took by itself."""

    count: int
    name: str
    other_count: int
    other_self_ms: float
    self_ms: float
    service: str


class DigestConditionModel(Wire, frozen=True, kw_only=True):
    """What alerts of a month were like, told on the first of the next by a zone's clocks."""

    kind: str
    at_hour: int | UnsetType = 8
    zone: str | UnsetType = "UTC"


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
    relay: str | None | UnsetType = UNSET
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
    relay: str | None
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
    relay: str | None
    send_at: datetime | None
    size_bytes: int
    state: str
    subject: str
    to: list[str]
    updated_at: datetime


class EmailPage(Wire, frozen=True, kw_only=True):
    items: list[EmailOut]
    next_cursor: str | None


class EmailRelayOut(Wire, frozen=True, kw_only=True):
    """A mail server that messages may name; the ETag names this version."""

    from_address: str | None
    name: str
    relay: RelayOut
    smtp: SmtpOut
    updated_at: datetime
    warning: str | None | UnsetType = UNSET


class EmailRelayPage(Wire, frozen=True, kw_only=True):
    items: list[EmailRelayOut]
    next_cursor: str | None


class EmailRelayPut(Wire, frozen=True, kw_only=True):
    """A mail server that messages may name."""

    smtp: SmtpIn
    from_address: str | None | UnsetType = UNSET


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


class EmailTestCreate(Wire, frozen=True, kw_only=True):
    """A test message, and the settings to send it by if not those that are saved."""

    to: str
    settings: EmailSettingsPut | None | UnsetType = UNSET


class EmailTestOut(Wire, frozen=True, kw_only=True):
    """What became of a test message, step by step."""

    advice: str
    certificate: CertificateOut | None
    code: int | None
    message_id: str
    result: str
    said: str
    sender: str
    server: str
    step: str
    steps: list[DialogueStepOut]
    summary: str
    to: str
    took_ms: float


class EncryptBatchIn(Wire, frozen=True, kw_only=True):
    """Up to a thousand at once."""

    items: list[EncryptBody]


class EncryptBatchOut(Wire, frozen=True, kw_only=True):
    """What became of each item, in the order of the request."""

    failed: int
    items: list[EncryptBatchOutItem]


class EncryptBatchOutItem(Wire, frozen=True, kw_only=True):
    """A result, or why there is none."""

    error: ItemError | None | UnsetType = UNSET
    result: EncryptOut | None | UnsetType = UNSET


class EncryptBody(Wire, frozen=True, kw_only=True):
    """What to encrypt, and for where."""

    plaintext: str
    context: str | UnsetType = ""


class EncryptOut(Wire, frozen=True, kw_only=True):
    """A ciphertext, and the version of the key that made it."""

    ciphertext: str
    version: int


class ErasureOut(Wire, frozen=True, kw_only=True):
    """That a person is being erased, or was; what is signed then says what went."""

    erased_at: datetime | None
    erased_by: str
    id: str
    key_id: str | None
    looked_at: int
    place: str | None
    rewritten: int
    round: int
    signature: str | None
    started_at: datetime
    state: str
    statement: str | None
    subject: str
    waits_for: str | None
    waits_until: datetime | None


class ErasurePage(Wire, frozen=True, kw_only=True):
    items: list[ErasureOut]
    next_cursor: str | None


class Error(Wire, frozen=True, kw_only=True):
    detail: str | UnsetType = UNSET
    pointer: str | UnsetType = UNSET


class EventConditionModel(Wire, frozen=True, kw_only=True):
    """How many events there were; with `by` for each subject or actor that had any."""

    compare: str
    kind: str
    kinds: list[str]
    threshold: int
    by: str | None | UnsetType = UNSET
    subject: str | None | UnsetType = UNSET
    where: dict[str, Any] | UnsetType = UNSET
    window_seconds: int | UnsetType = 300


class EventOut(Wire, frozen=True, kw_only=True):
    """One step on a message's way."""

    at: datetime
    attempt: int
    detail: str
    event: str


class EvidenceCreate(Wire, frozen=True, kw_only=True):
    """What a drill, a benchmark or a review found."""

    at: datetime
    kind: str
    source: str
    value: float
    note: str | UnsetType = ""


class EvidenceOut(Wire, frozen=True, kw_only=True):
    """The review with all that was decided, and where the audit trail proves it."""

    lines: list[ReviewLineOut]
    records: list[ProofOut]
    review: ReviewOut


class ExportCreate(Wire, frozen=True, kw_only=True):
    """What is to be in the file, and how it is written."""

    format: str
    action: str | None | UnsetType = UNSET
    actor: str | None | UnsetType = UNSET
    created_after: datetime | None | UnsetType = UNSET
    created_before: datetime | None | UnsetType = UNSET
    execution: str | None | UnsetType = UNSET
    request_id: str | None | UnsetType = UNSET
    target: str | None | UnsetType = UNSET
    workflow: str | None | UnsetType = UNSET


class ExportOut(Wire, frozen=True, kw_only=True):
    """A file of records: made by a job, kept for a day."""

    created_at: datetime
    created_by: str
    error: str | None
    expires_at: datetime
    finished_at: datetime | None
    format: str
    id: str
    job_id: str | None
    looked_at: int
    records: int
    size_bytes: int
    state: str
    wanted: WantedOut


class ExportPage(Wire, frozen=True, kw_only=True):
    items: list[ExportOut]
    next_cursor: str | None


class FacetOut(Wire, frozen=True, kw_only=True):
    """How often a value occurs."""

    count: int
    value: str


class FacetsOut(Wire, frozen=True, kw_only=True):
    """Counts over a stretch of time: what is in it, by act, actor and time."""

    actions: list[FacetOut]
    actors: list[FacetOut]
    after: datetime
    before: datetime
    complete: bool
    counted: int
    step_seconds: int
    stretches: list[StretchOut]


class FailureOut(Wire, frozen=True, kw_only=True):
    """Something a person should look at."""

    at: datetime
    detail: str
    id: str
    kind: str
    title: str


class FindingOut(Wire, frozen=True, kw_only=True):
    """One thing that does not hold, and what found it."""

    by: str
    detail: str
    seq: int | None


class ForeachModel(Wire, frozen=True, kw_only=True):
    """The list in a result for each of whose elements there is a job."""

    task: str
    path: str | UnsetType = ""


class ForecastConditionModel(Wire, frozen=True, kw_only=True):
    """A metric is foreseen to come to a threshold; with `by` for each set of those labels."""

    aggregate: str
    compare: str
    kind: str
    metric: str
    threshold: float
    by: list[str] | UnsetType = UNSET
    labels: dict[str, Any] | UnsetType = UNSET
    quantile: float | UnsetType = 0.95
    within_hours: int | UnsetType = 24


class ForeignTakenOut(Wire, frozen=True, kw_only=True):
    """How many alerts were taken, and why others were not."""

    refused: list[str]
    taken: int


class GrafanaAlertIn(Wire, frozen=True, kw_only=True):
    """An alert as Grafana's webhook has it."""

    labels: dict[str, Any]
    status: str
    annotations: dict[str, Any] | UnsetType = UNSET
    endsAt: datetime | None | UnsetType = UNSET
    fingerprint: str | UnsetType = ""
    generatorURL: str | UnsetType = ""
    startsAt: datetime | None | UnsetType = UNSET
    values: dict[str, Any] | None | UnsetType = UNSET


class GrafanaAlertsIn(Wire, frozen=True, kw_only=True):
    """What a contact point of the kind webhook sends."""

    alerts: list[GrafanaAlertIn]
    status: str | UnsetType = ""


class GraphBoxOut(Wire, frozen=True, kw_only=True):
    """Jobs of a graph that stand together, or one."""

    after: list[int]
    by_state: dict[str, int]
    kind: str | None
    name: str
    size: int


class GraphCreate(Wire, frozen=True, kw_only=True):
    """Jobs that wait for each other."""

    name: str
    tasks: list[TaskModel]
    dedup_key: str | None | UnsetType = UNSET


class GraphOut(Wire, frozen=True, kw_only=True):
    """A graph and how far it is."""

    by_state: dict[str, int]
    created_at: datetime
    created_by: str
    finished_at: datetime | None
    id: str
    name: str
    paused: bool
    state: str
    total: int


class GraphOutlineOut(Wire, frozen=True, kw_only=True):
    """Who waits for whom in a graph."""

    boxes: list[GraphBoxOut]


class GraphPage(Wire, frozen=True, kw_only=True):
    items: list[GraphOut]
    next_cursor: str | None


class GraphRetry(Wire, frozen=True, kw_only=True):
    """What of a graph to start again."""

    job_id: str | None | UnsetType = UNSET


class GraphTaskOut(Wire, frozen=True, kw_only=True):
    """A job of a graph."""

    attempt: int
    depends_on: list[str]
    error: str | None
    finished_at: datetime | None
    grown_by: str | None
    id: str
    kind: str
    name: str
    part_of: str | None
    runs_on: str
    started_at: datetime | None
    state: str


class GraphTaskPage(Wire, frozen=True, kw_only=True):
    items: list[GraphTaskOut]
    next_cursor: str | None


class HealthConditionModel(Wire, frozen=True, kw_only=True):
    """A part of the platform does not work; null: the platform is not ready; `*`: each part."""

    kind: str
    component: str | None | UnsetType = UNSET
    needs: list[str] | UnsetType = UNSET


class HealthOut(Wire, frozen=True, kw_only=True):
    """One dependency."""

    detail: str
    milliseconds: float
    name: str
    ok: bool
    required: bool


class HealthPointOut(Wire, frozen=True, kw_only=True):
    """One step of the window, told by the worst it was."""

    at: datetime
    failing: list[str]
    status: str


class HeartbeatConditionModel(Wire, frozen=True, kw_only=True):
    """A signal has not come for too long; before its first it is counted from the rule on."""

    kind: str
    name: str
    within_seconds: int


class HeartbeatCreate(Wire, frozen=True, kw_only=True):
    """Whose it is."""

    name: str


class HmacBatchIn(Wire, frozen=True, kw_only=True):
    """Up to a thousand at once."""

    items: list[MessageBody]


class HmacBatchOut(Wire, frozen=True, kw_only=True):
    """What became of each item, in the order of the request."""

    failed: int
    items: list[HmacBatchOutItem]


class HmacBatchOutItem(Wire, frozen=True, kw_only=True):
    """A result, or why there is none."""

    error: ItemError | None | UnsetType = UNSET
    result: HmacOut | None | UnsetType = UNSET


class HmacOut(Wire, frozen=True, kw_only=True):
    """The MAC of a message."""

    hmac: str
    version: int


class HolderOut(Wire, frozen=True, kw_only=True):
    """A member, client or key, and what it may do now."""

    active: bool
    last_used_at: datetime | None
    name: str
    permissions: list[str]
    role: str
    subject: str


class HoldersOut(Wire, frozen=True, kw_only=True):
    """All who may do something."""

    holders: list[HolderOut]
    permission: str


class IdentityProviderCheck(Wire, frozen=True, kw_only=True):
    """An identity provider that somebody looked at."""

    client_id: str
    created_at: datetime
    default_role: str | None
    disabled: bool
    domain: str | None
    domain_state: str
    enforced: bool
    groups_claim: str
    id: str
    issuer: str
    name: str
    problem: str | None
    proof_name: str | None
    proof_value: str | None
    redirect_uri: str
    roles_by_group: dict[str, str]
    second_factor: bool


class IdentityProviderCreate(Wire, frozen=True, kw_only=True):
    """The tenant's own OpenID provider, at which we are registered as a client."""

    client_id: str
    client_secret: str
    issuer: str
    name: str
    default_role: str | None | UnsetType = UNSET
    disabled: bool | UnsetType = False
    domain: str | None | UnsetType = UNSET
    enforced: bool | UnsetType = False
    groups_claim: str | UnsetType = "groups"
    roles_by_group: dict[str, str] | UnsetType = UNSET
    second_factor: bool | UnsetType = False


class IdentityProviderOut(Wire, frozen=True, kw_only=True):
    """An identity provider without its secret."""

    client_id: str
    created_at: datetime
    default_role: str | None
    disabled: bool
    domain: str | None
    domain_state: str
    enforced: bool
    groups_claim: str
    id: str
    issuer: str
    name: str
    proof_name: str | None
    proof_value: str | None
    redirect_uri: str
    roles_by_group: dict[str, str]
    second_factor: bool


class IdentityProviderPage(Wire, frozen=True, kw_only=True):
    items: list[IdentityProviderOut]
    next_cursor: str | None


class IdentityProviderPut(Wire, frozen=True, kw_only=True):
    """All of it anew; the secret only if it changes."""

    client_id: str
    issuer: str
    name: str
    client_secret: str | None | UnsetType = UNSET
    default_role: str | None | UnsetType = UNSET
    disabled: bool | UnsetType = False
    domain: str | None | UnsetType = UNSET
    enforced: bool | UnsetType = False
    groups_claim: str | UnsetType = "groups"
    roles_by_group: dict[str, str] | UnsetType = UNSET
    second_factor: bool | UnsetType = False


class ImportedAlertRuleOut(Wire, frozen=True, kw_only=True):
    """What became of a rule of the file, or would."""

    group: str
    name: str
    notes: list[str]
    outcome: str
    reason: str
    rule_id: str | None


class ImportedOut(Wire, frozen=True, kw_only=True):
    """What became of an imported file."""

    added: int
    known: int


class InactiveToken(Wire, frozen=True, kw_only=True):
    """All that is said of a token that does not hold, or is foreign."""

    active: bool


class IncidentAlertOut(Wire, frozen=True, kw_only=True):
    """An alert that is part of it."""

    acknowledged_at: datetime | None
    ended_at: datetime | None
    fired_at: datetime | None
    id: str
    name: str
    severity: str
    state: str
    summary: str


class IncidentAlerts(Wire, frozen=True, kw_only=True):
    """Alerts that become part of it."""

    alert_ids: list[str]


class IncidentDetailOut(Wire, frozen=True, kw_only=True):
    """An incident with its alerts and all that happened, in order."""

    alerts: int
    cause: str
    created_by: str
    ended_at: datetime | None
    ended_by: str | None
    firing: int
    follow_up: str
    gathered: bool
    id: str
    items: list[IncidentAlertOut]
    lead: str | None
    severity: str
    started_at: datetime
    state: str
    summary: str
    timeline: list[IncidentEventOut]
    title: str
    version: str


class IncidentEventOut(Wire, frozen=True, kw_only=True):
    """What happened; `alert_id` and `alert`, its name, of what is an alert's."""

    actor: str
    alert: str | None
    alert_id: str | None
    at: datetime
    kind: str
    text: str


class IncidentGatheringModel(Wire, frozen=True, kw_only=True):
    """Alerts that make one incident: they agree in some labels, and come soon after each other."""

    by: list[str] | UnsetType = UNSET
    matchers: str | UnsetType = ""
    within_seconds: int | UnsetType = 3600


class IncidentOut(Wire, frozen=True, kw_only=True):
    """A dependency that failed in one step after another."""

    detail: str | None
    ended_at: datetime | None
    name: str
    started_at: datetime


class IncidentPost(Wire, frozen=True, kw_only=True):
    """An incident that somebody opens."""

    severity: str
    title: str
    alert_ids: list[str] | UnsetType = UNSET
    cause: str | UnsetType = ""
    follow_up: str | UnsetType = ""
    lead: str | None | UnsetType = UNSET
    summary: str | UnsetType = ""


class IncidentPut(Wire, frozen=True, kw_only=True):
    """What people say of an incident."""

    severity: str
    title: str
    cause: str | UnsetType = ""
    follow_up: str | UnsetType = ""
    lead: str | None | UnsetType = UNSET
    summary: str | UnsetType = ""


class InclusionProofOut(Wire, frozen=True, kw_only=True):
    """
    That a record is a leaf of the tree; checked by the algorithm of RFC 9162, 2.1.3.2.

    Saved as it is, `audit_verify.py --proof` checks it, with the tenant's key and nothing else.
    """

    checkpoint: str | None
    hashes: list[str]
    leaf: str
    leaf_hash: str
    record_id: str
    root: str
    seq: int
    size: int


class IntervalTimingModel(Wire, frozen=True, kw_only=True):
    """Each so many seconds, counted from a time, whatever clocks do."""

    seconds: int
    since: datetime
    type: str


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


class InvitationCreate(Wire, frozen=True, kw_only=True):
    """Whom to invite, and what they shall be."""

    email: str
    role: str
    name: str | None | UnsetType = UNSET


class InvitationLinkOut(Wire, frozen=True, kw_only=True):
    """An invitation with the link that accepts it, which is shown this once."""

    accepted_at: datetime | None
    created_at: datetime
    email: str
    expires_at: datetime
    id: str
    invited_by: str
    name: str
    role: str
    state: str
    link: str | UnsetType = ""
    secret_withheld: str | None | UnsetType = UNSET


class InvitationOut(Wire, frozen=True, kw_only=True):
    """An invitation without its link."""

    accepted_at: datetime | None
    created_at: datetime
    email: str
    expires_at: datetime
    id: str
    invited_by: str
    name: str
    role: str
    state: str


class InvitationPage(Wire, frozen=True, kw_only=True):
    items: list[InvitationOut]
    next_cursor: str | None


class Item(Wire, frozen=True, kw_only=True):
    """
    Something observed: a value of a series; of a histogram perhaps several at once.

        A counter is told what it grew by, and not what it stands at.
    """

    kind: Any
    name: str
    at: str | None | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = field(default_factory=dict)
    value: float | None | UnsetType = UNSET
    values: list[float] | None | UnsetType = UNSET


class ItemError(Wire, frozen=True, kw_only=True):
    """Why an item failed: as the problem of a single request would say it."""

    code: str
    detail: str
    title: str


class JobArgsOut(Wire, frozen=True, kw_only=True):
    """What a job is given."""

    args: dict[str, Any]


class JobAttemptOut(Wire, frozen=True, kw_only=True):
    """One attempt at a job."""

    attempt: int
    ended_at: datetime | None
    error: str | None
    outcome: str
    started_at: datetime | None
    worker: str | None


class JobAttemptsOut(Wire, frozen=True, kw_only=True):
    """The latest attempts at a job, the newest first."""

    items: list[JobAttemptOut]


class JobCountOut(Wire, frozen=True, kw_only=True):
    """How many jobs of a kind are in a state."""

    at_least: bool
    count: int
    kind: str
    state: str


class JobCreate(Wire, frozen=True, kw_only=True):
    """A job."""

    kind: str
    args: dict[str, Any] | UnsetType = UNSET
    backoff_seconds: float | UnsetType = 1.0
    dedup_key: str | None | UnsetType = UNSET
    delay_seconds: float | UnsetType = 0.0
    max_attempts: int | UnsetType = 5
    priority: int | UnsetType = 0
    timeout_seconds: float | UnsetType = 60.0


class JobFailureOut(Wire, frozen=True, kw_only=True):
    """Dead jobs of a kind that failed alike."""

    count: int
    error: str
    job_id: str
    kind: str


class JobFiringOut(Wire, frozen=True, kw_only=True):
    """A time at which it was due, and what became of it."""

    decided_at: datetime
    due_at: datetime
    graph_id: str | None
    outcome: str
    times: int
    until: datetime | None
    why: str | None


class JobFiringsOut(Wire, frozen=True, kw_only=True):
    """The times of a stretch, the newest first."""

    complete: bool
    items: list[JobFiringOut]


class JobKindOut(Wire, frozen=True, kw_only=True):
    """A kind of job that may be submitted."""

    args: dict[str, Any]
    kind: str
    permissions: list[str]


class JobKindsOut(Wire, frozen=True, kw_only=True):
    """All of them, by their names."""

    items: list[JobKindOut]


class JobOut(Wire, frozen=True, kw_only=True):
    """A job: one piece of background work and what became of it."""

    attempt: int
    cancel_requested: bool
    created_at: datetime
    due_at: datetime
    error: str | None
    finished_at: datetime | None
    graph_id: str | None
    id: str
    kind: str
    max_attempts: int
    priority: int
    result: Any
    started_at: datetime | None
    state: str
    subject: str | None
    task: str | None
    trace_id: str | None
    worker: str | None


class JobPage(Wire, frozen=True, kw_only=True):
    items: list[JobOut]
    next_cursor: str | None


class JobPayloadOut(Wire, frozen=True, kw_only=True):
    """What a job is given, as it may be shown to whoever sees the job."""

    args: dict[str, Any] | None


class JobRetry(Wire, frozen=True, kw_only=True):
    """How to start a job again."""

    args: dict[str, Any] | None | UnsetType = UNSET


class JobScheduleBackfill(Wire, frozen=True, kw_only=True):
    """A stretch of which every time runs that did not."""

    since: datetime
    until: datetime


class JobScheduleBackfillOut(Wire, frozen=True, kw_only=True):
    """What became of its times."""

    ran_before: int
    submitted: int


class JobScheduleOut(Wire, frozen=True, kw_only=True):
    """A schedule, and when it is due next."""

    catch_up: str
    created_at: datetime
    created_by: str
    due_at: datetime | None
    enabled: bool
    graph: dict[str, Any]
    id: str
    jitter_seconds: int
    last_graph_id: str | None
    name: str
    overlap: str
    timing: dict[str, Any]
    updated_at: datetime
    updated_by: str


class JobSchedulePage(Wire, frozen=True, kw_only=True):
    items: list[JobScheduleOut]
    next_cursor: str | None


class JobSchedulePreview(Wire, frozen=True, kw_only=True):
    """A timing to be tried."""

    timing: dict[str, Any]
    after: datetime | None | UnsetType = UNSET
    count: int | UnsetType = 10


class JobSchedulePreviewOut(Wire, frozen=True, kw_only=True):
    """When it would be due, and when the zone's clocks change next."""

    changes: list[datetime]
    times: list[datetime]


class JobSchedulePut(Wire, frozen=True, kw_only=True):
    """What is submitted, and when."""

    graph: ScheduledGraph
    name: str
    timing: dict[str, Any]
    catch_up: str | UnsetType = "last"
    enabled: bool | UnsetType = True
    jitter_seconds: int | UnsetType = 0
    overlap: str | UnsetType = "skip"


class JobScheduleRunOut(Wire, frozen=True, kw_only=True):
    """What was submitted."""

    graph_id: str


class JobTotalsOut(Wire, frozen=True, kw_only=True):
    """How many jobs there are by kind and state, and why the newest dead ones died."""

    complete: bool
    failures: list[JobFailureOut]
    failures_of: int
    items: list[JobCountOut]


class JobsCancel(Wire, frozen=True, kw_only=True):
    """Which jobs to cancel."""

    created_after: datetime | None | UnsetType = UNSET
    created_before: datetime | None | UnsetType = UNSET
    cursor: str | None | UnsetType = UNSET
    error: str | None | UnsetType = UNSET
    graph_id: str | None | UnsetType = UNSET
    kind: str | None | UnsetType = UNSET
    limit: int | UnsetType = 100
    state: str | UnsetType = "ready"
    subject: str | None | UnsetType = UNSET


class JobsCancelledOut(Wire, frozen=True, kw_only=True):
    """What became of a part; `next_cursor` asks for the part after it, and is null on the last."""

    asked: int
    cancelled: int
    next_cursor: str | None


class JobsRetriedOut(Wire, frozen=True, kw_only=True):
    """What became of a part; `next_cursor` asks for the part after it, and is null on the last."""

    next_cursor: str | None
    refused: int
    retried: int


class JobsRetry(Wire, frozen=True, kw_only=True):
    """Which jobs to start again."""

    created_after: datetime | None | UnsetType = UNSET
    created_before: datetime | None | UnsetType = UNSET
    cursor: str | None | UnsetType = UNSET
    error: str | None | UnsetType = UNSET
    graph_id: str | None | UnsetType = UNSET
    kind: str | None | UnsetType = UNSET
    limit: int | UnsetType = 100
    state: str | UnsetType = "dead"
    subject: str | None | UnsetType = UNSET


class KeepDays(Wire, frozen=True, kw_only=True):
    """How many days windows of each length stay."""

    hour: int
    minute: int
    minutes_10: int
    seconds_10: int


class KeepRuleModel(Wire, frozen=True, kw_only=True):
    """How long lines of some levels, or of a source, are kept."""

    days: int
    levels: list[str] | UnsetType = field(default_factory=list)
    source: str | None | UnsetType = UNSET


class KeepRuleOut(Wire, frozen=True, kw_only=True):
    """How long lines of some levels, or of a source, are kept."""

    days: int
    levels: list[str]
    source: str | None


class KeptOut(Wire, frozen=True, kw_only=True):
    """For how many days mail is kept, whoever says so."""

    content_days: int
    days: int
    most_days: int
    usual_content_days: int
    usual_days: int


class KeyCreate(Wire, frozen=True, kw_only=True):
    """A new key."""

    name: str
    exportable: bool | UnsetType = False
    rotate_after_operations: int | None | UnsetType = 2147483648
    rotate_after_seconds: int | None | UnsetType = UNSET
    type: str | UnsetType = "aes256-gcm"


class KeyExport(Wire, frozen=True, kw_only=True):
    """Which version to export."""

    version: int | None | UnsetType = UNSET


class KeyExportOut(Wire, frozen=True, kw_only=True):
    """The material of a version, 32 bytes in base64."""

    name: str
    number: int
    type: str
    material: str | None | UnsetType = UNSET
    public_key: str | None | UnsetType = UNSET
    secret_withheld: str | None | UnsetType = UNSET


class KeyOpeningOut(Wire, frozen=True, kw_only=True):
    """That a caller opens, rewraps or verifies what a version made."""

    actor: str
    last_at: datetime
    version: int


class KeyOpeningPage(Wire, frozen=True, kw_only=True):
    items: list[KeyOpeningOut]
    next_cursor: str | None


class KeyOut(Wire, frozen=True, kw_only=True):
    """A named key; no secret of it."""

    created_at: datetime
    created_by: str
    delete_at: datetime | None
    disabled: bool
    exportable: bool
    id: str
    latest_version: int
    min_decrypt_version: int
    name: str
    operations: int
    rotate_after_operations: int | None
    rotate_after_seconds: int | None
    rotated_at: datetime
    rotates_at: datetime | None
    type: str


class KeyPage(Wire, frozen=True, kw_only=True):
    items: list[KeyOut]
    next_cursor: str | None


class KeyPut(Wire, frozen=True, kw_only=True):
    """What may be changed of a key."""

    disabled: bool | UnsetType = False
    even_if_used: bool | UnsetType = False
    exportable: bool | UnsetType = False
    min_decrypt_version: int | UnsetType = 1
    rotate_after_operations: int | None | UnsetType = 2147483648
    rotate_after_seconds: int | None | UnsetType = UNSET


class KeyVersionOut(Wire, frozen=True, kw_only=True):
    """A version of a key."""

    created_at: datetime
    last_opened_at: datetime | None
    number: int
    operations: int
    public_key: str | None
    usable: bool


class KeyVersionsOut(Wire, frozen=True, kw_only=True):
    """Versions of a key, newest first; `next_below` asks for those before them."""

    items: list[KeyVersionOut]
    next_below: int | None


class LabelNamesOut(Wire, frozen=True, kw_only=True):
    """Names of labels, or values of one, sorted; 10 000 at most."""

    items: list[str]


class LimitCreate(Wire, frozen=True, kw_only=True):
    """A limit of the tenant's own, within the platform's."""

    kind: str
    bytes: RateModel | None | UnsetType = UNSET
    name: str | UnsetType = ""
    requests: RateModel | None | UnsetType = UNSET
    route_class: str | UnsetType = ""
    sustained: RateModel | None | UnsetType = UNSET


class LimitOut(Wire, frozen=True, kw_only=True):
    """A limit. The version goes into If-Match as the ETag does."""

    bytes: RateOut | None
    concurrency: int | None
    cost: int | None
    id: str
    kind: str
    name: str
    owner: str
    requests: RateOut | None
    route_class: str
    sustained: RateOut | None
    tenant_id: str | None
    updated_at: datetime
    updated_by: str
    version: str


class LimitPage(Wire, frozen=True, kw_only=True):
    items: list[LimitOut]
    next_cursor: str | None


class LimitPut(Wire, frozen=True, kw_only=True):
    """What a limit allows; null says nothing, and what the next wider limit says holds."""

    bytes: RateModel | None | UnsetType = UNSET
    requests: RateModel | None | UnsetType = UNSET
    sustained: RateModel | None | UnsetType = UNSET


class LimitUsageOut(Wire, frozen=True, kw_only=True):
    """What holds for a tenant and its callers, and how much of it is used just now."""

    levels: list[LimitUseOut]
    shared: bool


class LimitUseOut(Wire, frozen=True, kw_only=True):
    """How much of what holds for somebody is used."""

    burst: int
    level: str
    refill: int | None
    remaining: int
    reset_seconds: int | None
    seconds: int | None
    subject: str
    unit: str
    used: int


class LiveOut(Wire, frozen=True, kw_only=True):
    """The process runs its event loop."""

    live: bool | UnsetType = True


class LogConditionModel(Wire, frozen=True, kw_only=True):
    """How many log lines there are in a window; `< 1` is that there is none."""

    compare: str
    kind: str
    threshold: int
    level: str | None | UnsetType = UNSET
    source: str | None | UnsetType = UNSET
    window_seconds: int | UnsetType = 300
    words: str | None | UnsetType = UNSET


class LogExportOut(Wire, frozen=True, kw_only=True):
    """
    How far the tenant's lines have come on their way to Elasticsearch.

    Of the lines that have been passed each is `exported`, `dead` (refused, and nobody has decided),
    `forgotten` (given up) or `lost` (let go by retention before it was exported).
    """

    behind_records: int
    behind_seconds: float
    dead: int
    delivered_at: datetime | None
    exported: int
    failures: int
    forgotten: int
    last_error: str | None
    lost: int
    next_try_at: datetime | None
    seq: int
    state: str
    stream: str | None


class LogFacetOut(Wire, frozen=True, kw_only=True):
    """How often a value occurs."""

    count: int
    value: str


class LogLinesOut(Wire, frozen=True, kw_only=True):
    """Some lines, in the order in which they happened."""

    items: list[LogRecordOut]


class LogPatternConditionModel(Wire, frozen=True, kw_only=True):
    """Log lines came that none before was like."""

    kind: str
    level: str | None | UnsetType = "error"
    source: str | None | UnsetType = UNSET
    window_seconds: int | UnsetType = 900


class LogPatternOut(Wire, frozen=True, kw_only=True):
    """Lines that are alike."""

    count: int
    example: str
    first_at: datetime
    is_new: bool | None
    last_at: datetime
    last_id: str
    levels: list[LogFacetOut]
    pattern: str
    sources: list[LogFacetOut]


class LogPatternsOut(Wire, frozen=True, kw_only=True):
    """What log lines have in common."""

    compared: int
    compared_since: datetime | None
    complete: bool
    items: list[LogPatternOut]
    looked_at: int
    patterns: int
    talkers: list[LogTalkerOut]


class LogRecordOut(Wire, frozen=True, kw_only=True):
    """One line; `at` is its own time, `seq` its place among the tenant's lines as they came."""

    at: datetime
    execution_id: str | None
    fields: dict[str, Any]
    id: str
    level: str
    message: str
    received_at: datetime
    request_id: str | None
    seq: int
    severity: int
    source: str
    span_id: str | None
    trace_id: str | None
    workflow_id: str | None


class LogRecordPage(Wire, frozen=True, kw_only=True):
    """A part of the lines; `next_cursor` asks for the part after it, and is null on the last."""

    items: list[LogRecordOut]
    next_cursor: str | None
    store: LogStoreOut


class LogSettingsOut(Wire, frozen=True, kw_only=True):
    """What a tenant says of its logs."""

    hidden: list[str]
    keep_days: int
    patterns: list[PatternOut]
    retention: list[KeepRuleOut]
    updated_at: datetime | None
    updated_by: str | None


class LogSettingsPut(Wire, frozen=True, kw_only=True):
    """What a tenant says of its logs, all of it anew."""

    keep_days: int
    hidden: list[str] | UnsetType = field(
        default_factory=lambda: ["credential", "bearer_token", "jwt", "private_key"]
    )
    patterns: list[PatternModel] | UnsetType = field(default_factory=list)
    retention: list[KeepRuleModel] | UnsetType = field(default_factory=list)


class LogStepOut(Wire, frozen=True, kw_only=True):
    """How many lines of each level there are in a step of time that begins at `at`."""

    at: datetime
    levels: dict[str, int]


class LogStoreOut(Wire, frozen=True, kw_only=True):
    """
    Which store an answer comes from, and what Elasticsearch has not got, where it is configured.

    Lines that are not exported yet, and those that Elasticsearch refuses, are looked for in the
    database: they are in the answer from either.
    """

    behind_records: int
    behind_seconds: float
    given_up_records: int
    name: str
    reason: str | None


class LogSummaryOut(Wire, frozen=True, kw_only=True):
    """
    What lines sum up to; `complete` is false when only the newest 200 000 were counted.

    Elasticsearch counts all of them.
    """

    complete: bool
    count: int
    levels: list[LogFacetOut]
    sources: list[LogFacetOut]
    step_seconds: int
    steps: list[LogStepOut]
    store: LogStoreOut


class LogTailOut(Wire, frozen=True, kw_only=True):
    """What came, in the order of coming; `seq` is what to ask with the next time."""

    items: list[LogRecordOut]
    seq: int


class LogTalkerOut(Wire, frozen=True, kw_only=True):
    """A source, and how much of what was looked at it said."""

    count: int
    size_bytes: int
    source: str


class LoginPolicyOut(Wire, frozen=True, kw_only=True):
    """What the tenant asks of its people's log-ins."""

    require_second_factor: bool


class LoginPolicyPut(Wire, frozen=True, kw_only=True):
    """What the tenant asks of its people's log-ins."""

    require_second_factor: bool


class LogsAccepted(Wire, frozen=True, kw_only=True):
    """How many lines were kept, the id of the first of them, and which were not."""

    accepted: int
    first_id: str | None
    refused: list[RefusedLine]


class LogsPanel(Wire, frozen=True, kw_only=True):
    """Asks `GET /api/v1/logs` for lines, or `GET /api/v1/logs/summary` for counts."""

    level: str | None | UnsetType = UNSET
    show: str | UnsetType = "levels"
    source: str | None | UnsetType = UNSET
    words: str | None | UnsetType = UNSET


class MeOut(Wire, frozen=True, kw_only=True):
    """Who the caller is and what they may do here."""

    kind: str
    name: str
    permissions: list[str]
    platform_admin: bool
    platform_role: str | None
    role: str
    subject: str
    tenant: TenantRef
    tenants: list[TenantRoleOut]


class MemberOut(Wire, frozen=True, kw_only=True):
    """A person in this tenant; ``id`` is the user's."""

    created_at: datetime
    disabled: bool
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


class MessageBody(Wire, frozen=True, kw_only=True):
    """What to sign."""

    message: str


class MetricConditionModel(Wire, frozen=True, kw_only=True):
    """A metric over a window, compared with a threshold; with `by` for each set of those labels."""

    aggregate: str
    compare: str
    kind: str
    metric: str
    threshold: float
    by: list[str] | UnsetType = UNSET
    labels: dict[str, Any] | UnsetType = UNSET
    quantile: float | UnsetType = 0.95
    window_seconds: int | UnsetType = 300


class MetricForecastLineOut(Wire, frozen=True, kw_only=True):
    """The hours to come of one line; 95 of 100 lie between `low` and `high`."""

    high: list[float | None]
    labels: dict[str, str]
    low: list[float | None]
    method: str
    points: list[float | None]
    season_hours: int | None
    sentence: str


class MetricForecastsOut(Wire, frozen=True, kw_only=True):
    """Lines, the greatest first: point `n` is the hour that begins `n` hours after `start_at`."""

    aggregate: str
    kind: str | None
    lines: list[MetricForecastLineOut]
    lines_left_out: int
    name: str
    start_at: datetime
    time_zone: str


class MetricHourOut(Wire, frozen=True, kw_only=True):
    """
    How one hour is, and why.

    `unknown`: too few hours before it were measured. `not_measured`: nobody can tell.
    """

    at: datetime
    basis: str
    high: float | None
    low: float | None
    samples: int
    score: float | None
    sentence: str
    state: str
    usual: float | None
    value: float | None


class MetricLineOut(Wire, frozen=True, kw_only=True):
    """One line; a point is null where nothing was recorded, and `value` is of the whole window."""

    labels: dict[str, str]
    points: list[float | None]
    points_week_before: list[float | None] | None
    value: float | None
    value_week_before: float | None


class MetricLinesOut(Wire, frozen=True, kw_only=True):
    """
    Lines, the greatest first: point `n` begins `n * step_seconds` after `start_at`.

    Without a series that matches there is no kind and no line.
    """

    aggregate: str
    kind: str | None
    lines: list[MetricLineOut]
    lines_left_out: int
    name: str
    start_at: datetime
    step_seconds: int


class MetricOut(Wire, frozen=True, kw_only=True):
    """All series of a name; labels and value are those of the one that was heard of last."""

    kind: str
    last_at: datetime
    last_labels: dict[str, str]
    last_value: float | None
    name: str
    series: int


class MetricPage(Wire, frozen=True, kw_only=True):
    items: list[MetricOut]
    next_cursor: str | None


class MetricPanel(Wire, frozen=True, kw_only=True):
    """Asks `GET /api/v1/metrics/query`."""

    aggregate: str
    name: str
    by: list[str] | UnsetType = field(default_factory=list)
    label: list[str] | UnsetType = field(default_factory=list)
    quantile: float | UnsetType = 0.95
    top: int | UnsetType = 10
    with_week_before: bool | UnsetType = False


class MetricScoredLineOut(Wire, frozen=True, kw_only=True):
    """
    One line of hours, with what is usual of each; null where it is not known.

    A score above 1 is unusual; the most is 100.
    """

    high: list[float | None]
    labels: dict[str, str]
    latest: MetricHourOut
    low: list[float | None]
    points: list[float | None]
    scores: list[float | None]
    unusual: list[MetricHourOut]
    unusual_left_out: int
    usual: list[float | None]


class MetricScoresOut(Wire, frozen=True, kw_only=True):
    """Lines, the greatest first: point `n` is the hour that begins `n` hours after `start_at`."""

    aggregate: str
    kind: str | None
    lines: list[MetricScoredLineOut]
    lines_left_out: int
    name: str
    start_at: datetime
    time_zone: str


class MetricSeriesOut(Wire, frozen=True, kw_only=True):
    """One series, and what it came to since it is there."""

    created_at: datetime
    id: str
    kind: str
    labels: dict[str, str]
    last_at: datetime
    last_value: float | None
    name: str
    observations: int
    total: float


class MetricSeriesPage(Wire, frozen=True, kw_only=True):
    items: list[MetricSeriesOut]
    next_cursor: str | None


class MetricSettingsOut(Wire, frozen=True, kw_only=True):
    """What holds for the tenant's series."""

    keep_days: KeepDays
    max_points_a_day: int
    max_series: int
    points_today: int
    series: int
    updated_at: datetime | None
    updated_by: str | None


class MetricSettingsPut(Wire, frozen=True, kw_only=True):
    """How many days windows of each length stay; longer ones at least as long as shorter ones."""

    hour: int | UnsetType = 400
    minute: int | UnsetType = 14
    minutes_10: int | UnsetType = 90
    seconds_10: int | UnsetType = 2


class MetricTrendLineOut(Wire, frozen=True, kw_only=True):
    """Where one line goes, a day; `steady`: neither up nor down for sure."""

    basis: str
    direction: str
    labels: dict[str, str]
    measured_hours: int
    per_day: float | None
    per_day_high: float | None
    per_day_low: float | None
    sentence: str


class MetricTrendsOut(Wire, frozen=True, kw_only=True):
    """Lines, the greatest first; slopes are in `unit`."""

    aggregate: str
    hours: int
    kind: str | None
    lines: list[MetricTrendLineOut]
    lines_left_out: int
    name: str
    start_at: datetime
    time_zone: str
    unit: str


class MetricsIn(Wire, frozen=True, kw_only=True):
    """Up to a thousand items, with ten thousand values at most."""

    items: list[Item]


class MetricsOut(Wire, frozen=True, kw_only=True):
    """How many items are recorded, and what became of the others."""

    accepted: int
    items: list[RefusedItem]
    refused: int


class OAuthError(Wire, frozen=True, kw_only=True):
    error: str
    code: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET
    error_description: str | UnsetType = UNSET


class OnCallLayerModel(Wire, frozen=True, kw_only=True):
    """People who take turns."""

    people: list[str]
    start: str
    zone: str
    every: int | UnsetType = 1
    unit: str | UnsetType = "weeks"
    windows: list[WeeklyWindowModel] | UnsetType = UNSET


class OnCallLayerOut(Wire, frozen=True, kw_only=True):
    """People who take turns."""

    every: int
    people: list[str]
    start: str
    unit: str
    windows: list[WeeklyWindowModel]
    zone: str


class OnCallNowListOut(Wire, frozen=True, kw_only=True):
    """Who is on call, by each schedule in the order of their names."""

    at: datetime
    items: list[OnCallNowOut]


class OnCallNowOut(Wire, frozen=True, kw_only=True):
    """Who is on call."""

    name: str
    next_person: str | None
    person: str | None
    schedule_id: str
    until: datetime | None


class OnCallOverrideCreate(Wire, frozen=True, kw_only=True):
    """Somebody is to stand in for whoever it would be."""

    begins_at: datetime
    ends_at: datetime
    person: str
    reason: str | UnsetType = ""


class OnCallOverrideOut(Wire, frozen=True, kw_only=True):
    """Somebody stands in for whoever it would be; of two the one that was made later counts."""

    begins_at: datetime
    created_at: datetime
    created_by: str
    ends_at: datetime
    id: str
    person: str
    reason: str


class OnCallOverridePage(Wire, frozen=True, kw_only=True):
    items: list[OnCallOverrideOut]
    next_cursor: str | None


class OnCallScheduleOut(Wire, frozen=True, kw_only=True):
    """Who takes turns."""

    announce_handover: bool
    created_at: datetime
    created_by: str
    id: str
    layers: list[OnCallLayerOut]
    name: str
    updated_at: datetime
    updated_by: str
    version: str


class OnCallSchedulePage(Wire, frozen=True, kw_only=True):
    items: list[OnCallScheduleOut]
    next_cursor: str | None


class OnCallSchedulePut(Wire, frozen=True, kw_only=True):
    """Who is to take turns."""

    layers: list[OnCallLayerModel]
    name: str
    announce_handover: bool | UnsetType = False


class OnCallShiftOut(Wire, frozen=True, kw_only=True):
    """Somebody's time."""

    begins_at: datetime
    ends_at: datetime
    person: str | None


class OnCallShiftsOut(Wire, frozen=True, kw_only=True):
    """Whose time it is in all of a stretch, without a gap."""

    items: list[OnCallShiftOut]
    schedule_id: str


class OnceTimingModel(Wire, frozen=True, kw_only=True):
    """At one time."""

    at: datetime
    type: str


class OperationOut(Wire, frozen=True, kw_only=True):
    """Rate, errors and duration of an operation, of all its spans."""

    error_rate: float
    errors: int
    name: str
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    per_minute: float
    service: str
    spans: int


class OperationsOut(Wire, frozen=True, kw_only=True):
    """The operations of the last minutes, busiest first."""

    items: list[OperationOut]
    minutes: int


class OtlpAnswer(Wire, frozen=True, kw_only=True):
    pass


class OtlpExport(Wire, frozen=True, kw_only=True):
    pass


class OtlpStatus(Wire, frozen=True, kw_only=True):
    """google.rpc.Status"""

    code: int | UnsetType = UNSET
    message: str | UnsetType = UNSET


class OverviewOut(Wire, frozen=True, kw_only=True):
    """Series over the window; counts of what was made in it, and of all that waits, however old."""

    acceptance: AcceptanceOut
    delivery: DeliveryOut
    emails: dict[str, int]
    failures: list[FailureOut]
    jobs: dict[str, int]
    made_at: datetime
    reasons: list[ReasonOut]
    requests: RequestsOut
    series: list[PointOut]
    verdict: VerdictOut
    window_seconds: int
    workers: WorkersOut
    step_seconds: int | UnsetType = 10


class OverviewPanel(Wire, frozen=True, kw_only=True):
    """Asks `GET /api/v1/overview`, which has a day at most."""

    show: str | UnsetType = "requests"


class OwnerInvitationOut(Wire, frozen=True, kw_only=True):
    """The link by which an owner comes in."""

    link: str | UnsetType = ""
    secret_withheld: str | None | UnsetType = UNSET


class OwnerInvite(Wire, frozen=True, kw_only=True):
    """Who shall own a tenant."""

    email: str


class PasswordPut(Wire, frozen=True, kw_only=True):
    """The password of now, and the one from now on."""

    new_password: str
    old_password: str


class PatternModel(Wire, frozen=True, kw_only=True):
    """What is taken out of lines: an expression of RE2, and the name that stands there instead."""

    expression: str
    name: str


class PatternOut(Wire, frozen=True, kw_only=True):
    """What is taken out of lines."""

    expression: str
    name: str


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


class PlatformApiKeyCreate(Wire, frozen=True, kw_only=True):
    """A long-lived credential for tools that act on the platform itself, in no tenant."""

    name: str
    role: str
    expires_at: datetime | None | UnsetType = UNSET
    networks: list[str] | UnsetType = field(default_factory=list)
    scopes: list[str] | None | UnsetType = UNSET


class PlatformClientCreate(Wire, frozen=True, kw_only=True):
    """A program that will act on the platform itself, in no tenant."""

    name: str
    role: str
    expires_at: datetime | None | UnsetType = UNSET
    networks: list[str] | UnsetType = field(default_factory=list)
    scopes: list[str] | None | UnsetType = UNSET


class PlatformDashboardImport(Wire, frozen=True, kw_only=True):
    """A file of a dashboard, and what it is to be called here."""

    document: DashboardDocument
    name: str | None | UnsetType = UNSET


class PlatformLimitCreate(Wire, frozen=True, kw_only=True):
    """A limit that the platform sets."""

    kind: str
    bytes: RateModel | None | UnsetType = UNSET
    concurrency: int | None | UnsetType = UNSET
    cost: int | None | UnsetType = UNSET
    name: str | UnsetType = ""
    requests: RateModel | None | UnsetType = UNSET
    route_class: str | UnsetType = ""
    sustained: RateModel | None | UnsetType = UNSET
    tenant_id: str | None | UnsetType = UNSET


class PlatformLimitPut(Wire, frozen=True, kw_only=True):
    """What a limit of the platform allows; null says nothing."""

    bytes: RateModel | None | UnsetType = UNSET
    concurrency: int | None | UnsetType = UNSET
    cost: int | None | UnsetType = UNSET
    requests: RateModel | None | UnsetType = UNSET
    sustained: RateModel | None | UnsetType = UNSET


class PlatformOverviewOut(Wire, frozen=True, kw_only=True):
    """The platform across its tenants."""

    asking: int
    error_rate: float | None
    made_at: datetime
    requests: int
    tenants: list[TenantServedOut]
    verdict: VerdictOut
    window_seconds: int
    workers: WorkersOut


class PlatformRolePut(Wire, frozen=True, kw_only=True):
    """What the person is to the platform from now on."""

    platform_role: str | None


class PlatformSloDetailOut(Wire, frozen=True, kw_only=True):
    """The same with burn rates and days, where it is counted."""

    budget_left: float | None
    burns: list[BurnOut]
    days: list[SloDayOut]
    evidence: SloEvidenceOut | None
    good: int | None
    id: str
    measured_until: datetime | None
    name: str
    reason: str
    since: datetime | None
    state: str
    target: str
    total: int | None
    unit: str
    value: float | None
    value_before: float | None
    window_days: int | None


class PlatformSloOut(Wire, frozen=True, kw_only=True):
    """One of the platform's own objectives."""

    budget_left: float | None
    evidence: SloEvidenceOut | None
    good: int | None
    id: str
    measured_until: datetime | None
    name: str
    reason: str
    since: datetime | None
    state: str
    target: str
    total: int | None
    unit: str
    value: float | None
    value_before: float | None
    window_days: int | None


class PlatformSlosOut(Wire, frozen=True, kw_only=True):
    """All of them, in the order in which they are shown."""

    items: list[PlatformSloOut]


class PlatformUserOut(Wire, frozen=True, kw_only=True):
    """A person as the platform sees them."""

    disabled: bool
    email: str
    id: str
    name: str
    platform_role: str | None


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


class ProfileOut(Wire, frozen=True, kw_only=True):
    """A person's own account."""

    email: str
    id: str
    name: str
    platform_role: str | None


class ProfilePut(Wire, frozen=True, kw_only=True):
    """What a person calls themselves."""

    name: str


class PrometheusAlertOut(Wire, frozen=True, kw_only=True):
    """A rule that holds for a set of labels."""

    annotations: dict[str, str]
    labels: dict[str, str]
    since: str | None
    state: str


class PrometheusConditionModel(Wire, frozen=True, kw_only=True):
    """PromQL; each series that it comes to is something wrong, 100 at most."""

    kind: str
    query: str


class PrometheusPanel(Wire, frozen=True, kw_only=True):
    """Asks `GET /api/v1/prometheus/query-range`; of the platform's dashboards, the platform's."""

    query: str


class PrometheusQueryOut(Wire, frozen=True, kw_only=True):
    """A query that is kept."""

    created_at: datetime
    created_by: str
    id: str
    name: str
    query: str
    updated_at: datetime
    updated_by: str


class PrometheusQueryPage(Wire, frozen=True, kw_only=True):
    items: list[PrometheusQueryOut]
    next_cursor: str | None


class PrometheusQueryPut(Wire, frozen=True, kw_only=True):
    """A query that is kept, and what people call it."""

    name: str
    query: str


class PrometheusRuleOut(Wire, frozen=True, kw_only=True):
    """A recording or alerting rule of the Prometheus."""

    alerts: list[PrometheusAlertOut]
    group: str
    health: str
    kind: str
    labels: dict[str, str]
    name: str
    query: str | None
    state: str | None


class PrometheusRulePage(Wire, frozen=True, kw_only=True):
    items: list[PrometheusRuleOut]
    next_cursor: str | None


class ProofOut(Wire, frozen=True, kw_only=True):
    """A record of the audit trail; `seq` and `hash` follow within a second."""

    action: str
    actor: str
    at: datetime
    decision: str | None
    hash: str | None
    id: str
    seq: int | None
    subject: str | None


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


class RandomBody(Wire, frozen=True, kw_only=True):
    """How many random bytes."""

    size_bytes: float | UnsetType = 32


class RandomOut(Wire, frozen=True, kw_only=True):
    """Random bytes of the operating system's generator."""

    random: str


class RateModel(Wire, frozen=True, kw_only=True):
    """So many at once, and so many more every so many seconds."""

    burst: int
    refill: int
    seconds: int


class RateOut(Wire, frozen=True, kw_only=True):
    """So many at once, and so many more every so many seconds."""

    burst: int
    refill: int
    seconds: int


class ReadyOut(Wire, frozen=True, kw_only=True):
    """Ready when every required dependency is; degraded when another one is not."""

    checks: list[HealthOut]
    ready: bool
    status: str


class ReasonOut(Wire, frozen=True, kw_only=True):
    """Why messages failed, in the words of their mail servers; addresses are left out."""

    messages: int
    reason: str


class RecipientOut(Wire, frozen=True, kw_only=True):
    """One address and what the mail server said about it."""

    address: str
    kind: str
    response: str | None
    response_code: int | None
    state: str
    updated_at: datetime


class RecoveryCodesOut(Wire, frozen=True, kw_only=True):
    """Ten codes, each of which lets in once without the device."""

    recovery_codes: list[str] | UnsetType = UNSET
    secret_withheld: str | None | UnsetType = UNSET


class RedeemedSecretOut(Wire, frozen=True, kw_only=True):
    """The value that the token was for."""

    environment: str
    path: str
    secret_id: str
    version: int
    secret_withheld: str | None | UnsetType = UNSET
    value: dict[str, str] | str | UnsetType = ""


class RefusedItem(Wire, frozen=True, kw_only=True):
    """An item that was not recorded, by its place in the request, and why."""

    code: str
    detail: str
    index: int
    title: str


class RefusedLine(Wire, frozen=True, kw_only=True):
    """A line that was not kept, and why."""

    code: str
    line: int


class RelayLimitsOut(Wire, frozen=True, kw_only=True):
    """What the mail server is asked for at most; null is no limit."""

    connections: int
    messages_per_session: int | None
    rate_per_second: float | None
    recipients_per_transaction: int | None


class RelayOut(Wire, frozen=True, kw_only=True):
    """A mail server that mail of the tenant goes to, as its answers have shown it."""

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


class RelayTestOut(Wire, frozen=True, kw_only=True):
    """Whether a mail server serves us now. No message was sent."""

    detail: str
    milliseconds: int | None
    works: bool


class ReportConditionModel(Wire, frozen=True, kw_only=True):
    """What the day before was like, told at an hour of a zone's clocks."""

    kind: str
    at_hour: int | UnsetType = 8
    zone: str | UnsetType = "UTC"


class RequestsOut(Wire, frozen=True, kw_only=True):
    """Figures of API requests over the whole window; what the console reads is not among them."""

    error_rate: float | None
    p95_ms: float | None
    per_second: float


class RetirementKeyOut(Wire, frozen=True, kw_only=True):
    """What checks the signatures of retirement records."""

    key_id: str
    public_key: str


class RetirementOut(Wire, frozen=True, kw_only=True):
    """That a data key was destroyed when nothing was left under it."""

    id: str
    key_id: str
    retired_at: datetime
    signature: str
    statement: str
    version: int


class RetirementPage(Wire, frozen=True, kw_only=True):
    items: list[RetirementOut]
    next_cursor: str | None


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


class ReviewCreate(Wire, frozen=True, kw_only=True):
    """A review of all who hold something in the tenant now."""

    due_at: datetime
    name: str


class ReviewDecision(Wire, frozen=True, kw_only=True):
    """One line's."""

    decision: str
    subject: str


class ReviewDecisions(Wire, frozen=True, kw_only=True):
    """What is kept and what is taken away, at once."""

    decisions: list[ReviewDecision]
    keep_rest: bool | UnsetType = False


class ReviewDetailOut(Wire, frozen=True, kw_only=True):
    """A review with its lines, by name."""

    closed_at: datetime | None
    closed_by: str | None
    created_at: datetime
    created_by: str
    due_at: datetime
    id: str
    lines: list[ReviewLineOut]
    name: str
    overdue: bool
    undecided: int


class ReviewLineOut(Wire, frozen=True, kw_only=True):
    """What somebody held when the review began, and what was decided."""

    decided_at: datetime | None
    decided_by: str | None
    decision: str | None
    last_used_at: datetime | None
    name: str
    permissions: list[str]
    role: str
    subject: str


class ReviewOut(Wire, frozen=True, kw_only=True):
    """A review, without its lines."""

    closed_at: datetime | None
    closed_by: str | None
    created_at: datetime
    created_by: str
    due_at: datetime
    id: str
    name: str
    overdue: bool
    undecided: int


class ReviewPage(Wire, frozen=True, kw_only=True):
    items: list[ReviewOut]
    next_cursor: str | None


class RewrapBatchIn(Wire, frozen=True, kw_only=True):
    """Up to a thousand at once."""

    items: list[RewrapBody]


class RewrapBatchOut(Wire, frozen=True, kw_only=True):
    """What became of each item, in the order of the request."""

    failed: int
    items: list[RewrapBatchOutItem]


class RewrapBatchOutItem(Wire, frozen=True, kw_only=True):
    """A result, or why there is none."""

    error: ItemError | None | UnsetType = UNSET
    result: RewrapOut | None | UnsetType = UNSET


class RewrapBody(Wire, frozen=True, kw_only=True):
    """What to encrypt anew with the newest version; nobody sees what is in it."""

    ciphertext: str
    context: str | UnsetType = ""


class RewrapJobListOut(Wire, frozen=True, kw_only=True):
    """The tenant's walk, the last one if none goes on; earlier ones are in the audit trail."""

    items: list[RewrapJobOut]


class RewrapJobOut(Wire, frozen=True, kw_only=True):
    """A walk over everything that this tenant's keys seal, which puts it under one version."""

    broken: int
    column: str | None
    finished_at: datetime | None
    id: str
    left: dict[str, int] | None
    round: int
    seconds_left: float | None
    seen: int
    started_at: datetime
    started_by: str
    state: str
    total: int | None
    updated_at: datetime
    version: int
    waits_until: datetime | None
    written: int


class RewrapOut(Wire, frozen=True, kw_only=True):
    """The new ciphertext, with its version and the one before."""

    ciphertext: str
    previous_version: int
    version: int


class RoleOut(Wire, frozen=True, kw_only=True):
    """A role and what it permits."""

    built_in: bool
    description: str
    name: str
    permissions: list[str]
    updated_at: datetime | None
    version: int


class RolePage(Wire, frozen=True, kw_only=True):
    items: list[RoleOut]
    next_cursor: str | None


class RolePut(Wire, frozen=True, kw_only=True):
    """What a role of the tenant's own permits."""

    permissions: list[str]
    description: str | UnsetType = ""


class SampleLineOut(Wire, frozen=True, kw_only=True):
    """One series: `values[n]` was at `times[n]`."""

    histograms: int
    labels: dict[str, str]
    times: list[float]
    values: list[str]


class SampleRangeOut(Wire, frozen=True, kw_only=True):
    """What a query came to at each step of a window; a step without a value is not there."""

    lines: list[SampleLineOut]
    step_seconds: float
    warnings: list[str]


class SamplesOut(Wire, frozen=True, kw_only=True):
    """What a query came to at one moment."""

    lines: list[SampleLineOut]
    warnings: list[str]


class ScheduledGraph(Wire, frozen=True, kw_only=True):
    """What is submitted each time."""

    name: str
    tasks: list[TaskModel]


class ScrapeTargetOut(Wire, frozen=True, kw_only=True):
    """What Prometheus scrapes."""

    error: str | None
    health: str
    job: str
    labels: dict[str, str]
    scraped_at: str | None
    seconds: float
    url: str | None


class ScrapeTargetPage(Wire, frozen=True, kw_only=True):
    items: list[ScrapeTargetOut]
    next_cursor: str | None


class SecondFactorOut(Wire, frozen=True, kw_only=True):
    """What the caller has beside their password."""

    enrolled: bool
    enrolled_at: datetime | None
    recovery_codes_left: int
    required: bool
    user_id: str


class SecretDifferenceOut(Wire, frozen=True, kw_only=True):
    """Keys of two versions; the key of a secret that is one text is empty. No value."""

    added: list[str]
    changed: list[str]
    from_version: int
    removed: list[str]
    same: list[str]
    to_version: int


class SecretEnvironmentsOut(Wire, frozen=True, kw_only=True):
    """Environments that hold secrets."""

    items: list[str]


class SecretGrantCreate(Wire, frozen=True, kw_only=True):
    """A folder opened to a role, and so closed to those that have no grant there."""

    access: str
    folder: str
    role: str
    environment: str | UnsetType = "*"


class SecretGrantOut(Wire, frozen=True, kw_only=True):
    """A role to which a folder is open."""

    access: str
    created_at: datetime
    created_by: str
    environment: str
    folder: str
    id: str
    role: str


class SecretGrantPage(Wire, frozen=True, kw_only=True):
    items: list[SecretGrantOut]
    next_cursor: str | None


class SecretOut(Wire, frozen=True, kw_only=True):
    """A secret without its values; state and end are its newest version's."""

    cas_required: bool
    created_at: datetime
    created_by: str
    description: str
    environment: str
    expires_at: datetime | None
    id: str
    labels: dict[str, str]
    max_versions: int
    newest_version: int
    path: str
    remind_seconds: int
    state: str
    ttl_seconds: int | None
    updated_at: datetime


class SecretPage(Wire, frozen=True, kw_only=True):
    items: list[SecretOut]
    next_cursor: str | None


class SecretPatch(Wire, frozen=True, kw_only=True):
    """Keys to set or to take away; the others stay."""

    value: dict[str, Any]
    cas: int | None | UnsetType = UNSET
    ttl_seconds: int | None | UnsetType = UNSET


class SecretPut(Wire, frozen=True, kw_only=True):
    """How a secret is kept; what is left out is as for a new one."""

    cas_required: bool | UnsetType = False
    description: str | UnsetType = ""
    labels: dict[str, Any] | UnsetType = field(default_factory=dict)
    max_versions: int | UnsetType = 10
    remind_seconds: int | UnsetType = 604800
    ttl_seconds: int | None | UnsetType = UNSET


class SecretTokenCreate(Wire, frozen=True, kw_only=True):
    """Which execution may read which secret, once."""

    path: str
    workflow_id: str
    environment: str | UnsetType = "default"
    execution_id: str | None | UnsetType = UNSET
    ttl_seconds: int | UnsetType = 300
    version: int | None | UnsetType = UNSET


class SecretTokenOut(Wire, frozen=True, kw_only=True):
    """A right to read once, without the token."""

    created_at: datetime
    created_by: str
    execution_id: str | None
    expires_at: datetime
    id: str
    secret_id: str
    used_at: datetime | None
    used_version: int | None
    version: int | None
    workflow_id: str


class SecretTokenPage(Wire, frozen=True, kw_only=True):
    items: list[SecretTokenOut]
    next_cursor: str | None


class SecretTokenRedeem(Wire, frozen=True, kw_only=True):
    """A token, and which execution asks."""

    execution_id: str
    token: str
    workflow_id: str


class SecretTokenSecretOut(Wire, frozen=True, kw_only=True):
    """A right to read once, with the token, which is shown this once."""

    created_at: datetime
    created_by: str
    execution_id: str | None
    expires_at: datetime
    id: str
    secret_id: str
    used_at: datetime | None
    used_version: int | None
    version: int | None
    workflow_id: str
    secret_withheld: str | None | UnsetType = UNSET
    token: str | UnsetType = ""


class SecretValueOut(Wire, frozen=True, kw_only=True):
    """A version with its value."""

    created_at: datetime
    environment: str
    expires_at: datetime | None
    path: str
    references: list[str]
    secret_id: str
    value: dict[str, str] | str
    version: int


class SecretVersionOut(Wire, frozen=True, kw_only=True):
    """A version of a secret without its value."""

    created_at: datetime
    created_by: str
    deleted_at: datetime | None
    destroyed_at: datetime | None
    environment: str
    expires_at: datetime | None
    id: str
    path: str
    secret_id: str
    size_bytes: int
    state: str
    version: int


class SecretVersionPage(Wire, frozen=True, kw_only=True):
    items: list[SecretVersionOut]
    next_cursor: str | None


class SecretWrite(Wire, frozen=True, kw_only=True):
    """A secret, or its next version."""

    path: str
    value: dict[str, Any] | str
    cas: int | None | UnsetType = UNSET
    environment: str | UnsetType = "default"
    ttl_seconds: int | None | UnsetType = UNSET


class SeriesLabelsOut(Wire, frozen=True, kw_only=True):
    """A series that had a sample in the window."""

    labels: dict[str, str]


class SeriesLabelsPage(Wire, frozen=True, kw_only=True):
    items: list[SeriesLabelsOut]
    next_cursor: str | None


class SessionOut(Wire, frozen=True, kw_only=True):
    """A browser in which the caller is logged in."""

    address: str
    agent: str
    created_at: datetime
    current: bool
    expires_at: datetime
    id: str
    last_seen_at: datetime


class SessionPage(Wire, frozen=True, kw_only=True):
    items: list[SessionOut]
    next_cursor: str | None


class ShippedRuleOut(Wire, frozen=True, kw_only=True):
    """A rule that ships, and how the tenant stands to it."""

    about: str
    clear_seconds: int
    condition: dict[str, Any]
    hold_seconds: int
    name: str
    no_data: str
    problem: str | None
    rule_id: str | None
    runbook_url: str
    severity: str
    title: str


class SignBatchIn(Wire, frozen=True, kw_only=True):
    """Up to a thousand at once."""

    items: list[MessageBody]


class SignBatchOut(Wire, frozen=True, kw_only=True):
    """What became of each item, in the order of the request."""

    failed: int
    items: list[SignBatchOutItem]


class SignBatchOutItem(Wire, frozen=True, kw_only=True):
    """A result, or why there is none."""

    error: ItemError | None | UnsetType = UNSET
    result: SignOut | None | UnsetType = UNSET


class SignInOut(Wire, frozen=True, kw_only=True):
    """A log-in, or several that failed within ten seconds."""

    address: str
    agent: str
    at: datetime
    count: int
    id: str
    outcome: str


class SignInPage(Wire, frozen=True, kw_only=True):
    items: list[SignInOut]
    next_cursor: str | None


class SignOut(Wire, frozen=True, kw_only=True):
    """The signature of a message."""

    signature: str
    version: int


class SigningKeyOut(Wire, frozen=True, kw_only=True):
    """A key that signs tokens, or verifies those it has signed; nothing private."""

    algorithm: str
    created_at: datetime
    kid: str
    state: str
    until: datetime | None


class SigningKeyPage(Wire, frozen=True, kw_only=True):
    items: list[SigningKeyOut]
    next_cursor: str | None


class SigningKeyRotated(Wire, frozen=True, kw_only=True):
    """The new signing key."""

    kid: str
    old_keys_until: datetime


class SilenceCalendarOut(Wire, frozen=True, kw_only=True):
    """When silences count, by their beginning."""

    complete: bool
    items: list[SilenceTimeOut]


class SilenceOut(Wire, frozen=True, kw_only=True):
    """A silence and whether it counts."""

    announce_hours: int
    announced_at: datetime | None
    counts_now: bool
    created_at: datetime
    created_by: str
    ended_by: str | None
    ends_at: datetime
    id: str
    kind: str
    matchers: str
    reason: str
    starts_at: datetime
    state: str
    updated_at: datetime
    updated_by: str
    version: str
    windows: list[WeeklyWindowModel]


class SilencePage(Wire, frozen=True, kw_only=True):
    items: list[SilenceOut]
    next_cursor: str | None


class SilencePut(Wire, frozen=True, kw_only=True):
    """What nobody is to be told of, when, and why."""

    ends_at: datetime
    matchers: str
    reason: str
    announce_hours: int | UnsetType = 24
    kind: str | UnsetType = "silence"
    starts_at: datetime | None | UnsetType = UNSET
    windows: list[WeeklyWindowModel] | UnsetType = UNSET


class SilenceTimeOut(Wire, frozen=True, kw_only=True):
    """A stretch in which a silence counts, as far as it was asked for."""

    announced_at: datetime | None
    announces_at: datetime | None
    begins_at: datetime
    ends_at: datetime
    kind: str
    matchers: str
    reason: str
    recurs: bool
    silence_id: str


class SloConditionModel(Wire, frozen=True, kw_only=True):
    """An objective's budget burns: `page` in an hour or six, `ticket` in one or three days."""

    kind: str
    slo_id: str
    severity: str | UnsetType = "page"


class SloDayOut(Wire, frozen=True, kw_only=True):
    """A day of the window; without a value nothing happened."""

    at: datetime
    total: int
    value: float | None


class SloDetailOut(Wire, frozen=True, kw_only=True):
    """The same with its budget, burn rates and days."""

    budget: BudgetOut
    budget_left: float | None
    burns: list[BurnOut]
    created_at: datetime
    created_by: str
    days: list[SloDayOut]
    good: int
    good_metric: str | None
    id: str
    kind: str
    measured_until: datetime | None
    metric: str | None
    name: str
    objective: float
    of: str | None
    reason: str
    since: datetime | None
    state: str
    total: int
    updated_at: datetime
    value: float | None
    value_before: float | None
    version: str
    window_days: int
    within_ms: float | None
    within_seconds: float | None


class SloEvidenceOut(Wire, frozen=True, kw_only=True):
    """What was found, and who recorded it."""

    at: datetime
    created_at: datetime
    created_by: str
    id: str
    kind: str
    note: str
    source: str
    value: float


class SloEvidencePage(Wire, frozen=True, kw_only=True):
    items: list[SloEvidenceOut]
    next_cursor: str | None


class SloOut(Wire, frozen=True, kw_only=True):
    """An objective and how it stands. What is not measured is not met."""

    budget_left: float | None
    created_at: datetime
    created_by: str
    good: int
    good_metric: str | None
    id: str
    kind: str
    measured_until: datetime | None
    metric: str | None
    name: str
    objective: float
    of: str | None
    reason: str
    since: datetime | None
    state: str
    total: int
    updated_at: datetime
    value: float | None
    value_before: float | None
    version: str
    window_days: int
    within_ms: float | None
    within_seconds: float | None


class SloPage(Wire, frozen=True, kw_only=True):
    items: list[SloOut]
    next_cursor: str | None


class SloPanel(Wire, frozen=True, kw_only=True):
    """Asks `GET /api/v1/slos`; of the platform's dashboards, the platform's objectives."""

    name: str | None | UnsetType = UNSET


class SloPut(Wire, frozen=True, kw_only=True):
    """
    What is promised. What the kind does not need is left out.

    `availability`: API requests that the platform serves (no 5xx). `latency`: those that last
    `within_ms` at most. `success`: what ends well of `of`: `emails`, `jobs`, or `metric`, which is
    the counter `good_metric` of the counter `metric`. `freshness`: looks, one a minute, at which
    `metric` was recorded in the last `within_seconds`.
    """

    kind: str
    name: str
    objective: float
    good_metric: str | None | UnsetType = UNSET
    metric: str | None | UnsetType = UNSET
    of: str | None | UnsetType = UNSET
    window_days: int | UnsetType = 30
    within_ms: float | None | UnsetType = UNSET
    within_seconds: float | None | UnsetType = UNSET


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


class SpanOut(Wire, frozen=True, kw_only=True):
    """A span at its place in the tree; the list is depth first."""

    attributes: dict[str, Any]
    depth: int
    duration_ms: float
    events: list[dict[str, Any]]
    kind: int
    links: list[dict[str, Any]]
    message: str
    name: str
    offset_ms: float
    orphan: bool
    parent_id: str
    resource: dict[str, Any]
    self_ms: float
    service: str
    span_id: str
    status: int


class StatusOut(Wire, frozen=True, kw_only=True):
    """How the platform is and was. What nobody looked at is neither up nor down."""

    checks: list[CheckStatusOut]
    incidents: list[IncidentOut]
    measured: float
    points: list[HealthPointOut]
    since: datetime
    status: str
    step_seconds: int
    until: datetime
    uptime: float | None


class StreamOut(Wire, frozen=True, kw_only=True):
    """Where the trail goes, and how far it has come."""

    behind: int
    ca_certificate: str | None
    delivered_at: datetime | None
    failures: int
    format: str
    kind: str
    last_error: str | None
    next_try_at: datetime | None
    paused: bool
    seq: int
    target: str
    updated_at: datetime
    updated_by: str


class StreamPut(Wire, frozen=True, kw_only=True):
    """Where the trail is to go."""

    kind: str
    target: str
    ca_certificate: str | None | UnsetType = UNSET
    format: str | UnsetType = "ndjson"
    from_beginning: bool | UnsetType = False
    paused: bool | UnsetType = False


class StreamSavedOut(Wire, frozen=True, kw_only=True):
    """The stream; of a new one with the secret that its requests are signed with."""

    behind: int
    ca_certificate: str | None
    delivered_at: datetime | None
    failures: int
    format: str
    kind: str
    last_error: str | None
    next_try_at: datetime | None
    paused: bool
    seq: int
    target: str
    updated_at: datetime
    updated_by: str
    secret: str | None | UnsetType = UNSET
    secret_withheld: str | None | UnsetType = UNSET


class StretchOut(Wire, frozen=True, kw_only=True):
    """How many records begin with a moment, until the next stretch."""

    at: datetime
    count: int


class SubjectErase(Wire, frozen=True, kw_only=True):
    """Who is to be forgotten: by id, by address, or by both if the address is that person's."""

    address: str | None | UnsetType = UNSET
    user_id: str | None | UnsetType = UNSET


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
    relay: str | None
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


class TaskModel(Wire, frozen=True, kw_only=True):
    """One job of a graph."""

    kind: str
    name: str
    args: dict[str, Any] | UnsetType = UNSET
    backoff_seconds: float | UnsetType = 1.0
    condition: list[ConditionModel] | UnsetType = UNSET
    delay_seconds: float | UnsetType = 0.0
    depends_on: list[str] | UnsetType = UNSET
    foreach: ForeachModel | None | UnsetType = UNSET
    grows: str | None | UnsetType = UNSET
    max_attempts: int | UnsetType = 5
    priority: int | UnsetType = 0
    runs_on: str | UnsetType = "success"
    timeout_seconds: float | UnsetType = 60.0


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


class TemplatePreviewCreate(Wire, frozen=True, kw_only=True):
    """A template as it is written now, and what to fill in."""

    subject: str
    html: str | None | UnsetType = UNSET
    text: str | None | UnsetType = UNSET
    variables: dict[str, Any] | UnsetType = UNSET


class TemplatePreviewOut(Wire, frozen=True, kw_only=True):
    """What a template becomes; the texts are null where variables are missing, or it has none."""

    html: str | None
    missing: list[str]
    subject: str | None
    text: str | None
    variables: list[VariableOut]


class TemplatePut(Wire, frozen=True, kw_only=True):
    """A template's text; Jinja2 in a sandbox without calls."""

    subject: str
    html: str | None | UnsetType = UNSET
    text: str | None | UnsetType = UNSET


class TenantCertificateOut(Wire, frozen=True, kw_only=True):
    """What went of a tenant that left, and the last link of its audit trail, which stays."""

    audit_root: str
    audit_seq: int
    begun_at: datetime
    counts: dict[str, int]
    deleted_at: datetime
    deleted_by: str
    finished_at: datetime
    id: str
    key_id: str | None
    name: str
    signature: str | None
    slug: str
    statement: str | None
    tenant_created_at: datetime
    tenant_id: str


class TenantCertificatePage(Wire, frozen=True, kw_only=True):
    items: list[TenantCertificateOut]
    next_cursor: str | None


class TenantCreate(Wire, frozen=True, kw_only=True):
    """A new tenant, and who shall own it."""

    name: str
    slug: str
    owner_email: str | None | UnsetType = UNSET


class TenantCreatedOut(Wire, frozen=True, kw_only=True):
    """A new tenant, with the link by which its first owner comes in if somebody was invited."""

    created_at: datetime
    id: str
    name: str
    plan: str
    purge_at: datetime | None
    reason: str | None
    slug: str
    state: str
    state_since: datetime | None
    owner_invitation_link: str | None | UnsetType = UNSET
    secret_withheld: str | None | UnsetType = UNSET


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


class TenantSealCreate(Wire, frozen=True, kw_only=True):
    """Why a tenant's keys are sealed."""

    reason: str


class TenantSealOut(Wire, frozen=True, kw_only=True):
    """Whether a tenant's keys are sealed."""

    reason: str | None
    sealed: bool
    sealed_at: datetime | None
    sealed_by: str | None
    tenant_id: str


class TenantServedOut(Wire, frozen=True, kw_only=True):
    """What one tenant asked for in the window."""

    error_rate: float | None
    id: str
    name: str
    p95_ms: float | None
    requests: int
    slug: str


class TenantSuspend(Wire, frozen=True, kw_only=True):
    """Why a tenant is suspended: its own people and programs are told so."""

    reason: str


class TextPanel(Wire, frozen=True, kw_only=True):
    """Says something, in Markdown without HTML."""

    markdown: str


class TokenResponse(Wire, frozen=True, kw_only=True):
    access_token: str
    expires_in: int
    token_type: str
    id_token: str | UnsetType = UNSET
    issued_token_type: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    tenant: str | UnsetType = UNSET


class TotpCode(Wire, frozen=True, kw_only=True):
    """What the authenticator app shows now."""

    code: str


class TotpEnrolmentOut(Wire, frozen=True, kw_only=True):
    """A secret that counts once a code of it was given."""

    qr_svg: str | UnsetType = ""
    secret: str | UnsetType = ""
    secret_withheld: str | None | UnsetType = UNSET
    uri: str | UnsetType = ""


class TouchedOut(Wire, frozen=True, kw_only=True):
    """Somebody, and what they would gain and lose."""

    gains: list[str]
    loses: list[str]
    name: str
    subject: str


class TraceConditionModel(Wire, frozen=True, kw_only=True):
    """Spans a minute, the share that failed (0 to 1), or how many milliseconds they took."""

    compare: str
    kind: str
    measure: str
    service: str
    threshold: float
    by_operation: bool | UnsetType = False
    minutes: int | UnsetType = 5
    operation: str | None | UnsetType = UNSET
    quantile: float | UnsetType = 0.95


class TraceCountsOut(Wire, frozen=True, kw_only=True):
    """What became of today's spans, in UTC; up to a minute old."""

    dropped_by_overflow: int
    dropped_by_policy: int
    forwarded: int
    kept: int
    kept_by_log: int
    kept_bytes: int
    not_forwarded: int
    rejected: int


class TraceOut(Wire, frozen=True, kw_only=True):
    """A kept trace."""

    created_at: datetime
    duration_ms: float
    errors: int
    execution_id: str
    id: str
    kept_for: str
    name: str
    request_id: str
    service: str
    size_bytes: int
    spans: int
    started_at: datetime
    trace_id: str
    workflow_id: str


class TracePage(Wire, frozen=True, kw_only=True):
    items: list[TraceOut]
    next_cursor: str | None


class TraceSettingsOut(Wire, frozen=True, kw_only=True):
    """What holds, what the tenant said of it, and what came of it today."""

    keep_days: int
    keep_sampled: bool
    max_keep_days: int
    own_keep_days: int | None
    own_share: float | None
    share: float
    today: TraceCountsOut
    updated_at: datetime | None
    updated_by: str | None


class TraceSettingsPut(Wire, frozen=True, kw_only=True):
    """What the tenant wants kept; null is the operator's."""

    keep_days: int | None | UnsetType = UNSET
    keep_sampled: bool | UnsetType = True
    share: float | None | UnsetType = UNSET


class TraceTreeOut(Wire, frozen=True, kw_only=True):
    """One trace with its spans."""

    spans: list[SpanOut]
    trace: TraceOut


class TracesPanel(Wire, frozen=True, kw_only=True):
    """
    Asks `GET /api/v1/traces`, or `GET /api/v1/trace-operations` for rates and times.

    Operations are of the last six hours at most, and narrowed down by the service alone.
    """

    failed: bool | None | UnsetType = UNSET
    min_ms: float | None | UnsetType = UNSET
    operation: str | None | UnsetType = UNSET
    service: str | None | UnsetType = UNSET
    show: str | UnsetType = "operations"
    workflow_id: str | None | UnsetType = UNSET


class TriedFiringOut(Wire, frozen=True, kw_only=True):
    """An alert that would have been."""

    ended_at: datetime | None
    fired_at: datetime
    since: datetime
    value: float | None


class TriedLineOut(Wire, frozen=True, kw_only=True):
    """A set of labels: what was measured a look, and what would have become of it."""

    firings: list[TriedFiringOut]
    firings_left_out: int
    labels: dict[str, str]
    points: list[float | None]


class UsageDayOut(Wire, frozen=True, kw_only=True):
    """What a tenant did on one day, in UTC, and what it had when that was looked up last."""

    day: str
    emails_accepted: int
    emails_bounced: int
    jobs_ended: int
    members: int
    requests: int
    storage_bytes: int


class UsageOut(Wire, frozen=True, kw_only=True):
    """Days with any figures, in order, and what there is now."""

    days: list[UsageDayOut]
    now: dict[str, int]


class UsagePanel(Wire, frozen=True, kw_only=True):
    """Asks `GET /api/v1/usage`, which counts by day."""

    show: str | UnsetType = "requests"


class UserDetailOut(Wire, frozen=True, kw_only=True):
    """A person, and where they belong."""

    created_at: datetime
    disabled: bool
    email: str
    id: str
    name: str
    platform_role: str | None
    tenants: list[UserPlaceOut]


class UserInfo(Wire, frozen=True, kw_only=True):
    sub: str
    email: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


class UserOut(Wire, frozen=True, kw_only=True):
    """A person who logs in here."""

    created_at: datetime
    disabled: bool
    email: str
    id: str
    name: str
    platform_role: str | None


class UserPage(Wire, frozen=True, kw_only=True):
    items: list[UserOut]
    next_cursor: str | None


class UserPlaceOut(Wire, frozen=True, kw_only=True):
    """A tenant that the person belongs to."""

    disabled: bool
    id: str
    name: str
    role: str
    slug: str
    state: str


class VariableOut(Wire, frozen=True, kw_only=True):
    """A variable that a template uses."""

    name: str
    required: bool


class VerdictOut(Wire, frozen=True, kw_only=True):
    """
    How it is, in one sentence, with the cause when it is not well.

    `idle` is neither well nor wrong: nothing was asked, so nothing can be said of errors. `unknown`
    is worse than a warning: nobody has looked.
    """

    address: str
    cause: str
    others: list[CauseOut]
    sentence: str
    severity: str


class VerifyBatchIn(Wire, frozen=True, kw_only=True):
    """Up to a thousand at once."""

    items: list[VerifyBody]


class VerifyBatchOut(Wire, frozen=True, kw_only=True):
    """What became of each item, in the order of the request."""

    failed: int
    items: list[VerifyBatchOutItem]


class VerifyBatchOutItem(Wire, frozen=True, kw_only=True):
    """A result, or why there is none."""

    error: ItemError | None | UnsetType = UNSET
    result: VerifyOut | None | UnsetType = UNSET


class VerifyBody(Wire, frozen=True, kw_only=True):
    """A message and its signature, or its MAC."""

    message: str
    signature: str


class VerifyOut(Wire, frozen=True, kw_only=True):
    """
    Whether the key made this signature of this message, and its version may still be used.

        What is no signature at all was not made by it either: that is no error.
    """

    valid: bool


class WantedOut(Wire, frozen=True, kw_only=True):
    """What is in a file."""

    action: str | None
    actor: str | None
    after: datetime | None
    before: datetime | None
    execution: str | None
    request_id: str | None
    target: str | None
    workflow: str | None


class WebhookDeliveryDetailOut(Wire, frozen=True, kw_only=True):
    """The same with what was sent."""

    at: datetime
    attempt: int
    body: dict[str, Any] | None
    error: str | None
    event_id: str
    id: str
    kind: str
    milliseconds: int
    outcome: str
    seq: int
    status: int | None
    subject: str


class WebhookDeliveryOut(Wire, frozen=True, kw_only=True):
    """One try to tell it of one event."""

    at: datetime
    attempt: int
    error: str | None
    event_id: str
    id: str
    kind: str
    milliseconds: int
    outcome: str
    seq: int
    status: int | None
    subject: str


class WebhookDeliveryPage(Wire, frozen=True, kw_only=True):
    items: list[WebhookDeliveryOut]
    next_cursor: str | None


class WebhookMadeOut(Wire, frozen=True, kw_only=True):
    """A webhook, and the secret of its signatures."""

    behind: int
    created_at: datetime
    created_by: str
    delivered_at: datetime | None
    enabled: bool
    failing_since: datetime | None
    failures: int
    host: str
    id: str
    key_version: int
    kinds: list[str]
    last_error: str | None
    name: str
    next_try_at: datetime | None
    seq: int
    stopped_why: str | None
    subject: str
    updated_at: datetime
    updated_by: str
    version: str
    secret: str | None | UnsetType = UNSET
    secret_withheld: str | None | UnsetType = UNSET


class WebhookOut(Wire, frozen=True, kw_only=True):
    """A webhook; of its address the host alone is told."""

    behind: int
    created_at: datetime
    created_by: str
    delivered_at: datetime | None
    enabled: bool
    failing_since: datetime | None
    failures: int
    host: str
    id: str
    key_version: int
    kinds: list[str]
    last_error: str | None
    name: str
    next_try_at: datetime | None
    seq: int
    stopped_why: str | None
    subject: str
    updated_at: datetime
    updated_by: str
    version: str


class WebhookPage(Wire, frozen=True, kw_only=True):
    items: list[WebhookOut]
    next_cursor: str | None


class WebhookPost(Wire, frozen=True, kw_only=True):
    """A program that is to be told of events."""

    kinds: list[str]
    name: str
    url: str
    enabled: bool | UnsetType = True
    since_seq: int | None | UnsetType = UNSET
    subject: str | UnsetType = ""


class WebhookPut(Wire, frozen=True, kw_only=True):
    """A program that is told of events."""

    kinds: list[str]
    name: str
    enabled: bool | UnsetType = True
    subject: str | UnsetType = ""
    url: str | None | UnsetType = UNSET


class WebhookReplay(Wire, frozen=True, kw_only=True):
    """From where on it is told again."""

    after_seq: int | None | UnsetType = UNSET
    since: datetime | None | UnsetType = UNSET


class WeeklyWindowModel(Wire, frozen=True, kw_only=True):
    """A stretch of time on some days of each week, by the clocks of a zone."""

    days: list[str]
    from_: str = field(name="from")
    until: str
    zone: str


class WorkerLoadOut(Wire, frozen=True, kw_only=True):
    """How much of a worker a tenant has."""

    running: int
    tenant_id: str


class WorkerOut(Wire, frozen=True, kw_only=True):
    """A process that runs jobs."""

    beat_at: datetime
    drained: bool
    host: str
    id: str
    pid: int
    running: int
    slots: int | None
    started_at: datetime
    state: str
    tenants: list[WorkerLoadOut]
    version: str | None


class WorkerPage(Wire, frozen=True, kw_only=True):
    items: list[WorkerOut]
    next_cursor: str | None


class WorkerSwitchedOut(Wire, frozen=True, kw_only=True):
    """A worker that was told to drain, or to go on."""

    beat_at: datetime
    drained: bool
    host: str
    id: str
    pid: int
    running: int
    slots: int | None
    started_at: datetime
    state: str
    tenants: list[WorkerLoadOut]
    version: str | None
    working: int


class WorkersOut(Wire, frozen=True, kw_only=True):
    """The platform's workers, without which no tenant's mail goes out."""

    alive: int
    draining: int
    seen_at: datetime | None
