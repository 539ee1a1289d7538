"""Alerting: from a bad number to the right person, once, and a record of it all.

Owns the tables ``alert_rules``, ``alert_records``, ``alert_notes`` and ``alert_heartbeats``. Audits
``alert_rule.created``, ``.changed`` and ``.deleted``, ``alert.raised``, ``.acknowledged``,
``.snoozed``, ``.assigned``, ``.resolved`` and ``.commented``, ``heartbeat.received``. Emits
``alert.fired``, ``alert.acknowledged`` and ``alert.resolved``.
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
from backend.managers.alerting._raised import Raised
from backend.managers.alerting._rules import Rule, RuleDraft
from backend.managers.alerting.errands import FORGETTING, LOOKING
from backend.managers.alerting.errors import (
    AlertNotFoundError,
    AlertOverError,
    ConditionInvalidError,
    MatcherInvalidError,
    RuleChangedError,
    RuleExistsError,
    RuleNotFoundError,
    TooManyAlertsError,
    TooManyRulesError,
)
from backend.managers.alerting.manager import AlertingManager
from backend.managers.alerting.models import AlertNoteRow, AlertRow, AlertRuleRow, HeartbeatRow
from backend.managers.alerting.routes import router, rules_router
from backend.managers.alerting.settings import AlertingSettings

ROOM = Room(
    name="alerting",
    manager=AlertingManager,
    models=(AlertRuleRow, AlertRow, AlertNoteRow, HeartbeatRow),
    errands=(LOOKING, FORGETTING),
    permissions={
        "alert:read": VIEWER | WORKFLOW,
        "alert:write": OPERATOR | WORKFLOW,
        "alert_rule:read": VIEWER,
        "alert_rule:write": OPERATOR,
    },
    routers=(rules_router, router),
    events={
        "alert.fired": "alert:read",
        "alert.acknowledged": "alert:read",
        "alert.resolved": "alert:read",
    },
    sweeps=(Sweep(FORGETTING, AlertingManager.sweep),),
    ticks=(Tick("alerting.look", LOOK_SECONDS, AlertingManager.look),),
)

__all__ = [
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
    "LogCondition",
    "Looked",
    "Matcher",
    "MatcherInvalidError",
    "MetricCondition",
    "Note",
    "Raised",
    "Rule",
    "RuleChangedError",
    "RuleDraft",
    "RuleExistsError",
    "RuleNotFoundError",
    "SloCondition",
    "TooManyAlertsError",
    "TooManyRulesError",
    "read_condition",
    "read_matchers",
]
