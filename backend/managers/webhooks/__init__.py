"""Webhooks: programs of tenants are told of events, in order and at least once.

Owns the tables ``webhook_endpoints`` and ``webhook_deliveries``. Audits ``webhook.created``,
``.changed``, ``.deleted``, ``.rotated``, ``.replayed``, ``.tested`` and ``.stopped``, emits
``webhook.stopped``.
"""

from backend.core.room import ADMIN, WORKFLOW, FleetGauge, Room, SealedColumn, Sweep, Tick
from backend.managers.webhooks._delivering import DELIVER_SECONDS, HORIZON, said
from backend.managers.webhooks._endpoints import (
    STATES,
    Delivery,
    Webhook,
    WebhookDraft,
    Webhooks,
    target_place,
)
from backend.managers.webhooks.document import asyncapi_of, webhooks_of
from backend.managers.webhooks.errands import COUNTING, DELIVERING, FORGETTING
from backend.managers.webhooks.errors import (
    DeliveryNotFoundError,
    TooManyWebhooksError,
    WebhookChangedError,
    WebhookExistsError,
    WebhookForbiddenError,
    WebhookInvalidError,
    WebhookNotFoundError,
)
from backend.managers.webhooks.manager import WebhooksManager
from backend.managers.webhooks.models import DeliveryRow, WebhookRow
from backend.managers.webhooks.settings import WebhooksSettings

ROOM = Room(
    name="webhooks",
    manager=WebhooksManager,
    models=(WebhookRow, DeliveryRow),
    errands=(DELIVERING, FORGETTING, COUNTING),
    sealed=(SealedColumn(WebhookRow, "sealed_target", lambda row: target_place(row["id"])),),
    permissions={
        "webhook:read": ADMIN | WORKFLOW,
        "webhook:write": ADMIN | WORKFLOW,
    },
    routers=("backend.managers.webhooks.routes:router",),
    events={"webhook.stopped": "webhook:read"},
    ticks=(
        Tick(
            "webhooks.deliver",
            DELIVER_SECONDS,
            lambda webhooks, database: webhooks.delivering.deliver_due(database),
        ),
    ),
    serving=lambda webhooks, _: webhooks.delivering.serving(),
    gauges=(
        FleetGauge(
            "email_sender_webhooks_endpoints",
            "Webhooks of all tenants, by how they stand.",
            COUNTING,
            lambda webhooks, view: webhooks.endpoints.count_by_state(view),
            label="state",
            values=STATES,
        ),
    ),
    sweeps=(Sweep(FORGETTING, lambda webhooks, tx: webhooks.delivering.sweep(tx)),),
)

__all__ = [
    "DELIVERING",
    "FORGETTING",
    "HORIZON",
    "ROOM",
    "Delivery",
    "DeliveryNotFoundError",
    "TooManyWebhooksError",
    "Webhook",
    "WebhookChangedError",
    "WebhookDraft",
    "WebhookExistsError",
    "WebhookForbiddenError",
    "WebhookInvalidError",
    "WebhookNotFoundError",
    "Webhooks",
    "WebhooksManager",
    "WebhooksSettings",
    "asyncapi_of",
    "said",
    "webhooks_of",
]
