"""The security room's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.security.models import DataKey

SEALING: Final = tables_of(DataKey)
"""What sealing and opening read: for the errands of upper rooms."""

CHECK_KEYS: Final = Errand("security.check_keys", SEALING, of_platform=True)
"""Trying the root key on every tenant's data keys."""
