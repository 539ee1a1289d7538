"""The alerting room's work for the platform."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.alerting.models import (
    AlertNoteRow,
    AlertRow,
    AlertRuleRow,
    IncidentAlertRow,
    IncidentRow,
    MessageRow,
    NotificationRow,
    OverrideRow,
    ScheduleRow,
    SilenceRow,
)

ACTOR: Final = "system:alerting"
"""Who acts when nobody asks."""

LOOKING: Final = Errand("alerting.looking", tables_of(AlertRuleRow, AlertRow))
"""Finding whose rules are due and whose alerts have expired; what is done is each tenant's."""

ANNOUNCING: Final = Errand("alerting.announcing", tables_of(SilenceRow))
"""Finding maintenance that is to be announced, and silences that are over."""

HANDING_OVER: Final = Errand("alerting.handing_over", tables_of(ScheduleRow))
"""Finding whose on-call schedules are to be looked at for who begins and who ends."""

TELLING: Final = Errand("alerting.telling", tables_of(NotificationRow))
"""Finding whose people are to be told of something now."""

FORGETTING: Final = Errand(
    "alerting.forgetting",
    tables_of(
        *(AlertRow, AlertNoteRow, MessageRow, NotificationRow),
        *(IncidentRow, IncidentAlertRow, SilenceRow, OverrideRow),
    ),
)
"""Forgetting alerts, incidents, silences and overrides that have long been over."""
