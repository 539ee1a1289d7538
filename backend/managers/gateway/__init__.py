"""The gate: credentials looked at once, API keys, rate limits, idempotent replies.

Owns ``api_keys`` and ``idempotency_records``. Listens to the signals ``principals`` and
``signing_keys``; sends ``principals`` for API keys.
"""

from backend.core.room import ADMIN, OPERATOR, WORKFLOW, Room, RouteClass, Sweep, Tick
from backend.managers.gateway._api_keys import Key
from backend.managers.gateway.data_plane import DATA_ROUTES, OPENAPI
from backend.managers.gateway.errands import ANSWERS, API_KEYS, PLATFORM_ANSWERS, RETENTION
from backend.managers.gateway.errors import ApiKeyNotFoundError, ExpiryInvalidError
from backend.managers.gateway.manager import INTROSPECTION_PATH, GatewayManager
from backend.managers.gateway.models import ApiKey, IdempotencyRecord
from backend.managers.gateway.routes import router
from backend.managers.gateway.settings import GatewaySettings

ROOM = Room(
    name="gateway",
    manager=GatewayManager,
    models=(ApiKey, IdempotencyRecord),
    permissions={
        "api_key:read": OPERATOR,
        "api_key:write": ADMIN,
        "token:introspect": ADMIN | WORKFLOW,
    },
    errands=(API_KEYS, PLATFORM_ANSWERS, RETENTION),
    along=ANSWERS,
    routers=(router,),
    document=OPENAPI,
    data_routes=DATA_ROUTES,
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
        "api_key.revoked": "api_key:read",
    },
    ticks=(Tick("gateway.flush", 10, GatewayManager.flush, process="api"),),
    sweeps=(Sweep(RETENTION, GatewayManager.sweep_expired),),
    stocks={"api_keys": lambda gateway, tx: gateway.api_keys.count(tx)},
    observe=GatewayManager.observe,
    serving=GatewayManager.serving,
)

__all__ = [
    "API_KEYS",
    "PLATFORM_ANSWERS",
    "RETENTION",
    "ROOM",
    "ApiKeyNotFoundError",
    "ExpiryInvalidError",
    "GatewayManager",
    "GatewaySettings",
    "Key",
]
