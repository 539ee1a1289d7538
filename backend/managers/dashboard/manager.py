"""The read model of the overview page: one answer for one look; dashboards are its object's."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from backend.core.clock import monotonic as system_monotonic
from backend.core.database import ReadTx
from backend.core.events import read_unnumbered_seconds
from backend.managers.dashboard._dashboards import Dashboards
from backend.managers.dashboard._reports import Reports
from backend.managers.dashboard._verdict import (
    SLOW_MS,
    CheckFact,
    EndingFact,
    Facts,
    SloFact,
    SlowFact,
    Verdict,
    judge,
)
from backend.managers.email import EmailManager
from backend.managers.logging import LoggingManager
from backend.managers.metrics import MetricsManager, Series, Served
from backend.managers.monitoring import MonitoringManager, read_skew
from backend.managers.orchestrator import Fleet, OrchestratorManager
from backend.managers.tenant import Tenant, TenantManager

_COUNTED_AT_ONCE: Final = 10_000
_COUNTED_A_SECOND: Final = 100_000
_MAX_OLD_SECONDS: Final = 10.0
_WAITS: Final = ("queued", "sending", "deferred")
_OBJECTIVES: Final = 50
_REASONS: Final = 8
_FEW_REQUESTS: Final = 20
"""Of fewer the slowest twentieth is one request: nobody calls a tenant slow for that."""
_TENANTS: Final = 50
_PLAIN: Final = frozenset({"database", "disk", "sequencer", "clock"})
"""Checks whose words are ours and name no host: a tenant may read them."""

FindEnd = Callable[[ReadTx, datetime], Awaitable[datetime | None]]
"""When the first of a tenant's things of a kind ends that does so after a time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Something a person should look at."""

    at: datetime
    kind: str
    id: str
    title: str
    detail: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the messages of a window, as far as it is known.

    A message is settled with its last recipient; a cancelled one is not among them.
    """

    accepted: int
    partial: int
    bounced: int
    suppressed: int

    @property
    def settled(self) -> int:
        """All of them."""
        return self.accepted + self.partial + self.bounced + self.suppressed

    @property
    def accepted_share(self) -> float | None:
        """Those that every recipient's mail server took, over all; None where there are none."""
        return self.accepted / self.settled if self.settled else None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Seconds from submission to acceptance, of the newest thousand accepted in the window.

    Attributes:
        messages: So many.
        p50_seconds: Half of them took so long at most; None: there is none.
        p95_seconds: Likewise 95 %.
    """

    messages: int
    p50_seconds: float | None
    p95_seconds: float | None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why messages failed, and how many of the newest thousand that did."""

    reason: str
    messages: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What a stakeholder sees first.

    Counts are of what was made in the window, and of everything older that is not settled yet.
    Those of more than ten thousand are up to a second old for each further hundred thousand, ten
    at most.
    """

    series: Series
    jobs: Mapping[str, int]
    emails: Mapping[str, int]
    delivery: Delivery
    acceptance: Acceptance
    reasons: Sequence[Reason]
    failures: Sequence[Failure]


@dataclass(frozen=True, slots=True)
class PlatformOverview:
    """What the platform's administrators see across tenants.

    Attributes:
        requests: Of all tenants, in the window.
        errors: Those of them that the platform failed to serve.
        asking: Tenants that asked for anything.
        tenants: The slowest of them, each with what it asked for.
    """

    requests: int
    errors: int
    asking: int
    tenants: Sequence[tuple[Tenant, Served]]


class DashboardManager:
    """Reads from the managers below through their doors, and keeps ``dashboards``."""

    def __init__(
        self,
        metrics: MetricsManager,
        jobs: OrchestratorManager,
        emails: EmailManager,
        monitoring: MonitoringManager,
        *,
        logs: LoggingManager,
        tenants: TenantManager,
        ends: Sequence[tuple[str, str, FindEnd]],
        free_share: Callable[[], Awaitable[float]],
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        """Wire it up; no I/O.

        Args:
            metrics: What requests came to.
            jobs: What works.
            emails: What became of mail.
            monitoring: How the platform is, and the objectives.
            logs: Where lines are exported to.
            tenants: Their names.
            ends: What programs are let in by, in words, the page that shows it, and when it ends.
            free_share: Of this process's disk.
            monotonic: Seconds that only pass.
        """
        self.dashboards = Dashboards()
        self.reports = Reports(jobs, emails)
        self._metrics = metrics
        self._jobs = jobs
        self._emails = emails
        self._monitoring = monitoring
        self._logs = logs
        self._tenants = tenants
        self._ends = ends
        self._free_share = free_share
        self._monotonic = monotonic
        self._counted: dict[
            tuple[str, int], tuple[float, Mapping[str, int], Mapping[str, int]]
        ] = {}

    async def read_overview(self, tx: ReadTx, *, minutes: int, failures: int = 10) -> Overview:
        """Series and counts by state over the last ``minutes``, the newest failures."""
        jobs, emails = await self._count(tx, minutes)
        since = tx.now() - timedelta(minutes=minutes)
        waits = sorted(await self._emails.read_waits(tx, since))
        reasons = await self._emails.count_reasons(tx, since)
        dead = await self._jobs.list_jobs(tx, state="dead", limit=failures)
        found = [
            Failure(email.updated_at, "email", email.id, f"{email.state}: {email.subject}", said)
            for email, said in await self._emails.list_failures(tx, failures)
        ]
        # A bounced e-mail and its dead job are one failure to whoever looks.
        shown = {f"email:{failure.id}" for failure in found}
        found += [
            Failure(job.finished_at or job.created_at, "job", job.id, job.kind, job.error or "")
            for job in dead[:failures]
            if job.subject not in shown
        ]
        return Overview(
            series=await self._metrics.read_series(tx, minutes=minutes),
            jobs=jobs,
            emails=emails,
            delivery=Delivery(
                accepted=emails.get("accepted", 0),
                partial=emails.get("partial", 0),
                bounced=emails.get("bounced", 0),
                suppressed=emails.get("suppressed", 0),
            ),
            acceptance=Acceptance(len(waits), _quantile(waits, 0.5), _quantile(waits, 0.95)),
            reasons=[
                Reason(said, count)
                for said, count in sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
            ][:_REASONS],
            failures=sorted(found, key=lambda one: one.at, reverse=True)[:failures],
        )

    async def read_facts(self, tx: ReadTx, overview: Overview) -> Facts:
        """What the verdict is made of, but for the platform's workers.

        Of the platform's health it tells what fails, and only of what names no host what that says.
        """
        emails, series, delivery = overview.emails, overview.series, overview.delivery
        seconds = series.window_seconds
        settings = await self._emails.email_settings.get(tx)
        relay = await self._emails.email_settings.show_relay(tx, settings)
        # A pause of one sender's mail is not the mail server's.
        pauses = [one for one in relay.pauses if one.sender is None]
        standings = await self._monitoring.slos.list(tx, limit=_OBJECTIVES)
        export = await self._logs.export.get(tx)
        return replace(
            await self._read_ground(tx, told=False),
            window=_window(seconds),
            waiting_seconds=await self._jobs.read_wait(tx),
            requests=round(series.requests_per_second * seconds),
            error_rate=series.error_rate,
            p95_ms=series.p95_ms,
            settled=delivery.settled,
            bounced=delivery.bounced,
            partial=delivery.partial,
            open_messages=sum(emails.get(state, 0) for state in _WAITS),
            reasons={one.reason: one.messages for one in overview.reasons},
            relay=pauses[0].reason or pauses[0].kind if pauses else None,
            export=export.last_error if export.state == "failing" else None,
            sequencer_seconds=await read_unnumbered_seconds(tx),
            ending=await self._read_endings(tx),
            slos=[
                SloFact(one.slo.id, one.slo.name, one.judgement.state, one.judgement.reason)
                for one in standings
            ],
        )

    async def read_platform(
        self, tx: ReadTx, *, minutes: int
    ) -> tuple[int, int, int, Sequence[Served]]:
        """Requests of all tenants, those that failed, how many tenants asked, and the slowest.

        Args:
            tx: Under the errand of what requests came to.
            minutes: Up to an hour.
        """
        counts = await self._metrics.count_requests(tx, minutes=minutes)
        return *counts, await self._metrics.list_busy(tx, minutes=minutes, limit=_TENANTS)

    async def name_served(
        self, tx: ReadTx, served: Sequence[Served]
    ) -> Sequence[tuple[Tenant, Served]]:
        """The same with their tenants; those that are gone are left out."""
        names = await self._tenants.name_tenants(tx, [one.tenant_id for one in served])
        return [(names[one.tenant_id], one) for one in served if one.tenant_id in names]

    async def read_platform_facts(
        self, tx: ReadTx, overview: PlatformOverview, *, minutes: int
    ) -> Facts:
        """What the platform's verdict is made of, but for its workers; checks in their own words.

        Args:
            tx: Under the errand of the platform's objectives.
            overview: What was asked of it.
            minutes: The overview's.
        """
        standings = await self._monitoring.platform_slos.list(tx)
        slow = [
            SlowFact(tenant.name, served.p95_ms, tenant.id)
            for tenant, served in overview.tenants
            if served.p95_ms is not None
            and served.p95_ms >= SLOW_MS
            and served.requests >= _FEW_REQUESTS
        ]
        return replace(
            await self._read_ground(tx, told=True),
            window=_window(60 * minutes),
            requests=overview.requests,
            error_rate=overview.errors / overview.requests if overview.requests else None,
            slow=slow,
            slos=[
                SloFact(one.id, one.name, one.judgement.state, one.judgement.reason)
                for one in standings
            ],
        )

    async def _read_ground(self, tx: ReadTx, *, told: bool) -> Facts:
        """What a process stands on, whoever looks."""
        age, found = self._monitoring.latest or (None, ())
        return Facts(
            checks=[
                CheckFact(
                    one.name,
                    ok=one.ok,
                    required=one.required,
                    detail=one.detail if told or one.name in _PLAIN else "",
                )
                for one in found
            ],
            age_seconds=age,
            skew_seconds=await read_skew(tx),
            disk_free=await self._free_share(),
        )

    async def _read_endings(self, tx: ReadTx) -> Sequence[EndingFact]:
        # What ended long ago keeps nobody out any more who would not know it by now.
        since = tx.now() - timedelta(days=1)
        return [
            EndingFact(what, (at - tx.now()).days, address)
            for what, address, find in self._ends
            if (at := await find(tx, since)) is not None
        ]

    def judge(self, facts: Facts, fleet: Fleet, *, due: bool | None = None) -> Verdict:
        """The sentence, with who works for all tenants.

        Whether anything is due for anybody is the platform's to know; for a tenant ``due`` is None
        and its own jobs decide.
        """
        due = facts.waiting_seconds is not None if due is None else due
        return judge(
            replace(
                facts,
                workers=fleet.alive,
                draining=fleet.draining,
                worker_seen_at=fleet.seen_at,
                due=due,
            )
        )

    async def _count(self, tx: ReadTx, minutes: int) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """Jobs and messages of the last ``minutes`` by state.

        Counting is the one thing here that grows with a day's work: a million are counted in a
        tenth of a second. What took long is told again for a while, so that many who look cost no
        more than one.
        """
        now, asked = self._monotonic(), (tx.tenant_id, minutes)
        until, jobs, emails = self._counted.get(asked, (now, {}, {}))
        if now < until:
            return jobs, emails
        since = tx.now() - timedelta(minutes=minutes)
        jobs = await self._jobs.count_jobs(tx, since)
        emails = await self._emails.count_emails(tx, since)
        self._counted.pop(asked, None)
        counted = sum(jobs.values()) + sum(emails.values())
        if counted > _COUNTED_AT_ONCE:
            # Only who is busy now: the others are forgotten.
            self._counted = {key: kept for key, kept in self._counted.items() if kept[0] > now}
            keep = min(counted / _COUNTED_A_SECOND, _MAX_OLD_SECONDS)
            self._counted[asked] = (now + keep, jobs, emails)
        return jobs, emails


def _quantile(found: Sequence[float], share: float) -> float | None:
    """Of what is sorted the least that so large a share does not exceed."""
    return found[max(math.ceil(share * len(found)) - 1, 0)] if found else None


def _window(seconds: int) -> str:
    for size, noun in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            number = seconds // size
            return f"the last {noun}" if number == 1 else f"the last {number} {noun}s"
    return f"the last {seconds} seconds"
