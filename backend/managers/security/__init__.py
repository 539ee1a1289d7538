"""Security: data keys under one root key, values sealed with them, and named keys of tenants.

Owns the tables ``data_keys``, ``data_key_rewraps``, ``data_key_retirements``, ``security_keys``,
``security_key_versions``, ``security_key_openings``, ``security_seals`` and ``subject_keys``.
Audits ``data_key.created``, ``data_key.rewrapped``, ``key.created``, ``key.changed``,
``key.rotated``, ``key.exported``, ``key.deleted``, ``key.restored``, ``key.purged``,
``key.used``, ``key.refused``, ``random.generated``; emits the acts on keys but for their uses,
and ``data_key.rotated``, ``data_key.retired``, ``rewrap.finished`` and ``rewrap.blocked``.
Signals ``data_keys`` and ``security_seal`` (drop a tenant's keys), ``root_key`` (read its source
again).
"""

from backend.core.room import (
    ADMIN,
    OPERATOR,
    VIEWER,
    WORKFLOW,
    FleetGauge,
    Room,
    RouteClass,
    SealedColumn,
    Sweep,
    Tick,
)
from backend.managers.security._format import new_cipher
from backend.managers.security._keys import KEY_NAME, Key, Policy, context_of
from backend.managers.security._material import KeyType
from backend.managers.security._retirement import RetirementSigner, sink_key
from backend.managers.security._rewrap import Rewrap, Rewraps
from backend.managers.security._ring import Keyring
from backend.managers.security._root import (
    RootKeys,
    changing_root_keys,
    derivation_of,
    load_root_key,
    load_root_keys,
    root_key_file,
    write_root_keys,
)
from backend.managers.security._rotation import KEYS_GONE, KeyVersion, Retirement
from backend.managers.security._seals import SEAL_CHANGED, Seal, Seals
from backend.managers.security._subjects import SubjectKey, Subjects, subject_place
from backend.managers.security.errands import (
    CHECK_KEYS,
    DUE,
    KEYS_DUE,
    OPENINGS,
    PURGE,
    REVEALING,
    REWRAPPING,
    ROTATE_ROOT,
    SEALING,
    SEALS,
)
from backend.managers.security.errors import (
    KeyUnavailableError,
    RewrapNotFoundError,
    RewrapStateError,
    RootKeysHeldError,
    SealBrokenError,
    SealedError,
)
from backend.managers.security.manager import ROOT_CHANGED, SecurityManager
from backend.managers.security.models import (
    DataKey,
    KeyOpeningRow,
    KeyRow,
    KeyVersionRow,
    RetirementRow,
    RewrapRow,
    SealRow,
    SubjectKeyRow,
)
from backend.managers.security.settings import SecuritySettings

ROOM = Room(
    name="security",
    manager=SecurityManager,
    models=(
        DataKey,
        KeyRow,
        KeyVersionRow,
        KeyOpeningRow,
        SealRow,
        RewrapRow,
        RetirementRow,
        SubjectKeyRow,
    ),
    permissions={
        "key:read": VIEWER | WORKFLOW,
        "key:write": ADMIN,
        "key:use": OPERATOR | WORKFLOW,
        "data_key:read": ADMIN,
        "data_key:write": ADMIN,
    },
    errands=(CHECK_KEYS, KEYS_DUE, ROTATE_ROOT, SEALS, DUE, OPENINGS, PURGE),
    routers=(
        "backend.managers.security.routes:router",
        "backend.managers.security.data_key_routes:router",
    ),
    data_routes="backend.managers.security.data_plane:DATA_ROUTES",
    route_classes=(
        RouteClass(
            "keys",
            "/api/v1/keys",
            body_bytes=lambda settings: settings.max_body_bytes,
            rate=lambda settings: (settings.requests_per_second, settings.burst_requests),
        ),
    ),
    events={
        "data_key.rotated": "data_key:read",
        "data_key.retired": "data_key:read",
        "rewrap.finished": "data_key:read",
        "rewrap.blocked": "data_key:read",
    }
    | dict.fromkeys(
        (
            "key.created",
            "key.changed",
            "key.rotated",
            "key.exported",
            "key.deleted",
            "key.restored",
            "key.purged",
        ),
        "key:read",
    ),
    ticks=(
        Tick("security.rotation", 60.0, SecurityManager.rotate_due),
        Tick("security.data_keys", 600, SecurityManager.rotate_data_keys_due),
        Tick(
            "security.rewrap",
            5,
            lambda security, database: security.rewraps.walker.run_due(database),
        ),
    ),
    sweeps=(Sweep(PURGE, SecurityManager.sweep_keys),),
    sealed=(
        SealedColumn(
            KeyVersionRow, "wrapped", lambda row: context_of(row["key_id"], row["number"])
        ),
        SealedColumn(SubjectKeyRow, "wrapped", lambda row: subject_place(row["subject"])),
    ),
    purges={DataKey.__tablename__: SecurityManager.purge_keys},
    gauges=(
        FleetGauge(
            "email_sender_security_keys_overdue",
            "Named keys that have come of age and were not rotated.",
            DUE,
            SecurityManager.count_overdue,
        ),
        FleetGauge(
            "email_sender_security_tenants_sealed",
            "Tenants whose keys nobody may use.",
            SEALS,
            SecurityManager.count_sealed,
        ),
        FleetGauge(
            "email_sender_security_values_left",
            "Sealed values that are not under their newest key, by the last whole count.",
            KEYS_DUE,
            lambda security, tx: security.rewraps.count_left(tx),
            label="under",
            values=("in_clear", "old_version"),
        ),
    ),
    serving=SecurityManager.serving,
    # Who missed one would go on sealing with what is about to be destroyed, or open nothing.
    durable_topics=(KEYS_GONE, ROOT_CHANGED),
)

__all__ = [
    "CHECK_KEYS",
    "KEYS_DUE",
    "KEYS_GONE",
    "KEY_NAME",
    "REVEALING",
    "REWRAPPING",
    "ROOM",
    "ROOT_CHANGED",
    "ROTATE_ROOT",
    "SEALING",
    "SEAL_CHANGED",
    "Key",
    "KeyType",
    "KeyUnavailableError",
    "KeyVersion",
    "Keyring",
    "Policy",
    "Retirement",
    "RetirementSigner",
    "Rewrap",
    "RewrapNotFoundError",
    "RewrapStateError",
    "Rewraps",
    "RootKeys",
    "RootKeysHeldError",
    "Seal",
    "SealBrokenError",
    "SealedError",
    "Seals",
    "SecurityManager",
    "SecuritySettings",
    "SubjectKey",
    "Subjects",
    "changing_root_keys",
    "derivation_of",
    "load_root_key",
    "load_root_keys",
    "new_cipher",
    "root_key_file",
    "sink_key",
    "write_root_keys",
]
