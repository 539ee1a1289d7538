"""The alerting room's work for the platform."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.alerting.models import AlertNoteRow, AlertRow, AlertRuleRow

LOOKING: Final = Errand("alerting.looking", tables_of(AlertRuleRow, AlertRow))
"""Finding whose rules are due and whose alerts have expired; what is done is each tenant's."""

FORGETTING: Final = Errand("alerting.forgetting", tables_of(AlertRow, AlertNoteRow))
"""Forgetting alerts that were over long ago."""
