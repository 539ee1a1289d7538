"""Alerting: from a bad number to the right person, once, and a record of it all.

Owns the tables ``alert_rules``, ``alert_records``, ``alert_notes`` and ``alert_heartbeats``. Audits
``alert_rule.created``, ``.changed`` and ``.deleted``, ``alert.raised``, ``.acknowledged``,
``.snoozed``, ``.assigned``, ``.resolved`` and ``.commented``, ``heartbeat.received``. Emits
``alert.fired``, ``alert.acknowledged`` and ``alert.resolved``.

Owns ``alert_silences`` as well: audits ``silence.created``, ``.changed`` and ``.expired``, emits
the first and the last, and ``maintenance.announced``. And ``on_call_schedules`` with
``on_call_overrides``: audits ``on_call_schedule.created``, ``.changed`` and ``.deleted``,
``on_call_override.created`` and ``.deleted``. Who begins and who ends is told by mail where the
schedule says so.

Owns ``alert_channels``, ``alert_policies``, ``alert_routings``, ``alert_notifications`` and
``alert_messages``: audits ``alert_channel.created``, ``.changed``, ``.tested`` and ``.deleted``,
``alert_policy.created``, ``.changed`` and ``.deleted``, ``alert_routing.changed``. Its job is
``alert.tell``.

Owns ``alert_incidents`` and ``alert_incident_alerts``: audits ``incident.created``, ``.changed``,
``.joined``, ``.acknowledged``, ``.resolved`` and ``.commented``, emits ``incident.opened`` and
``incident.resolved``.
"""

from functools import partial

from backend.core.cursors import EventConsumer
from backend.core.room import ADMIN, OPERATOR, VIEWER, WORKFLOW, Room, SealedColumn, Sweep, Tick
from backend.managers.alerting._alerts import Alert, Note
from backend.managers.alerting._catalogue import CATALOGUE
from backend.managers.alerting._channels import Channel, ChannelDraft, target_place
from backend.managers.alerting._conditions import (
    Condition,
    HeartbeatCondition,
    LogCondition,
    MetricCondition,
    SloCondition,
    read_condition,
)
from backend.managers.alerting._counting import AuditCondition, EventCondition
from backend.managers.alerting._foretelling import AnomalyCondition, ForecastCondition
from backend.managers.alerting._handover import HAND_OVER_SECONDS
from backend.managers.alerting._looking import LOOK_SECONDS, Looked
from backend.managers.alerting._matching import Matcher, read_matchers
from backend.managers.alerting._on_call import Layer, Shift
from backend.managers.alerting._policies import Policy, PolicyDraft, Step
from backend.managers.alerting._raised import Raised
from backend.managers.alerting._rules import Rule, RuleDraft
from backend.managers.alerting._schedules import (
    KeptOverride,
    KeptSchedule,
    OnCall,
    OverrideDraft,
    ScheduleDraft,
)
from backend.managers.alerting._seeing import (
    HealthCondition,
    LogPatternCondition,
    PrometheusCondition,
    TraceCondition,
)
from backend.managers.alerting._silences import ANNOUNCE_SECONDS, KeptSilence, SilenceDraft
from backend.managers.alerting._telling import CURSOR, TELL_SECONDS, Told
from backend.managers.alerting._tree import Routing
from backend.managers.alerting._trying import Firing, Tried, TriedLine
from backend.managers.alerting.errands import (
    ANNOUNCING,
    FORGETTING,
    HANDING_OVER,
    LOOKING,
    TELLING,
)
from backend.managers.alerting.errors import (
    AlertNotFoundError,
    AlertOverError,
    ConditionInvalidError,
    MatcherInvalidError,
    NoHistoryError,
    OverrideInvalidError,
    OverrideNotFoundError,
    RuleChangedError,
    RuleExistsError,
    RuleFileInvalidError,
    RuleNotFoundError,
    ScheduleChangedError,
    ScheduleExistsError,
    ScheduleInUseError,
    ScheduleNotFoundError,
    ShiftRangeError,
    ShippedNotFoundError,
    SilenceChangedError,
    SilenceInvalidError,
    SilenceNotFoundError,
    SilenceOverError,
    TimesInvalidError,
    TooManyAlertsError,
    TooManyOverridesError,
    TooManyRulesError,
    TooManySchedulesError,
    TooManySilencesError,
)
from backend.managers.alerting.manager import AlertingManager, Offered
from backend.managers.alerting.models import (
    AlertNoteRow,
    AlertRow,
    AlertRuleRow,
    ChannelRow,
    HeartbeatRow,
    IncidentAlertRow,
    IncidentRow,
    MessageRow,
    NotificationRow,
    OverrideRow,
    PolicyRow,
    RoutingRow,
    ScheduleRow,
    SilenceRow,
)
from backend.managers.alerting.settings import AlertingSettings

