"""Alerting: rules are looked at, alerts change, and people say what they do about them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from backend.core.clock import system_clock
from backend.core.context import Scope
from backend.core.database import Database, Tx
from backend.kit.outbound import Outbound
from backend.managers.alerting._alertmanager import AlertmanagerView
from backend.managers.alerting._alerts import Alert, Alerts
from backend.managers.alerting._catalogue import CATALOGUE, Shipped
from backend.managers.alerting._channels import Channels
from backend.managers.alerting._finding import Senses
from backend.managers.alerting._handover import Handovers
from backend.managers.alerting._incidents import Incidents
from backend.managers.alerting._looking import Looked, Looking, problem_of
from backend.managers.alerting._picturing import Picturing
from backend.managers.alerting._policies import Policies
from backend.managers.alerting._raised import Expiring, Raised, raise_alert
from backend.managers.alerting._rules import Rule, RuleDraft, Rules
from backend.managers.alerting._schedules import Schedules
from backend.managers.alerting._sending import Sending
from backend.managers.alerting._silences import Silences
from backend.managers.alerting._telling import Telling
from backend.managers.alerting._tree import Routings
from backend.managers.alerting._trying import Tried
from backend.managers.alerting.errors import ShippedNotFoundError
from backend.managers.alerting.models import HeartbeatRow
from backend.managers.alerting.settings import AlertingSettings
from backend.managers.email import EmailManager
from backend.managers.logging import LoggingManager
from backend.managers.metrics import MetricsManager
from backend.managers.monitoring import MonitoringManager
from backend.managers.orchestrator import OrchestratorManager
from backend.managers.security import SecurityManager
from backend.managers.tenant import TenantManager
from backend.managers.tracing import TracingManager


@dataclass(frozen=True, slots=True)
class Offered:
    """A rule that ships, as a tenant stands to it.

    Attributes:
        shipped: Which.
        rule_id: The tenant's rule of that name; None: it has none.
        problem: Why it could measure nothing now; None: it could.
    """

    shipped: Shipped
    rule_id: str | None
    problem: str | None


class AlertingManager:
    """Rules over what other rooms know, and the alerts that come of them.

    Attributes:
        rules: What a tenant wants to be told of.
        alerts: What was found.
        silences: What nobody is told of for a while.
        schedules: Who is on call.
        channels: Ways to people and programs.
        policies: Who is told first, and who next.
        routings: Which alerts go where.
        incidents: What belongs together, and what is learned of it.
        sending: How messages get to channels.
        handovers: Who is told that they begin, or end, to be on call.
        alertmanager: What Alertmanager's API tells.
        turns: Of costly work.
        began_at: When this process did.
    """

    def __init__(  # noqa: PLR0917 - what it looks at, and by what it tells
        self,
        metrics: MetricsManager,
        monitoring: MonitoringManager,
        tracing: TracingManager,
        logs: LoggingManager,
        security: SecurityManager,
        tenants: TenantManager,
        jobs: OrchestratorManager,
        mail: EmailManager,
        outbound: Outbound,
        settings: AlertingSettings | None = None,
        events: Collection[str] = (),
    ) -> None:
        self._settings = settings or AlertingSettings()
        private = self._settings.allow_private_channels
        self.rules = Rules(events)
        self.alerts = Alerts()
        self.silences = Silences()
        self.schedules = Schedules()
        self.channels = Channels(security, plain=private)
        self.policies = Policies()
        self.routings = Routings()
        self.incidents = Incidents(self.alerts)
        senses = partial(Senses, metrics, monitoring, tracing, logs)
        self.sending = Sending(
            self.channels,
            self.schedules,
            tenants,
            mail,
            outbound,
            picturing=Picturing(senses),
            public_only=not private,
            console_url=self._settings.console_url,
        )
        self.handovers = Handovers(self.schedules, self.alerts, mail, self.sending)
        self.telling = Telling(jobs, self.silences, self.policies, self.routings, self.incidents)
        self._expiring = Expiring()
        self._looking = Looking(senses)
        self.alertmanager = AlertmanagerView(
            self.alerts, self.silences, self.policies, self.routings
        )
        self.turns = metrics.turns
        self.began_at = system_clock()

    async def look(self, database: Database) -> Looked:
        """Look at some of the rules that are due, and end what has expired; how much it was."""
        looked = await self._looking.run(database)
        return looked + Looked(resolved=await self._expiring.run(database))

    async def offer(self, database: Database, scope: Scope) -> Sequence[Offered]:
        """The rules that ship, with what each lacks in a tenant.

        Args:
            database: To look what could be measured.
            scope: Whose tenant it is.
        """
        async with database.read(scope) as tx:
            rules = await self.rules.named(tx, [one.draft.name for one in CATALOGUE.values()])
            there = {name: rule.id for name, rule in rules.items()}
            asked = [(one.draft.condition, tx.now()) for one in CATALOGUE.values()]
        found = await self._looking.measure(database, scope, asked)
        return [
            Offered(one, there.get(one.draft.name), problem_of(findings))
            for one, findings in zip(CATALOGUE.values(), found, strict=True)
        ]

    async def try_out(
        self, database: Database, scope: Scope, draft: RuleDraft, *, days: int
    ) -> Tried:
        """What a rule would have done in the last ``days``; nothing is kept.

        Raises:
            NoHistoryError: What its condition asks is known of the present alone.
            AppError: It cannot be asked for, and why.
        """
        return await self._looking.try_out(database, scope, draft, days=days)

    async def adopt(self, tx: Tx, name: str) -> tuple[Rule, bool]:
        """Make a rule that ships one of the tenant's own; and whether it was not there before.

        One of its title that is there stays as the tenant has it.

        Raises:
            ShippedNotFoundError: None of this name ships.
            RuleExistsError: Somebody makes it right now.
            TooManyRulesError: There are ten thousand.
        """
        shipped = CATALOGUE.get(name)
        if shipped is None:
            raise ShippedNotFoundError
        there = await self.rules.named(tx, [shipped.draft.name])
        if there:
            return there[shipped.draft.name], False
        return await self.rules.create(tx, shipped.draft), True

    async def raise_alert(self, tx: Tx, said: Raised) -> tuple[Alert, bool]:
        """Have an alert fire, or say again that it does; and whether it began by that.

        Raises:
            TooManyAlertsError: So many of the tenant are not over.
        """
        return await raise_alert(tx, said)

    async def sweep(self, tx: Tx) -> int:
        """Forget alerts and incidents that were over long ago; returns how many."""
        keep = timedelta(days=self._settings.keep_days)
        gone = await self.alerts.sweep(tx, keep=keep)
        return gone + await self.incidents.sweep(tx, keep=keep)

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
