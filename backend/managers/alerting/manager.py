"""Alerting: rules are looked at, alerts change, and people say what they do about them."""

from datetime import timedelta

from backend.core.database import Database, Tx
from backend.managers.alerting._alerts import Alert, Alerts
from backend.managers.alerting._conditions import Senses
from backend.managers.alerting._looking import Looked, Looking
from backend.managers.alerting._raised import Raised, end_expired, raise_alert
from backend.managers.alerting._rules import Rules
from backend.managers.alerting._schedules import Schedules
from backend.managers.alerting._silences import Silences
from backend.managers.alerting.models import HeartbeatRow
from backend.managers.alerting.settings import AlertingSettings
from backend.managers.metrics import MetricsManager
from backend.managers.monitoring import MonitoringManager


class AlertingManager:
    """Rules over what other rooms know, and the alerts that come of them.

    Attributes:
        rules: What a tenant wants to be told of.
        alerts: What was found.
        silences: What nobody is told of for a while.
        schedules: Who is on call.
    """

    def __init__(
        self,
        metrics: MetricsManager,
        monitoring: MonitoringManager,
        settings: AlertingSettings | None = None,
    ) -> None:
        self._settings = settings or AlertingSettings()
        self.rules = Rules()
        self.alerts = Alerts()
        self.silences = Silences()
        self.schedules = Schedules()
        self._looking = Looking(Senses(metrics, monitoring))

    async def look(self, database: Database) -> Looked:
        """Look at some of the rules that are due, and end what has expired; how much it was."""
        looked = await self._looking.run(database)
        return looked + Looked(resolved=await end_expired(database))

    async def raise_alert(self, tx: Tx, said: Raised) -> tuple[Alert, bool]:
        """Have an alert fire, or say again that it does; and whether it began by that.

        Raises:
            TooManyAlertsError: So many of the tenant are not over.
        """
        return await raise_alert(tx, said)

    async def sweep(self, tx: Tx) -> int:
        """Forget alerts that were over long ago; returns how many rows."""
        return await self.alerts.sweep(tx, keep=timedelta(days=self._settings.keep_days))

    async def beat(self, tx: Tx, name: str) -> None:
        """Note that a signal came.

        Args:
            tx: The tenant's.
            name: As a rule of kind ``heartbeat`` has it.
        """
        tx.audit("heartbeat.received", f"heartbeat:{name}")
        now = {"last_at": tx.now(), "last_by": tx.scope.actor}
        await tx.upsert(
            HeartbeatRow,
            {"tenant_id": tx.tenant_id, "name": name, "beats": 1, **now},
            conflict=["tenant_id", "name"],
            update={"beats": HeartbeatRow.beats + 1, **now},
        )
