"""The security room's work across tenants."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.managers.security.models import (
    DataKey,
    KeyOpeningRow,
    KeyRow,
    KeyVersionRow,
    RewrapRow,
    SealRow,
    SubjectKeyRow,
)

SEALING: Final = tables_of(DataKey, SealRow)
"""What sealing and opening read: for the errands of upper rooms."""

REVEALING: Final = SEALING | tables_of(SubjectKeyRow)
"""What reading records that tell of people takes: for the errands of upper rooms."""

REWRAPPING: Final = tables_of(DataKey, RewrapRow, SealRow)
"""What sealing a row anew touches beside it: for the errands of upper rooms."""

KEYS_DUE: Final = Errand("security.keys_due", REWRAPPING, of_platform=True)
"""Whose data keys are due by their age, and whose walk goes on."""

CHECK_KEYS: Final = Errand("security.check_keys", SEALING, of_platform=True)
"""Trying the root key on every tenant's data keys."""

ROTATE_ROOT: Final = Errand("security.rotate_root", tables_of(DataKey), of_platform=True)
"""Wrapping every tenant's data keys with a new root key."""

SEALS: Final = Errand("security.seals", tables_of(SealRow), of_platform=True)
"""Knowing which tenants are sealed."""

DUE: Final = Errand("security.due", tables_of(KeyRow, SealRow), of_platform=True)
"""Finding keys that have come of age, and counting them; each is rotated in its tenant's scope."""

OPENINGS: Final = Errand("security.openings", tables_of(KeyOpeningRow, KeyRow), of_platform=True)
"""Writing who opened what a version had made."""

PURGE: Final = Errand(
    "security.purge", tables_of(KeyOpeningRow, KeyRow, KeyVersionRow), of_platform=True
)
"""Destroying keys whose waiting time is over."""
