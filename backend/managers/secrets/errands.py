"""The room's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.secrets.models import GrantRow, SecretRow, TokenRow, TotalRow, VersionRow

EXPIRY: Final = Errand("secrets.expiry", tables_of(SecretRow, VersionRow, GrantRow, TotalRow))
"""Telling of values whose time comes, and destroying those whose time is over."""

TOKENS: Final = Errand("secrets.tokens", tables_of(TokenRow))
"""Forgetting tokens that are over, and counting those that are not."""
