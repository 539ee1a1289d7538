"""Secrets: values in versions, by environment and path, sealed under their tenant's keys.

Owns ``secret_items``, ``secret_versions``, ``secret_tokens``, ``secret_grants`` and
``secret_totals``. Sealed is
the column ``secret_versions.sealed``, each value for the place ``secret.version:<id>``.
"""

from backend.core.room import (
    ADMIN,
    OPERATOR,
    WORKFLOW,
    FleetGauge,
    Room,
    RouteClass,
    SealedColumn,
    Sweep,
    Tick,
)
from backend.managers.secrets._rows import place_of
from backend.managers.secrets._tokens import Redemption
from backend.managers.secrets._totals import count_bytes, count_secrets
from backend.managers.secrets._values import (
    DEFAULT_ENVIRONMENT,
    Difference,
    Grant,
    Keeping,
    Revealed,
    Secret,
    Token,
    Value,
    Version,
)
from backend.managers.secrets.errands import EXPIRY, TOKENS
from backend.managers.secrets.errors import (
    CasMissingError,
    FolderClosedError,
    GrantNotFoundError,
    IssuerCannotReadError,
    NotAnObjectError,
    ReferenceBrokenError,
    SecretChangedError,
    SecretNotFoundError,
    SecretTokenForeignError,
    SecretTokenNotFoundError,
    SecretTokenSpentError,
    SecretTooLargeError,
    SecretValueError,
    SecretVersionGoneError,
    SecretVersionLostError,
    SecretVersionNotFoundError,
    TooManyGrantsError,
)
from backend.managers.secrets.manager import SecretManager
from backend.managers.secrets.models import GrantRow, SecretRow, TokenRow, TotalRow, VersionRow
from backend.managers.secrets.settings import SecretsSettings

TOKEN_REFUSED = "secret_token.refused"

ROOM = Room(
    name="secrets",
    manager=SecretManager,
    models=(SecretRow, VersionRow, TokenRow, GrantRow, TotalRow),
    role_holders=(GrantRow,),
    permissions={
        "secret:list": OPERATOR | WORKFLOW,
        "secret:read": ADMIN | WORKFLOW,
        "secret:write": ADMIN | WORKFLOW,
        "secret:destroy": ADMIN,
        "secret_token:issue": ADMIN | WORKFLOW,
        "secret_token:redeem": ADMIN | WORKFLOW,
        "secret_grant:read": OPERATOR,
        "secret_grant:write": ADMIN,
    },
    errands=(EXPIRY, TOKENS),
    sealed=(SealedColumn(VersionRow, "sealed", lambda row: place_of(row["id"])),),
    routers=("backend.managers.secrets.routes:router",),
    route_classes=(
        RouteClass(
            "secrets",
            "/api/v1/secrets",
            body_bytes=lambda settings: settings.body_limit_bytes,
            rate=lambda settings: (settings.requests_per_second, settings.burst_requests),
        ),
    ),
    ticks=(
        Tick("secrets.expiry", 30, lambda secrets, database: secrets.expiry.tell_due(database)),
    ),
    sweeps=(Sweep(TOKENS, lambda secrets, tx: secrets.tokens.sweep(tx)),),
    stocks={
        "secrets": lambda _, tx: count_secrets(tx),
        "secret_bytes": lambda _, tx: count_bytes(tx),
    },
    events={
        "secret.saved": "secret:list",
        "secret.changed": "secret:list",
        "secret.deleted": "secret:list",
        "secret.version_deleted": "secret:list",
        "secret.version_undeleted": "secret:list",
        "secret.version_destroyed": "secret:list",
        "secret.expiring": "secret:list",
        "secret.expired": "secret:list",
        "secret_token.issued": "secret:list",
        TOKEN_REFUSED: "secret:list",
        "secret_token.revoked": "secret:list",
        "secret_grant.added": "secret_grant:read",
        "secret_grant.removed": "secret_grant:read",
    },
    gauges=(
        FleetGauge(
            "email_sender_secrets_due_versions",
            "Versions of secrets that come to their end, and that nobody has told of.",
            EXPIRY,
            lambda secrets, tx: secrets.expiry.count_due(tx),
        ),
        FleetGauge(
            "email_sender_secrets_open_tokens",
            "Tokens to read a secret once that can be used now.",
            TOKENS,
            lambda secrets, tx: secrets.tokens.count_open(tx),
        ),
    ),
)

__all__ = [
    "DEFAULT_ENVIRONMENT",
    "EXPIRY",
    "ROOM",
    "TOKENS",
    "TOKEN_REFUSED",
    "CasMissingError",
    "Difference",
    "FolderClosedError",
    "Grant",
    "GrantNotFoundError",
    "IssuerCannotReadError",
    "Keeping",
    "NotAnObjectError",
    "Redemption",
    "ReferenceBrokenError",
    "Revealed",
    "Secret",
    "SecretChangedError",
    "SecretManager",
    "SecretNotFoundError",
    "SecretTokenForeignError",
    "SecretTokenNotFoundError",
    "SecretTokenSpentError",
    "SecretTooLargeError",
    "SecretValueError",
    "SecretVersionGoneError",
    "SecretVersionLostError",
    "SecretVersionNotFoundError",
    "SecretsSettings",
    "Token",
    "TooManyGrantsError",
    "Value",
    "Version",
]
