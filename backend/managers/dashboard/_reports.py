"""The job kind ``report``: what was made of jobs or e-mails in whole days, for a graph to send on.

A report of a schedule is about the days before it runs, by the clocks of a zone. It is counted in
one read-only statement in its tenant's scope, which its job's timeout ends.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, available_timezones

import msgspec
from msgspec import Meta

from backend.core.context import Scope
from backend.core.database import Database, ReadTx
from backend.kit.csv_table import write_rows
from backend.managers.email import READ as READ_EMAILS
from backend.managers.email import EmailManager
from backend.managers.orchestrator import READ as READ_JOBS
from backend.managers.orchestrator import Batch, Claim, JobKind, OrchestratorManager, Outcome

REPORT: Final = "report"
MAX_ROWS: Final = 1000
_NEEDED: Final[Mapping[str, str]] = {"job": READ_JOBS, "email": READ_EMAILS}
_CSV_SECONDS: Final = 30.0

Part = Literal["day", "kind", "state"]


class ReportArgs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is counted, and by what.

    Attributes:
        of: Jobs, or e-mails.
        days: So many whole days before the one on which it runs.
        zone: By whose clocks, of the IANA's database.
        by: A row for each of these; e-mails have no kind.
        csv: Whether the rows are there as CSV, too.
    """

    of: Literal["job", "email"]
    days: Annotated[int, Meta(ge=1, le=31)] = 1
    zone: Annotated[str, Meta(max_length=60)] = "UTC"
    by: Annotated[tuple[Part, ...], Meta(min_length=1, max_length=3)] = ("state",)
    csv: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be counted so.

        Raises:
            ValueError: No such zone, a part that is there twice, or the kind of an e-mail.
        """
        if self.zone not in available_timezones():
            raise ValueError(f"There is no zone {self.zone}")
        if len(set(self.by)) < len(self.by):
            raise ValueError("Each of by stands there once")
        if self.of == "email" and "kind" in self.by:
            raise ValueError("E-mails have no kind")

    def midnights(self, now: datetime) -> list[datetime]:
        """Where its days begin, and where the last one ends."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        days = (today - timedelta(days=back) for back in range(self.days, -1, -1))
        return [datetime.combine(day, time(), zone).astimezone(UTC) for day in days]


class Reports:
    """Makes reports, by the doors of the rooms that they are about."""

    def __init__(self, jobs: OrchestratorManager, emails: EmailManager) -> None:
        self._jobs = jobs
        self._emails = emails

    def kind(self, database: Database) -> JobKind:
        """The kind of job that makes one."""
        self._jobs.children.expect(write_rows)

        async def run(batch: Batch) -> None:
            (claim,) = batch.claims
            try:
                asked = msgspec.convert(claim.args, ReportArgs)
            except msgspec.ValidationError as exc:
                # Of what another job answered: no other try would find anything else.
                batch.finish(claim, Outcome.fail(f"args: {exc}"))
                return
            async with database.read(Scope(claim.actor, claim.tenant_id)) as view:
                made = await self.make(view, asked)
            if asked.csv:
                made["csv"] = await self._csv(batch, claim, made)
            batch.finish(claim, Outcome.done(made))

        return JobKind(
            REPORT,
            run,
            announce=True,
            takes=ReportArgs,
            needs=_permissions,
            aclose=self._jobs.children.aclose,
        )

    async def make(self, tx: ReadTx, asked: ReportArgs) -> dict[str, Any]:
        """Count; the result of a job, in plain JSON.

        A thousand rows at most, in the order of ``by``; ``total`` is of all.
        """
        bounds = asked.midnights(tx.now())
        found = await self._count(tx, asked, bounds)
        zone = ZoneInfo(asked.zone)
        days = [bound.astimezone(zone).date().isoformat() for bound in bounds]
        counts: Counter[tuple[str, ...]] = Counter()
        for place, kind, state, count in found:
            whole = {"day": days[place], "kind": kind, "state": state}
            counts[tuple(whole[part] for part in asked.by)] += count
        rows = [
            {**dict(zip(asked.by, key, strict=True)), "count": counts[key]}
            for key in sorted(counts)[:MAX_ROWS]
        ]
        return {
            "of": asked.of,
            "zone": asked.zone,
            "first_day": days[0],
            "last_day": days[-2],
            "since": bounds[0].isoformat(),
            "until": bounds[-1].isoformat(),
            "columns": [*asked.by, "count"],
            "rows": rows,
            "total": counts.total(),
            "complete": len(counts) <= MAX_ROWS,
        }

    async def _count(
        self, tx: ReadTx, asked: ReportArgs, bounds: Sequence[datetime]
    ) -> Sequence[tuple[int, str, str, int]]:
        if asked.of == "job":
            return await self._jobs.count_spans(tx, bounds)
        found = await self._emails.count_spans(tx, bounds)
        return [(place, "", state, count) for place, state, count in found]

    async def _csv(self, batch: Batch, claim: Claim, made: Mapping[str, Any]) -> str:
        """The rows as CSV, written in a child: what a table is made of is no work for the loop."""
        columns = made["columns"]
        rows = [columns, *([row[column] for column in columns] for row in made["rows"])]
        async with AsyncExitStack() as stack:
            with batch.untimed():
                children = self._jobs.children
                place = await stack.enter_async_context(children.place(claim.tenant_id))
            written: bytes = await place.run(write_rows, rows, seconds=_CSV_SECONDS)
            return written.decode()


def _permissions(args: Mapping[str, Any] | None) -> frozenset[str]:
    """What whoever asks has to be able to read; of what nobody knows yet, all."""
    needed = None if args is None else _NEEDED.get(str(args.get("of")))
    return frozenset(_NEEDED.values() if needed is None else [needed])
