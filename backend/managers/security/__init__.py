"""Security: data keys under one root key, sealed values, and the audit trail that proves itself.

Owns the table ``data_keys`` and reads ``audit_records`` and ``audit_heads`` of the core.
"""

from backend.managers.security.errors import KeyUnavailableError, SealBrokenError
from backend.managers.security.manager import (
    AuditEntry,
    ChainReport,
    Keyring,
    SecurityManager,
    load_root_key,
)
from backend.managers.security.settings import SecuritySettings

__all__ = [
    "AuditEntry",
    "ChainReport",
    "KeyUnavailableError",
    "Keyring",
    "SealBrokenError",
    "SecurityManager",
    "SecuritySettings",
    "load_root_key",
]
