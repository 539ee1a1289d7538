"""The orchestrator's verbs for everybody else: submit, look, cancel, retry."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar, Unpack, cast

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx, db_now
from backend.core.errors import InvalidInputError
from backend.core.ids import uuid7
from backend.core.room import Standing
from backend.core.subject import ERASED, ROWS_AT_ONCE, Bite, Subject
from backend.kit.children import Children
from backend.kit.outbound import Outbound
from backend.managers.orchestrator._advance import advance, ended_of
from backend.managers.orchestrator._answers import Answers, Callbacks
from backend.managers.orchestrator._attempts import cancel_waiting, list_attempts
from backend.managers.orchestrator._graphs import Graphs, sweep_graphs
from backend.managers.orchestrator._http_request import Asks
from backend.managers.orchestrator._lists import STATES, count_spans, lock_part, newest, total
from backend.managers.orchestrator._liveness import read_fleet
from backend.managers.orchestrator._offers import Offers
from backend.managers.orchestrator._rows import claim_of, insert_jobs, load, view_of
from backend.managers.orchestrator._schedules import Schedules
from backend.managers.orchestrator._wiring import references
from backend.managers.orchestrator._workers import Workers
from backend.managers.orchestrator.errands import SCHEDULES
from backend.managers.orchestrator.errors import (
    JobArgsFixedError,
    JobInvalidError,
    JobNotCancellableError,
    JobNotRetryableError,
    NoWorkerError,
    UnknownKindError,
    WorkerLostError,
)
from backend.managers.orchestrator.kinds import (
    Attempt,
    CancellableState,
    Fleet,
    Job,
    JobKind,
    JobRequest,
    Listed,
    Retried,
    RetryableState,
    State,
    Stopped,
    Totals,
    Which,
    by_owner,
    tell,
)
from backend.managers.orchestrator.models import (
    AWAITING,
    READY,
    RUNNING,
    JobAttemptRow,
    JobFiringRow,
    JobLimitsRow,
    JobRow,
)
from backend.managers.orchestrator.settings import OrchestratorSettings
from backend.managers.tenant import Quotas

_DEDUP = ("tenant_id", "kind", "dedup_key")
_OPEN_STATES: tuple[State, ...] = ("blocked", "ready", "running", "awaiting")
T = TypeVar("T")
_RETRYABLE: tuple[State, ...] = ("dead", "cancelled")


class OrchestratorManager:
    """Durable jobs, submitted inside the caller's transaction and run by :class:`Worker`.

    Every method acts within the scope of the transaction it is given: one tenant's jobs, or the
    platform's own.
    """

    def __init__(
        self,
        kinds: Iterable[JobKind] = (),
        settings: OrchestratorSettings = OrchestratorSettings(),  # noqa: B008 - it is frozen
        *,
        quotas: Quotas | None = None,
        outbound: Outbound | None = None,
        callbacks: Callbacks | None = None,
    ) -> None:
        self._settings = settings
        self._quotas = quotas
        self.kinds: dict[str, JobKind] = {}
        self.children = Children(settings.children)
        self._with_limits: set[str] = set()
        self.offers = Offers(self.kinds)
        self.graphs = Graphs(self.kinds, self._make_room)
        self.schedules = Schedules(self.graphs, SCHEDULES)
        self.workers = Workers(settings.ttl_seconds)
        self.answers = Answers(self.kinds, callbacks)
        for kind in kinds:
            self.register(kind)
        if outbound is not None and callbacks is not None:
            public_only = not settings.allow_private_targets
            for kind in Asks(outbound, public_only=public_only, callbacks=callbacks).kinds():
                self.register(kind)

    def register(self, kind: JobKind) -> None:
        """Make a kind known to this process: to submit it, to run it, to call its hooks.

        Raises:
            ValueError: Another kind already has this name.
        """
        if self.kinds.setdefault(kind.name, kind) is not kind:
            msg = f"two job kinds are called {kind.name!r}"
            raise ValueError(msg)

    async def submit(
        self,
        tx: Tx,
        kind: str,
        *,
        args: Mapping[str, Any],
        subject: str | None = None,
        priority: int = 0,
        delay_seconds: float = 0.0,
        max_attempts: int = 5,
        backoff_seconds: float = 1.0,
        timeout_seconds: float = 60.0,
        dedup_key: str | None = None,
    ) -> str:
        """Add one job; it exists, and starts, only if the caller's transaction commits.

        Args:
            tx: The caller's transaction; its tenant and actor become the job's.
            kind: A registered kind.
            args: Plain JSON for the handler. Visible to operators: no secrets.
            subject: What the job is about, as ``<noun>:<id>``.
            priority: Higher starts earlier within the tenant.
            delay_seconds: Not due before this time has passed on the database's clock.
            max_attempts: Failures after which the job is dead. Crashes are counted apart.
            backoff_seconds: Delay after the first failure; doubles with each, at most an hour.
            timeout_seconds: What one attempt may take.
            dedup_key: At most one job per tenant, kind and key, for as long as the job is kept.

        Returns:
            The job's id; with a ``dedup_key`` already used, the id of that job.

        Raises:
            UnknownKindError: ``kind`` is not registered in this process.
            StockReachedError: The tenant has as many waiting jobs as its quota allows.
        """
        row = self._row(
            tx,
            kind,
            {
                "args": args,
                "subject": subject,
                "priority": priority,
                "delay_seconds": delay_seconds,
                "max_attempts": max_attempts,
                "backoff_seconds": backoff_seconds,
                "timeout_seconds": timeout_seconds,
                "dedup_key": dedup_key,
            },
        )
        await self._make_room(tx, 1)
        tx.signal("jobs", tx.tenant_id)
        if dedup_key is not None:
            return await self._insert_once(tx, row)
        await tx.execute(insert_jobs(), row)
        return cast("str", row["id"])

    async def hand_in(
        self, tx: Tx, kind: str, asked: JobRequest, *, permissions: frozenset[str] = frozenset()
    ) -> tuple[Job, bool]:
        """Submit a job for the tenant, and whether it is new; audited as ``job.submitted``.

        ``asked`` is as for :meth:`submit`, ``permissions`` are the submitter's. The job that has
        its ``dedup_key`` stays as it is.

        Raises:
            JobInvalidError: Tenants may not submit such a kind, or not with such arguments.
            JobForbiddenError: The kind takes a permission that the submitter lacks.
            StockReachedError: The tenant has as many waiting jobs as its quota allows.
        """
        self.offers.check(tx, kind, asked["args"], JobInvalidError, permissions=permissions)
        row = {**asked, "id": uuid7()}
        (job_id,) = await self.submit_many(tx, kind, [cast("JobRequest", row)])
        is_new = job_id == row["id"]
        if is_new:
            tx.audit("job.submitted", f"job:{job_id}", kind=kind)
        return view_of(await load(tx, job_id)), is_new

    async def submit_many(self, tx: Tx, kind: str, rows: Iterable[JobRequest]) -> list[str]:
        """Add many jobs of one kind with one statement; the keys of a row are those of ``submit``.

        Rows with a ``dedup_key`` take one statement each. Returns the ids in the rows' order.

        Raises:
            UnknownKindError: ``kind`` is not registered in this process.
            StockReachedError: The tenant has as many waiting jobs as its quota allows.
        """
        made = [self._row(tx, kind, row) for row in rows]
        if not made:
            return []
        await self._make_room(tx, len(made))
        tx.signal("jobs", tx.tenant_id)
        tx.append(insert_jobs(), [row for row in made if row["dedup_key"] is None])
        return [
            cast("str", row["id"]) if row["dedup_key"] is None else await self._insert_once(tx, row)
            for row in made
        ]

    def _row(self, tx: Tx, kind: str, request: JobRequest) -> dict[str, Any]:
        if kind not in self.kinds:
            raise UnknownKindError(kind)
        return {
            "id": request.get("id") or uuid7(),
            "tenant_id": tx.tenant_id,
            "kind": kind,
            "args": request["args"],
            "subject": request.get("subject"),
            "priority": request.get("priority", 0),
            "due_in": request.get("delay_seconds", 0.0),
            "max_attempts": request.get("max_attempts", 5),
            "backoff_seconds": request.get("backoff_seconds", 1.0),
            "timeout_seconds": request.get("timeout_seconds", 60.0),
            "dedup_key": request.get("dedup_key"),
            "traceparent": tx.scope.traceparent,
            "actor": tx.scope.actor,
            "created_at": tx.now(),
        }

    async def _make_room(self, tx: Tx, wanted: int) -> None:
        """See to what jobs of the tenant need before there are any, and to its quota."""
        await self._ensure_limits_row(tx)
        await self._hold(tx, wanted)

    async def _hold(self, tx: Tx, wanted: int) -> None:
        """Refuse more waiting jobs than the tenant's quota.

        Raises:
            StockReachedError: It has as many as it may.
        """
        if self._quotas is not None:
            await self._quotas.hold(tx, "jobs_waiting", wanted, partial(self.count_waiting, tx))

    async def count_waiting(self, tx: ReadTx) -> int:
        """The tenant's jobs that wait for a worker, for their time, or for an answer."""
        ready = await self._count(tx, READY, JobRow.due_at)
        # Of these the partial index is by time over all tenants: it would be walked whole.
        by_tenant = "INDEXED BY ix_jobs_tenant_id_state_created_at"
        return ready + await self._count(tx, "awaiting", JobRow.created_at, hint=by_tenant)

    async def count_running(self, tx: ReadTx) -> int:
        """The jobs of the transaction's tenant that run."""
        return await self._count(tx, RUNNING, JobRow.worker)

    @staticmethod
    async def _count(tx: ReadTx, state: Any, column: Any, *, hint: str = "") -> int:
        # A column that only the index meant has beside the tenant and the state.
        return int(
            await tx.scalar(
                sa.select(sa.func.count(column))
                .with_hint(JobRow, hint, "sqlite")
                .where(JobRow.tenant_id == tx.tenant_id, JobRow.state == state)
            )
        )

    async def _ensure_limits_row(self, tx: Tx) -> None:
        """Every tenant with jobs has a row to lock while they are claimed.

        Remembered only once it is committed: a first submit that rolls back takes the row along.
        """
        tenant = tx.tenant_id
        if tenant in self._with_limits:
            return
        await tx.insert_new(
            JobLimitsRow,
            {"tenant_id": tenant, "weight": 1.0, "paused": False, "held": False},
            conflict=["tenant_id"],
        )
        tx.after_commit(lambda: self._with_limits.add(tenant))

    async def _insert_once(self, tx: Tx, row: dict[str, Any]) -> str:
        values = dict(row)
        values["due_at"] = db_now(values.pop("due_in"))
        while not await tx.insert_new(JobRow, values, conflict=_DEDUP):
            known = await tx.scalar(
                sa.select(JobRow.id).where(
                    JobRow.kind == row["kind"], JobRow.dedup_key == row["dedup_key"]
                )
            )
            # None: retention removed it between the two statements, so the key is free again.
            if known is not None:
                return cast("str", known)
        return cast("str", row["id"])

    async def get_job(self, tx: ReadTx, job_id: str) -> Job:
        """One job.

        Raises:
            JobNotFoundError: No such job in this tenant.
        """
        return view_of(await load(tx, job_id))

    async def list_attempts(self, tx: ReadTx, job_id: str) -> list[Attempt]:
        """What became of the latest attempts at a job, the newest first.

        Raises:
            JobNotFoundError: No such job in this tenant.
        """
        return await list_attempts(tx, await load(tx, job_id))

    async def list_jobs(
        self,
        tx: ReadTx,
        *,
        state: str | None = None,
        **which: Unpack[Listed],
    ) -> list[Job]:
        """Jobs of a list: one more than its ``limit``, if there is one.

        Raises:
            InvalidInputError: ``before_id`` is not an id.
        """
        return [view_of(row) for row in await newest(tx, state=state, **which)]

    async def total(self, tx: ReadTx) -> Totals:
        """How many jobs there are by kind and state, and why the newest of the dead died."""
        return await total(tx)

    async def count_spans(
        self, tx: ReadTx, bounds: Sequence[datetime]
    ) -> list[tuple[int, str, str, int]]:
        """How many jobs were made from each bound to the next, as ``(place, kind, state, count)``.

        It reads an entry of an index for each job that the tenant has.
        """
        return await count_spans(tx, bounds)

    async def count_jobs(self, tx: ReadTx, since: datetime) -> dict[str, int]:
        """Jobs by their present state; states without any are 0.

        Of those that have ended only the ones created at or after ``since``. Those that have not
        count whatever their age: the older a backlog is, the more it matters.
        """
        rows = await tx.execute(
            # Each state is a range of the index on (tenant, state, created_at): an OR, or an IN,
            # would walk through every job that ever ended. One statement, so that a job that moves
            # meanwhile is in one of them.
            sa.union_all(
                *(
                    sa.select(sa.literal(state), sa.func.count(JobRow.created_at)).where(
                        JobRow.state == state,
                        *(() if state in _OPEN_STATES else (JobRow.created_at >= since,)),
                    )
                    for state in STATES
                )
            )
        )
        counts: dict[str, int] = dict.fromkeys(STATES, 0)
        counts.update((state, count) for state, count in rows)
        return counts

    async def count_unfinished(self, tx: ReadTx) -> dict[str, int]:
        """Unfinished jobs of every tenant by state, for the fleet's gauges: a system errand."""
        counts: dict[str, int] = {}
        # One statement a state, counting a column that no index but the partial one of that state
        # covers: SQLite would else read the one that has all jobs.
        for state, condition, column in (
            ("ready", READY, JobRow.due_at),
            ("running", RUNNING, JobRow.worker),
            ("awaiting", AWAITING, JobRow.due_at),
        ):
            counts[state] = await tx.scalar(
                sa.select(sa.func.count(column)).where(JobRow.state == condition)
            )
        return counts

    async def read_wait(self, tx: ReadTx) -> float | None:
        """Seconds for which the tenant's oldest due job has been due; None: none is."""
        at = await tx.scalar(
            sa.select(JobRow.due_at)
            .where(
                JobRow.tenant_id == tx.tenant_id, JobRow.state == READY, JobRow.due_at <= db_now()
            )
            .order_by(JobRow.due_at)
            .limit(1)
        )
        return None if at is None else max((tx.now() - at).total_seconds(), 0.0)

    async def read_fleet(self, tx: ReadTx) -> Fleet:
        """Who works, and whether anything waits for them: a system errand.

        A worker that is stopped or killed counts as alive for ``ttl_seconds`` yet.
        """
        return await read_fleet(tx, self._settings.ttl_seconds)

    async def check_workers(self, tx: ReadTx) -> str:
        """Say how many work, for a person; who drains does not.

        Raises:
            NoWorkerError: Jobs are due and nobody works.
            WorkerLostError: One fell silent, and no other began in its place.
        """
        fleet = await self.read_fleet(tx)
        if fleet.alive:
            said = f"{fleet.alive} at work"
            if fleet.draining:
                said += f", {fleet.draining} draining"
            if fleet.lost:
                raise WorkerLostError(f"{said}, {fleet.lost} fell silent")
            return f"{said}, last seen {_moment(fleet.seen_at)}" if fleet.seen_at else said
        said = "no worker was ever seen"
        if fleet.draining:
            said = f"no worker takes work, {fleet.draining} draining"
        elif fleet.seen_at:
            said = f"no worker seen since {_moment(fleet.seen_at)}"
        if fleet.due:
            raise NoWorkerError(f"{said}, and jobs are due")
        return f"{said}; no job is due"

    async def cancel_job(self, tx: Tx, job_id: str) -> Job:
        """Cancel a job; audited as ``job.cancelled``.

        A waiting job is cancelled at once and its kind's ``on_cancel`` runs. A running one is
        asked to stop: its worker does so within a heartbeat, unless the job ends first or has
        begun what cannot be taken back (:meth:`Batch.begin`); then it ends as that ends.

        Raises:
            JobNotFoundError: No such job in this tenant.
            JobNotCancellableError: The job has already ended.
        """
        job = await load(tx, job_id, lock=True)
        if job.state not in _OPEN_STATES:
            detail = f"The job is {job.state}."
            raise JobNotCancellableError(detail)
        await self._stop(tx, [job])
        return view_of(job)

    async def cancel_jobs(
        self, tx: Tx, *, state: CancellableState = "ready", **which: Unpack[Which]
    ) -> Stopped:
        """Cancel a part of a list, newest first: each job as :meth:`cancel_job` would.

        Whoever goes on from ``last_id`` until it is None comes past every job once. Running ones
        that were asked already are left alone. Graphs go on once, after all of the part. Audited
        as ``job.bulk_cancelled`` beside each job's own.

        Raises:
            InvalidInputError: ``before_id`` is not an id.
        """
        part = await lock_part(tx, state, which)
        jobs = [job for job in part.jobs if not job.cancel_requested]
        await self._stop(tx, jobs)
        waited = state != "running"
        done = Stopped(len(jobs) * waited, len(jobs) * (not waited), part.last_id)
        tx.audit(
            "job.bulk_cancelled",
            f"tenant:{tx.tenant_id}",
            state=state,
            kind=which.get("kind"),
            cancelled=done.cancelled,
            asked=done.asked,
        )
        return done

    async def _stop(self, tx: Tx, jobs: Sequence[JobRow]) -> None:
        """Cancel those of some open jobs, which are locked, that wait, and ask those that run."""
        waiting = [job for job in jobs if job.state != "running"]
        for job in jobs:
            if job.state == "running":
                job.cancel_requested = True
                tx.signal("job_cancel")
        await cancel_waiting(tx, waiting)
        claims = [claim_of(job) for job in waiting]
        tell(tx, "job.cancelled", claims)
        for _, name, same in by_owner(claims, lambda one: one):
            kind = self.kinds.get(name)
            if kind is not None and kind.on_cancel is not None:
                await kind.on_cancel(tx, same)
        await advance(tx, ended_of(claims, "cancelled"))
        for job in jobs:
            tx.audit("job.cancelled", f"job:{job.id}", kind=job.kind, subject=job.subject)

    async def get_payload(
        self, tx: ReadTx, job_id: str, *, permissions: frozenset[str]
    ) -> Mapping[str, Any] | None:
        """What a job is given; None: it is the product's own, or told of who was forgotten.

        Raises:
            JobNotFoundError: No such job in this tenant.
            JobForbiddenError: To see it takes a permission that is not among these.
        """
        job = await load(tx, job_id)
        if not self.offers.has(job.kind) or job.args == {ERASED: True}:
            return None
        self.offers.check_shown(job.kind, permissions)
        return job.args

    async def read_args(
        self, tx: ReadTx, job_id: str, *, permissions: frozenset[str]
    ) -> Mapping[str, Any]:
        """What a job is given; of a kind that tenants may submit, for whoever may give it.

        Raises:
            JobNotFoundError: No such job in this tenant.
            JobForbiddenError: To see it takes a permission that is not among these.
            JobArgsFixedError: Its arguments are ours, or a person's who was forgotten, or what
                the arguments of other jobs are made of.
        """
        job = await load(tx, job_id)
        self._refuse_fixed(job)
        self.offers.check_shown(job.kind, permissions)
        return job.args

    def _refuse_fixed(self, job: JobRow) -> None:
        if not self.offers.has(job.kind):
            raise JobArgsFixedError("Jobs of this kind are made by the product itself.")
        if job.args == {ERASED: True}:
            raise JobArgsFixedError("They told of a person who was forgotten.")
        if job.wiring is not None and job.wiring.get("foreach") is not None:
            raise JobArgsFixedError("It stands for a job for each element of a list.")

    async def retry_job(
        self,
        tx: Tx,
        job_id: str,
        *,
        args: Mapping[str, Any] | None = None,
        permissions: frozenset[str] = frozenset(),
    ) -> Job:
        """Start a dead or cancelled job again with all its attempts; audited as ``job.retried``.

        One of a graph with what waits for it and was therefore skipped: ``job_graph.retried``.
        With ``args`` it is given these from now on, which is audited as ``job.args_changed`` with
        the names of the members that are others.

        The count goes on: the attempts that were made were made, and when the latest began stays.

        Raises:
            JobNotFoundError: No such job in this tenant.
            JobNotRetryableError: The job is neither dead nor cancelled.
            JobArgsFixedError: Its arguments are nobody's to change: :meth:`read_args`.
            JobInvalidError: Its kind does not take these.
            JobForbiddenError: With others it takes a permission that is not among these.
        """
        job = await load(tx, job_id, lock=True)
        if job.state not in _RETRYABLE:
            detail = f"The job is {job.state}."
            raise JobNotRetryableError(detail)
        if args is not None:
            await self._change_args(tx, job, args, permissions)
        if job.graph_id is not None:
            await self.graphs.retry(tx, job.graph_id, job_ids=[job.id])
            return view_of(await load(tx, job_id, fresh=True))
        await self._start_over(tx, [job])
        return view_of(job)

    async def _change_args(
        self, tx: Tx, job: JobRow, args: Mapping[str, Any], permissions: frozenset[str]
    ) -> None:
        self._refuse_fixed(job)
        self.offers.check(tx, job.kind, args, JobInvalidError, permissions=permissions)
        if job.graph_id is not None and any(True for _ in references(args)):
            # Whom it waits for has ended: there is nothing left to refer to that is not known.
            raise JobInvalidError("Here stands what it is given, and not where that is").at("args")
        names = sorted(
            name
            for name in {*job.args, *args}
            if name not in args or name not in job.args or args[name] != job.args[name]
        )
        job.args = dict(args)
        await tx.session.flush()
        if names:
            tx.audit("job.args_changed", f"job:{job.id}", kind=job.kind, members=names)

    async def hasten(self, tx: Tx, job_ids: Sequence[str], *, delay_seconds: float) -> int:
        """Have jobs that are due later than in so many seconds run then; returns how many.

        Others, and those that do not wait for their time, are left alone. Whoever asks audits.
        """
        if not job_ids:
            return 0
        soon = db_now(delay_seconds)
        changed = await tx.execute(
            sa.update(JobRow)
            .where(JobRow.id.in_(job_ids), JobRow.state == READY, JobRow.due_at > soon)
            .values(due_at=soon)
            .returning(JobRow.id)
            .execution_options(synchronize_session=False)
        )
        return len(changed.all())

    async def retry_jobs(
        self, tx: Tx, *, state: RetryableState = "dead", **which: Unpack[Which]
    ) -> Retried:
        """Start a part of a list again, newest first: each job as :meth:`retry_job` would.

        Whoever goes on from ``last_id`` until it is None comes past every job once, also past those
        that meanwhile failed again. A job that its kind refuses stays as it is, and is counted as
        refused. Audited as ``job.bulk_retried`` beside each job's own.

        Raises:
            InvalidInputError: ``before_id`` is not an id.
        """
        part = await lock_part(tx, state, which)
        jobs = part.jobs
        retried = 0
        for _, _, same in by_owner((job for job in jobs if job.graph_id is None), claim_of):
            retried += await _start_those_that_may(tx, same, self._start_over)
        of_graphs: dict[str, list[str]] = {}
        for job in jobs:
            if job.graph_id is not None:
                of_graphs.setdefault(job.graph_id, []).append(job.id)
        for graph_id, ids in sorted(of_graphs.items()):
            start = partial(self._start_over_in_graph, graph_id)
            retried += await _start_those_that_may(tx, ids, start)
        done = Retried(retried, len(jobs) - retried, part.last_id)
        tx.audit(
            "job.bulk_retried",
            f"tenant:{tx.tenant_id}",
            state=state,
            kind=which.get("kind"),
            retried=done.retried,
            refused=done.refused,
        )
        return done

    async def _start_over_in_graph(self, graph_id: str, tx: Tx, job_ids: Sequence[str]) -> None:
        """Make jobs of a graph, which are locked, ready again, with what waits for them."""
        # One that waited for another of them is begun again with that.
        left = await tx.scalars(
            sa.select(JobRow.id).where(JobRow.id.in_(job_ids), JobRow.state.in_(_RETRYABLE))
        )
        if left:
            await self.graphs.retry(tx, graph_id, job_ids=left)

    async def _start_over(self, tx: Tx, jobs: Sequence[JobRow]) -> None:
        """Make jobs of one kind, which are locked and of no graph, ready again.

        Raises:
            JobNotRetryableError: Their kind refuses one of them; the caller undoes what was done.
        """
        ids = [job.id for job in jobs]
        await tx.execute(
            sa.update(JobRow)
            .where(JobRow.id.in_(ids))
            .values(
                state="ready",
                forgiven=JobRow.attempt,
                crashes=0,
                cancel_requested=False,
                worker=None,
                error=None,
                result=None,
                finished_at=None,
                due_at=db_now(),
            )
            .execution_options(synchronize_session=False)
        )
        # Into the same objects.
        await tx.scalars(
            sa.select(JobRow).where(JobRow.id.in_(ids)).execution_options(populate_existing=True)
        )
        claims = [claim_of(job) for job in jobs]
        kind = self.kinds.get(jobs[0].kind)
        if kind is not None and kind.on_retry is not None:
            await kind.on_retry(tx, claims)
        for job in jobs:
            tx.audit("job.retried", f"job:{job.id}", kind=job.kind, subject=job.subject)
        tell(tx, "job.retried", claims)
        tx.signal("jobs")

    async def sweep_finished(self, tx: Tx, *, limit: int = 5000) -> int:
        """Forget up to ``limit`` jobs that ended too long ago; needs the errand.

        Those of a graph go when all of it ended so long ago, then what became of the times of
        schedules, and of attempts. What jobs did stays where it was recorded. Returns how many rows
        went, so that the caller can go on in transactions that stay short.
        """
        before = tx.now() - timedelta(days=self._settings.keep_finished_days)
        gone = await tx.delete_some(
            JobRow,
            JobRow.finished_at < before,
            JobRow.graph_id.is_(None),
            limit=limit,
            by=JobRow.finished_at,
        )
        return (
            gone
            or await sweep_graphs(tx, before)
            or await tx.delete_some(
                JobFiringRow,
                JobFiringRow.decided_at < before,
                limit=limit,
                by=JobFiringRow.decided_at,
            )
            or await tx.delete_some(
                JobAttemptRow,
                JobAttemptRow.ended_at < before,
                limit=limit,
                by=JobAttemptRow.ended_at,
            )
        )

    async def erase_finished(self, tx: Tx, who: Subject, after: str) -> Bite:
        """What finished jobs of the tenant were given and said, where that tells of a person.

        Of one that is not finished its work would go with it: it is waited for.
        """
        if who.address is None:
            return Bite(0)
        theirs = sa.or_(
            who.is_told_in(JobRow.args),
            who.is_told_in(JobRow.result),
            who.is_told_in(JobRow.error),
        )
        done = await tx.rewrite_some(
            JobRow,
            sa.and_(JobRow.finished_at.is_not(None), theirs),
            {
                "args": {ERASED: True},
                "result": None,
                "error": sa.case((JobRow.error.is_not(None), ERASED)),
            },
            after=after,
            limit=ROWS_AT_ONCE,
        )
        waiting = await tx.scalar(sa.select(sa.func.count(JobRow.id)).where(*done.within, theirs))
        return Bite(done.looked_at, {JobRow.__tablename__: done.changed}, waiting, done.after)

    async def erase_attempts(self, tx: Tx, who: Subject, after: str) -> Bite:
        """What attempts at jobs of the tenant failed of, where that tells of a person."""
        if who.address is None:
            return Bite(0)
        done = await tx.rewrite_some(
            JobAttemptRow,
            who.is_told_in(JobAttemptRow.error),
            {"error": ERASED},
            after=after,
            limit=ROWS_AT_ONCE,
            by=JobAttemptRow.job_id,
        )
        return Bite(done.looked_at, {JobAttemptRow.__tablename__: done.changed}, after=done.after)

    async def tell_running_since(self, tx: Tx, since: datetime) -> str | None:
        """What the end of an erasure waits for: attempts that had begun by then, and still run."""
        count = await tx.scalar(
            sa.select(sa.func.count(JobRow.id)).where(
                JobRow.tenant_id == tx.tenant_id,
                JobRow.state == RUNNING,
                JobRow.started_at <= since,
            )
        )
        return f"{count} job(s) that have been running since before have to end." if count else None

    async def set_limits(
        self,
        tx: Tx,
        *,
        max_running: int | None = None,
        weight: float = 1.0,
        rate: float | None = None,
        burst: int | None = None,
        paused: bool = False,
    ) -> None:
        """Set what the transaction's tenant may use of the fleet; audited.

        Args:
            tx: The tenant's own scope, or a platform errand's.
            max_running: Jobs running at once over all workers; exact. None: no limit.
            weight: Share of the fleet relative to other tenants when all are busy.
            rate: Starts per second. None: no limit.
            burst: Starts allowed at once after a pause; default one second's worth.
            paused: Start nothing new.

        Raises:
            InvalidInputError: A limit is not positive.
        """
        if any(value is not None and value <= 0 for value in (max_running, weight, rate, burst)):
            detail = "Limits are positive numbers; to stop a tenant's jobs, pause it."
            raise InvalidInputError(detail)
        limits: dict[str, Any] = {
            "max_running": max_running,
            "weight": weight,
            "rate": rate,
            "burst": burst,
            "paused": paused,
        }
        await tx.upsert(
            JobLimitsRow,
            {"tenant_id": tx.tenant_id, "held": False, **limits},
            conflict=["tenant_id"],
            update={**limits, "open_at": None},
        )
        tx.audit(
            "job_limits.changed",
            f"tenant:{tx.tenant_id}",
            max_running=max_running,
            weight=str(weight),
            rate=None if rate is None else str(rate),
            burst=burst,
            paused=paused,
        )
        tx.signal("jobs")

    async def keep_standing(self, tx: Tx, standing: Standing) -> None:
        """Start no job of the transaction's tenant while it is not active; running ones end.

        Nor more at once than its quota.

        Beside the limits that claims look at and lock anyway: who is held costs them nothing, and
        no claim is between the change and its commit.
        """
        kept: dict[str, Any] = {
            "held": not standing.active,
            "quota_running": standing.quotas.get("jobs_running"),
        }
        await tx.upsert(
            JobLimitsRow,
            {"tenant_id": tx.tenant_id, "weight": 1.0, "paused": False, **kept},
            conflict=["tenant_id"],
            update=kept,
        )
        tx.signal("jobs")


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


async def _start_those_that_may(
    tx: Tx, some: Sequence[T], start: Callable[[Tx, Sequence[T]], Awaitable[None]]
) -> int:
    """How many could be started again; what a kind refuses stays as it is."""
    try:
        async with tx.savepoint():
            await start(tx, some)
    except JobNotRetryableError:
        if len(some) == 1:
            return 0
        # The kind does not say which: by halves, few are asked for alone.
        half = len(some) // 2
        first = await _start_those_that_may(tx, some[:half], start)
        return first + await _start_those_that_may(tx, some[half:], start)
    return len(some)
