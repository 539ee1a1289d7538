"""Alerting: from a bad number to the right person, once, and a record of it all.

Owns the tables ``alert_rules``, ``alert_records``, ``alert_notes`` and ``alert_heartbeats``. Audits
``alert_rule.created``, ``.changed`` and ``.deleted``, ``alert.raised``, ``.acknowledged``,
``.snoozed``, ``.assigned``, ``.resolved`` and ``.commented``, ``heartbeat.received``. Emits
``alert.fired``, ``alert.acknowledged`` and ``alert.resolved``.

Owns ``alert_silences`` as well: audits ``silence.created``, ``.changed`` and ``.expired``, emits
the first and the last, and ``maintenance.announced``. And ``on_call_schedules`` with
``on_call_overrides``: audits ``on_call_schedule.created``, ``.changed`` and ``.deleted``,
``on_call_override.created`` and ``.deleted``.
"""

from backend.core.room import OPERATOR, VIEWER, WORKFLOW, Room, Sweep, Tick
from backend.managers.alerting._alerts import Alert, Note
from backend.managers.alerting._conditions import (
    Condition,
    HeartbeatCondition,
    LogCondition,
    MetricCondition,
    SloCondition,
    read_condition,
)
from backend.managers.alerting._looking import LOOK_SECONDS, Looked
from backend.managers.alerting._matching import Matcher, read_matchers
from backend.managers.alerting._on_call import Layer, Shift
from backend.managers.alerting._raised import Raised
from backend.managers.alerting._rules import Rule, RuleDraft
from backend.managers.alerting._schedules import (
    KeptOverride,
    KeptSchedule,
    OnCall,
    OverrideDraft,
    ScheduleDraft,
)
from backend.managers.alerting._silences import ANNOUNCE_SECONDS, KeptSilence, SilenceDraft
from backend.managers.alerting.errands import ANNOUNCING, FORGETTING, LOOKING
from backend.managers.alerting.errors import (
    AlertNotFoundError,
    AlertOverError,
    ConditionInvalidError,
    MatcherInvalidError,
    OverrideInvalidError,
    OverrideNotFoundError,
    RuleChangedError,
    RuleExistsError,
    RuleNotFoundError,
    ScheduleChangedError,
    ScheduleExistsError,
    ScheduleNotFoundError,
    ShiftRangeError,
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
from backend.managers.alerting.manager import AlertingManager
from backend.managers.alerting.models import (
    AlertNoteRow,
    AlertRow,
    AlertRuleRow,
    HeartbeatRow,
    OverrideRow,
    ScheduleRow,
    SilenceRow,
)
from backend.managers.alerting.on_call_routes import on_call_router
from backend.managers.alerting.routes import router, rules_router
from backend.managers.alerting.settings import AlertingSettings
from backend.managers.alerting.silence_routes import silences_router

ROOM = Room(
    name="alerting",
    manager=AlertingManager,
    models=(
        *(AlertRuleRow, AlertRow, AlertNoteRow, HeartbeatRow),
        *(SilenceRow, ScheduleRow, OverrideRow),
    ),
    errands=(LOOKING, ANNOUNCING, FORGETTING),
    permissions={
        "alert:read": VIEWER | WORKFLOW,
        "alert:write": OPERATOR | WORKFLOW,
        "alert_rule:read": VIEWER,
        "alert_rule:write": OPERATOR,
        "silence:read": VIEWER | WORKFLOW,
        "silence:write": OPERATOR | WORKFLOW,
        "on_call:read": VIEWER,
        "on_call:write": OPERATOR,
    },
    routers=(rules_router, router, silences_router, on_call_router),
    events={
        "alert.fired": "alert:read",
        "alert.acknowledged": "alert:read",
        "alert.resolved": "alert:read",
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
    ),
    sweeps=(
        Sweep(FORGETTING, AlertingManager.sweep),
        Sweep(FORGETTING, lambda alerting, tx: alerting.silences.sweep(tx)),
        Sweep(FORGETTING, lambda alerting, tx: alerting.schedules.sweep(tx)),
    ),
    erasures={
        ScheduleRow.__tablename__: lambda alerting, tx, who, _: alerting.schedules.erase(tx, who)
    },
)

__all__ = [
    "ANNOUNCING",
    "FORGETTING",
    "LOOKING",
    "ROOM",
    "Alert",
    "AlertNotFoundError",
    "AlertOverError",
    "AlertingManager",
    "AlertingSettings",
    "Condition",
    "ConditionInvalidError",
    "HeartbeatCondition",
    "KeptOverride",
    "KeptSchedule",
    "KeptSilence",
    "Layer",
    "LogCondition",
    "Looked",
    "Matcher",
    "MatcherInvalidError",
    "MetricCondition",
    "Note",
    "OnCall",
    "OverrideDraft",
    "OverrideInvalidError",
    "OverrideNotFoundError",
    "Raised",
    "Rule",
    "RuleChangedError",
    "RuleDraft",
    "RuleExistsError",
    "RuleNotFoundError",
    "ScheduleChangedError",
    "ScheduleDraft",
    "ScheduleExistsError",
    "ScheduleNotFoundError",
    "Shift",
    "ShiftRangeError",
    "SilenceChangedError",
    "SilenceDraft",
    "SilenceInvalidError",
    "SilenceNotFoundError",
    "SilenceOverError",
    "SloCondition",
    "TimesInvalidError",
    "TooManyAlertsError",
    "TooManyOverridesError",
    "TooManyRulesError",
    "TooManySchedulesError",
    "TooManySilencesError",
    "read_condition",
    "read_matchers",
]
