"""Security: data keys under one root key, and values sealed with them.

Owns the table ``data_keys``.
"""

from backend.core.room import Room
from backend.managers.security.errands import CHECK_KEYS, SEALING
from backend.managers.security.errors import KeyUnavailableError, SealBrokenError
from backend.managers.security.manager import (
    KEYS_GONE,
    Keyring,
    SecurityManager,
    load_root_key,
)
from backend.managers.security.models import DataKey
from backend.managers.security.settings import SecuritySettings

ROOM = Room(
    name="security",
    manager=SecurityManager,
    models=(DataKey,),
    errands=(CHECK_KEYS,),
    purges={DataKey.__tablename__: SecurityManager.purge_keys},
)

__all__ = [
    "CHECK_KEYS",
    "KEYS_GONE",
    "ROOM",
    "SEALING",
    "KeyUnavailableError",
    "Keyring",
    "SealBrokenError",
    "SecurityManager",
    "SecuritySettings",
    "load_root_key",
]
