"""The read model of the overview page: one answer for one look."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from backend.core.clock import monotonic as system_monotonic
from backend.core.database import ReadTx
from backend.managers.email import EmailManager
from backend.managers.metrics import MetricsManager, Series
from backend.managers.orchestrator import OrchestratorManager

_COUNTED_AT_ONCE: Final = 10_000
_COUNTED_A_SECOND: Final = 100_000
_MAX_OLD_SECONDS: Final = 10.0


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
        *,
        monotonic: Callable[[], float] = system_monotonic,
    ) -> None:
        self._metrics = metrics
        self._jobs = jobs
        self._emails = emails
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
