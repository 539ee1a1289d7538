"""The webhooks room's work for the platform."""

from typing import Final

from backend.core.columns import tables_of
from backend.core.context import Errand
from backend.core.events import EventHead
from backend.managers.webhooks.models import DeliveryRow, WebhookRow

DELIVERING: Final = Errand("webhooks.delivering", tables_of(WebhookRow, EventHead))
"""Finding the webhooks that are due: those with events behind them."""

COUNTING: Final = Errand("webhooks.counting", tables_of(WebhookRow))
"""Counting webhooks by how they stand, for whoever watches the platform."""

FORGETTING: Final = Errand("webhooks.forgetting", tables_of(DeliveryRow))
"""Forgetting deliveries of more than a week ago."""
