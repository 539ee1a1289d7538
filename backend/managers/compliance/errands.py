"""The compliance room's work across tenants, and that which is the platform's own."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.compliance.models import ErasureRow

PLATFORM_ERASURES: Final = Errand("compliance.platform", tables_of(ErasureRow), of_platform=True)
"""Forgetting people where the platform keeps something of them, and reading that it did."""

WALKS: Final = Errand("compliance.walks", tables_of(ErasureRow), of_platform=True)
"""Whose walks are due, and how many go on; each step is in its tenant's own scope."""
