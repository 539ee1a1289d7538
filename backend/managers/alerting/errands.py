"""The alerting room's work for the platform."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.alerting.models import (
    AlertNoteRow,
    AlertRow,
    AlertRuleRow,
    OverrideRow,
    SilenceRow,
)

LOOKING: Final = Errand("alerting.looking", tables_of(AlertRuleRow, AlertRow))
"""Finding whose rules are due and whose alerts have expired; what is done is each tenant's."""

ANNOUNCING: Final = Errand("alerting.announcing", tables_of(SilenceRow))
"""Finding maintenance that is to be announced, and silences that are over."""

FORGETTING: Final = Errand(
    "alerting.forgetting", tables_of(AlertRow, AlertNoteRow, SilenceRow, OverrideRow)
)
"""Forgetting alerts, silences and overrides that have long been over."""
