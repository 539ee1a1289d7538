"""The gate: credentials looked at once, API keys, rate limits, idempotent replies.

Owns ``api_keys``, ``idempotency_records`` and ``limits``. Listens to the signals ``principals``,
``signing_keys`` and ``limits``; sends ``principals`` for API keys and ``limits`` for limits.
"""

from backend.core.columns import tables_of
from backend.core.room import (
    ADMIN,
    OPERATOR,
    PLATFORM_ADMIN,
    PLATFORM_AUDITOR,
    WORKFLOW,
    ReadyCheck,
    Room,
    RouteClass,
    Sweep,
    Tick,
)
from backend.managers.gateway._api_keys import Key
from backend.managers.gateway._idempotency import SEALED_ANSWERS
from backend.managers.gateway._limits import LIMITS_CHANGED, Bounds, Limit, Rate
from backend.managers.gateway.errands import (
    ANSWERS,
    API_KEYS,
    LIMITS,
    PLATFORM_ANSWERS,
    PLATFORM_KEYS,
    RETENTION,
)
from backend.managers.gateway.errors import (
    ApiKeyNotFoundError,
    LimitChangedError,
    LimitExistsError,
    LimitInvalidError,
    LimitNotFoundError,
    LimitTooWideError,
)
from backend.managers.gateway.manager import INTROSPECTION_PATH, GatewayManager
from backend.managers.gateway.models import ApiKey, IdempotencyRecord, LimitRow
from backend.managers.gateway.settings import MOST_KEPT_SECONDS, GatewaySettings, RedisSettings

API_KEY_TABLES = tables_of(ApiKey)
"""What looking at API keys reads: for the errands of upper rooms."""

ROOM = Room(
    name="gateway",
    manager=GatewayManager,
    models=(ApiKey, IdempotencyRecord, LimitRow),
    role_holders=(ApiKey,),
    permissions={
        "api_key:read": OPERATOR,
        "api_key:write": ADMIN,
        "limit:read": OPERATOR,
        "limit:write": ADMIN,
        "token:introspect": ADMIN | WORKFLOW,
        "platform_api_key:read": PLATFORM_AUDITOR,
        "platform_api_key:write": PLATFORM_ADMIN,
    },
    errands=(API_KEYS, PLATFORM_KEYS, LIMITS, PLATFORM_ANSWERS, RETENTION),
    sealed=(SEALED_ANSWERS,),
    # Answers to acts of the platform, which lie among those of all tenants.
    sealed_elsewhere={"platform_answers": MOST_KEPT_SECONDS},
    along=ANSWERS,
    routers=("backend.managers.gateway.routes:router",),
    document="backend.managers.gateway.data_plane:OPENAPI",
    data_routes="backend.managers.gateway.data_plane:DATA_ROUTES",
    route_classes=(
        RouteClass(
            "introspect",
            INTROSPECTION_PATH,
            rate=lambda settings: (
                settings.introspect_requests_per_second,
                settings.introspect_burst_requests,
            ),
        ),
    ),
    events={
        "api_key.created": "api_key:read",
        "api_key.changed": "api_key:read",
        "api_key.revoked": "api_key:read",
        "limit.created": "limit:read",
        "limit.changed": "limit:read",
        "limit.deleted": "limit:read",
    },
    ticks=(Tick("gateway.flush", 10, GatewayManager.flush, process="api"),),
    sweeps=(Sweep(RETENTION, GatewayManager.sweep_expired),),
    stocks={"api_keys": lambda gateway, tx: gateway.api_keys.count(tx)},
    observe=GatewayManager.observe,
    serving=GatewayManager.serving,
    durable_topics=(LIMITS_CHANGED,),
    checks=(
        ReadyCheck("shared_limits", GatewayManager.check_shared_limits, required=lambda _: False),
    ),
)

__all__ = [
    "API_KEYS",
    "API_KEY_TABLES",
    "LIMITS",
    "PLATFORM_ANSWERS",
    "RETENTION",
    "ROOM",
    "ApiKeyNotFoundError",
    "Bounds",
    "GatewayManager",
    "GatewaySettings",
    "Key",
    "Limit",
    "LimitChangedError",
    "LimitExistsError",
    "LimitInvalidError",
    "LimitNotFoundError",
    "LimitTooWideError",
    "Rate",
    "RedisSettings",
]
