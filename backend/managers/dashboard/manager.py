"""The read model of the overview page: one answer for one look."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from backend.core.clock import monotonic as system_monotonic
from backend.core.database import ReadTx, db_now
from backend.managers.dashboard._verdict import BOUNCED, CheckFact, Facts, SloFact, Verdict, judge
from backend.managers.email import EmailManager
from backend.managers.metrics import MetricsManager, Series
from backend.managers.monitoring import MonitoringManager
from backend.managers.orchestrator import Fleet, OrchestratorManager

_COUNTED_AT_ONCE: Final = 10_000
_COUNTED_A_SECOND: Final = 100_000
_MAX_OLD_SECONDS: Final = 10.0
_WAITS: Final = ("queued", "sending", "deferred")
_BOUNCES: Final = 100
"""The newest that bounced, whose reasons are told."""
_OBJECTIVES: Final = 50


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
    failures: Sequence[Failure]


class DashboardManager:
    """Reads from the managers below through their doors; owns no table."""

    def __init__(
        self,
        metrics: MetricsManager,
        jobs: OrchestratorManager,
        emails: EmailManager,
        monitoring: MonitoringManager,
        *,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._metrics = metrics
        self._jobs = jobs
        self._emails = emails
        self._monitoring = monitoring
        self._monotonic = monotonic
        self._counted: dict[
            tuple[str, int], tuple[float, Mapping[str, int], Mapping[str, int]]
        ] = {}

    async def read_overview(self, tx: ReadTx, *, minutes: int, failures: int = 10) -> Overview:
        """Series and counts by state over the last ``minutes``, the newest failures."""
        jobs, emails = await self._count(tx, minutes)
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
            failures=sorted(found, key=lambda one: one.at, reverse=True)[:failures],
        )

    async def read_facts(self, tx: ReadTx, overview: Overview) -> Facts:
        """What the verdict is made of, but for the platform's workers.

        Of the platform's health it tells what fails and not what that says, which may name hosts.
        """
        emails, series, delivery = overview.emails, overview.series, overview.delivery
        seconds = series.window_seconds
        age, found = self._monitoring.latest or (None, ())
        settings = await self._emails.email_settings.get(tx)
        relay = await self._emails.email_settings.show_relay(tx, settings)
        # A pause of one sender's mail is not the mail server's.
        pauses = [one for one in relay.pauses if one.sender is None]
        bounced = delivery.bounced and delivery.bounced >= BOUNCED * delivery.settled
        standings = await self._monitoring.slos.list(tx, limit=_OBJECTIVES)
        return Facts(
            window=_window(seconds),
            checks=[CheckFact(one.name, ok=one.ok, required=one.required) for one in found],
            age_seconds=age,
            waiting_seconds=await self._jobs.read_wait(tx),
            requests=round(series.requests_per_second * seconds),
            error_rate=series.error_rate,
            p95_ms=series.p95_ms,
            settled=delivery.settled,
            bounced=delivery.bounced,
            partial=delivery.partial,
            open_messages=sum(emails.get(state, 0) for state in _WAITS),
            reasons=await self._reasons(tx, seconds) if bounced else {},
            relay=pauses[0].reason or pauses[0].kind if pauses else None,
            skew_seconds=(tx.now() - await tx.scalar(sa.select(db_now()))).total_seconds(),
            slos=[
                SloFact(one.slo.id, one.slo.name, one.judgement.state, one.judgement.reason)
                for one in standings
            ],
        )

    def judge(self, facts: Facts, fleet: Fleet) -> Verdict:
        """The sentence, with who works for all tenants."""
        # Whether anything is due for anybody is not a tenant's to know: for its own it is.
        due = facts.waiting_seconds is not None
        return judge(replace(facts, workers=fleet.alive, worker_seen_at=fleet.seen_at, due=due))

    async def _reasons(self, tx: ReadTx, seconds: int) -> Mapping[str, int]:
        since = tx.now() - timedelta(seconds=seconds)
        failures = await self._emails.list_failures(tx, _BOUNCES)
        return Counter(
            # What stands before is whose mail it was.
            said.partition(": ")[2]
            for email, said in failures
            if email.state == "bounced" and email.created_at >= since and said
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


def _window(seconds: int) -> str:
    for size, noun in ((86_400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            number = seconds // size
            return f"the last {noun}" if number == 1 else f"the last {number} {noun}s"
    return f"the last {seconds} seconds"