ROOM = Room(
    name="alerting",
    manager=AlertingManager,
    models=(
        *(AlertRuleRow, AlertRow, AlertNoteRow, HeartbeatRow),
        *(SilenceRow, ScheduleRow, OverrideRow),
        *(ChannelRow, PolicyRow, RoutingRow, NotificationRow, MessageRow),
        *(IncidentRow, IncidentAlertRow),
    ),
    errands=(LOOKING, ANNOUNCING, HANDING_OVER, TELLING, FORGETTING),
    sealed=(SealedColumn(ChannelRow, "sealed_target", lambda row: target_place(row["id"])),),
    job_kinds=(lambda alerting, database: alerting.sending.kind(database),),
    consumers=(
        lambda alerting, database: EventConsumer(CURSOR, partial(alerting.telling.take, database)),
    ),
    permissions={
        "alert:read": VIEWER | WORKFLOW,
        "alert:write": OPERATOR | WORKFLOW,
        "alert_rule:read": VIEWER,
        "alert_rule:write": OPERATOR,
        "silence:read": VIEWER | WORKFLOW,
        "silence:write": OPERATOR | WORKFLOW,
        "on_call:read": VIEWER,
        "on_call:write": OPERATOR,
        "alert_channel:read": VIEWER,
        "alert_channel:write": ADMIN,
        "alert_routing:read": VIEWER,
        "alert_routing:write": OPERATOR,
        "incident:read": VIEWER | WORKFLOW,
        "incident:write": OPERATOR | WORKFLOW,
    },
    routers=(
        "backend.managers.alerting.routes:rules_router",
        "backend.managers.alerting.routes:router",
        "backend.managers.alerting.silence_routes:silences_router",
        "backend.managers.alerting.silence_routes:silence_calendar_router",
        "backend.managers.alerting.on_call_routes:on_call_router",
        "backend.managers.alerting.telling_routes:channels_router",
        "backend.managers.alerting.telling_routes:routing_router",
        "backend.managers.alerting.incident_routes:incidents_router",
        "backend.managers.alerting.alertmanager_routes:alertmanager_router",
        "backend.managers.alerting.alertmanager_routes:grafana_router",
        "backend.managers.alerting.import_routes:import_router",
    ),
    events={
        "alert.fired": "alert:read",
        "alert.acknowledged": "alert:read",
        "alert.resolved": "alert:read",
        "incident.opened": "incident:read",
        "incident.resolved": "incident:read",
        "silence.created": "silence:read",
        "silence.expired": "silence:read",
        "maintenance.announced": "silence:read",
    },
    ticks=(
        Tick("alerting.look", LOOK_SECONDS, AlertingManager.look),
        Tick(
            "alerting.announce",
            ANNOUNCE_SECONDS,
            lambda alerting, database: alerting.silences.tell_due(database),
        ),
        Tick(
            "alerting.hand_over",
            HAND_OVER_SECONDS,
            lambda alerting, database: alerting.handovers.run(database),
        ),
        Tick(
            "alerting.tell",
            TELL_SECONDS,
            lambda alerting, database: alerting.telling.run(database),
        ),
    ),
    sweeps=(
        Sweep(FORGETTING, AlertingManager.sweep),
        Sweep(FORGETTING, lambda alerting, tx: alerting.silences.sweep(tx)),
        Sweep(FORGETTING, lambda alerting, tx: alerting.schedules.sweep(tx)),
        Sweep(FORGETTING, lambda alerting, tx: alerting.telling.sweep(tx)),
    ),
    erasures={
        ScheduleRow.__tablename__: lambda alerting, tx, who, _: alerting.schedules.erase(tx, who),
        ChannelRow.__tablename__: lambda alerting, tx, who, _: alerting.channels.erase(tx, who),
    },
)

__all__ = [
    "ANNOUNCING",
    "CATALOGUE",
    "FORGETTING",
    "LOOKING",
    "ROOM",
    "TELLING",
    "Alert",
    "AlertNotFoundError",
    "AlertOverError",
    "AlertingManager",
    "AlertingSettings",
    "AnomalyCondition",
    "AuditCondition",
    "Channel",
    "ChannelDraft",
    "Condition",
    "ConditionInvalidError",
    "EventCondition",
    "Firing",
    "ForecastCondition",
    "HealthCondition",
    "HeartbeatCondition",
    "KeptOverride",
    "KeptSchedule",
    "KeptSilence",
    "Layer",
    "LogCondition",
    "LogPatternCondition",
    "Looked",
    "Matcher",
    "MatcherInvalidError",
    "MetricCondition",
    "NoHistoryError",
    "Note",
    "Offered",
    "OnCall",
    "OverrideDraft",
    "OverrideInvalidError",
    "OverrideNotFoundError",
    "Policy",
    "PolicyDraft",
    "PrometheusCondition",
    "Raised",
    "Routing",
    "Rule",
    "RuleChangedError",
    "RuleDraft",
    "RuleExistsError",
    "RuleFileInvalidError",
    "RuleNotFoundError",
    "ScheduleChangedError",
    "ScheduleDraft",
    "ScheduleExistsError",
    "ScheduleInUseError",
    "ScheduleNotFoundError",
    "Shift",
    "ShiftRangeError",
    "ShippedNotFoundError",
    "SilenceChangedError",
    "SilenceDraft",
    "SilenceInvalidError",
    "SilenceNotFoundError",
    "SilenceOverError",
    "SloCondition",
    "Step",
    "TimesInvalidError",
    "Told",
    "TooManyAlertsError",
    "TooManyOverridesError",
    "TooManyRulesError",
    "TooManySchedulesError",
    "TooManySilencesError",
    "TraceCondition",
    "Tried",
    "TriedLine",
    "read_condition",
    "read_matchers",
]
