"""Webhooks: programs of tenants that are told of events."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from backend.kit.outbound import Outbound
from backend.managers.security import SecurityManager
from backend.managers.webhooks._delivering import Delivering
from backend.managers.webhooks._endpoints import Webhooks
from backend.managers.webhooks.settings import WebhooksSettings


class WebhooksManager:
    """What programs are told, and by whom.

    Attributes:
        endpoints: Where they are, and of what they are told.
        delivering: How they are.
    """

    def __init__(
        self,
        security: SecurityManager,
        outbound: Outbound,
        kinds: Mapping[str, str],
        settings: WebhooksSettings | None = None,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """Tell nothing yet.

        Args:
            security: Seals where they lead.
            outbound: The way there.
            kinds: Every event of the house and the permission that reading it takes.
            settings: Their bounds.
            registry: Where their series are exposed.
        """
        private = (settings or WebhooksSettings()).allow_private
        self.endpoints = Webhooks(security, kinds, plain=private)
        self.delivering = Delivering(security, outbound, public_only=not private, registry=registry)
