"""The worker: claims jobs, runs their handlers, records what became of them, and stays honest.

Three loops share one dictionary of what this worker holds:

* claiming, which takes work while there is room, and sleeps until a hint or the next poll;
* flushing, which records outcomes in batches: what gathers during one commit goes with the next;
* beating, which says that the worker lives, learns what was cancelled or lost and whether it is to
  drain, gives back claims it never heard of (their COMMIT arrived, the answer did not), and reaps
  dead workers.

None of them dies with the database: each waits and goes on where it was.

Nothing is begun that somebody else may have: work is claimed, launched and begun only while this
worker's own heartbeat is known to hold (:class:`Lease`). What is claimed or waits while it does not
is dropped, and given back uncounted by a later beat. So after an outage, or a time in which this
process was frozen, at most what was in the middle of being done is done twice.
"""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from typing import Any, Final

from backend.core.clock import elapsed, monotonic
from backend.core.context import SystemScope
from backend.core.database import Database, DatabaseUnavailableError
from backend.core.telemetry import Step
from backend.managers.orchestrator._claim import Claimed, Places, claim, claim_one, has_candidates
from backend.managers.orchestrator._finish import Hooks, finish
from backend.managers.orchestrator._liveness import (
    Heard,
    Lease,
    Watch,
    beat,
    forget_lost,
    give_back,
    has_stranded,
    reap,
    say_goodbye,
)
from backend.managers.orchestrator._workers import DRAIN_SIGNAL
from backend.managers.orchestrator.errands import CLAIM, WORK
from backend.managers.orchestrator.kinds import Batch, Claim, JobKind, Outcome, describe
from backend.managers.orchestrator.manager import OrchestratorManager

logger = logging.getLogger(__name__)

_CLAIMING: Final = SystemScope(CLAIM)
_FLUSH_LIMIT: Final = 500
_CLAIM_GAP_SECONDS: Final = 0.005
_LAST_WORDS_SECONDS: Final = 10.0
_LOOKS_PER_BEAT: Final = 4
# What lies between asking and doing: a few steps of the event loop. A quarter of a short lease.
_BEGIN_SECONDS: Final = 1.0
_HOOKS: Final[tuple[Hooks, ...]] = ("all", "without apply", "none")
_MOST_STEPS: Final = 32
_UNREPORTED: Final = "the handler ended without reporting this job"

OnEvent = Callable[..., None]


def _ignore(name: str, **labels: Any) -> None:
    """The metrics hook of those who want none."""


class _Run:
    """One call of a handler: a batch of claims and the task that works on them."""

    __slots__ = (
        "begun",
        "cancelled",
        "claims",
        "deadline",
        "gone",
        "kind",
        "open",
        "started",
        "steps",
        "task",
        "term",
    )

    def __init__(self, kind: JobKind, claims: list[Claim], term: int) -> None:
        self.kind = kind
        self.term = term
        self.claims = claims
        self.open = {each.id: each for each in claims}
        self.begun: set[str] = set()
        self.cancelled: set[str] = set()
        self.gone: set[str] = set()
        self.steps: dict[str, list[Step]] = {}
        self.deadline: asyncio.Timeout | None = None
        self.task: asyncio.Task[None] | None = None
        self.started = monotonic()

    def note(self, claim: Claim, step: Step) -> None:
        """Keep what an attempt asked of others until it is told what became of it."""
        noted = self.steps.setdefault(claim.id, [])
        if len(noted) < _MOST_STEPS:
            noted.append(step)

    @contextlib.contextmanager
    def untimed(self) -> Iterator[None]:
        """Stop the clock of the handler's timeout; it starts anew afterwards."""
        if self.deadline is None or self.deadline.expired():
            yield
            return
        self.deadline.reschedule(None)
        yield
        self.start_clock()

    def start_clock(self) -> None:
        """Give the handler as much time from now as an unreported claim may take."""
        if self.deadline is not None and not self.deadline.expired():
            now = asyncio.get_running_loop().time()
            self.deadline.reschedule(now + self.patience())

    def patience(self) -> float:
        """The longest time that any unreported claim may take."""
        return max((each.timeout_seconds for each in self.open.values()), default=0.0)

    def stop_if_idle(self) -> None:
        """End the handler once nothing it could still report is wanted.

        Of a cancelled claim that has begun it is: what became of it cannot be told otherwise.
        """
        unwanted = (self.cancelled - self.begun) | self.gone
        if self.task is not None and not self.open.keys() - unwanted:
            self.task.cancel()


class Worker:
    """Runs jobs of the given kinds until :meth:`stop`.

    Args:
        database: Where the jobs are; its signals wake the worker.
        manager: Registers the kinds, so that operators' verbs find their hooks.
        kinds: What this worker runs; default: everything the manager knows when it starts.
        scope: The errand for what it does but claim; hooks run in their jobs' tenants' scopes.
        concurrency: Claims held at once. A batch keeps its places until its handler returns, so
            that the next batch can be as large.
        tenant_share: Share of them that one tenant alone may hold (:class:`Places`).
        ttl_seconds: After this silence others take the jobs. A handler that blocks the event loop
            for so long makes its worker look dead.
        beat_seconds: Time between heartbeats: how soon a cancellation arrives without a hint.
        poll_seconds: Time between looks for due work when no hint arrives.
        grace_seconds: What running jobs get to end after :meth:`stop`.
        name: Prefix of the worker's id; default the host's name.
        version: The program's, for operators.
        on_event: Called as ``on_event(name, **labels)`` for metrics: ``job_claimed`` (kind,
            count), ``job_finished`` (kind, outcome, seconds, traceparent, tenant, job, attempt,
            steps),
            ``job_refused`` (kind), ``job_reaped`` (outcome, count), ``job_released`` (count),
            ``claim_ended`` (seconds, claimed), ``database_lost`` (loop).
    """

    def __init__(
        self,
        database: Database,
        manager: OrchestratorManager,
        kinds: Iterable[JobKind] | None = None,
        *,
        scope: SystemScope | None = None,
        concurrency: int = 125,
        tenant_share: float = 0.8,
        ttl_seconds: float = 6.0,
        beat_seconds: float = 2.0,
        poll_seconds: float = 0.5,
        grace_seconds: float = 20.0,
        name: str | None = None,
        version: str | None = None,
        on_event: OnEvent = _ignore,
    ) -> None:
        if not beat_seconds < ttl_seconds:
            msg = "a worker must beat more often than its lease runs out"
            raise ValueError(msg)
        for kind in kinds or ():
            manager.register(kind)
        # Fresh for every start: what an earlier process of this name did can never be accepted.
        self.id = f"{name or socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"
        self._version = version
        self._database = database
        self._kinds = {each.name: each for each in kinds or manager.kinds.values()}
        self._names = sorted(self._kinds)
        self._scope = scope or SystemScope(WORK)
        self._concurrency = concurrency
        self._tenant_share = tenant_share
        self._ttl = ttl_seconds
        self._lease = Lease(ttl_seconds)
        self._watch = Watch(ttl_seconds, beat_seconds)
        self._silent: frozenset[str] = frozenset()
        self._begin_seconds = min(_BEGIN_SECONDS, (ttl_seconds - beat_seconds) / 4)
        self._beat_every = beat_seconds
        self._poll = poll_seconds
        self._grace = grace_seconds
        self._on_event = on_event
        self._runs: set[_Run] = set()
        self._held: dict[str, _Run] = {}
        self._busy: Counter[str] = Counter()
        self._outbox: list[tuple[_Run, Claim, Outcome]] = []
        self._unflushed: set[str] = set()
        self._claiming = False
        self._draining = False
        self._claims_begun = 0
        self._strays: dict[tuple[str, int], tuple[float, int]] = {}
        self._wake = asyncio.Event()
        self._named = ""
        self._report_wake = asyncio.Event()
        self._beat_wake = asyncio.Event()
        self._renewed = asyncio.Event()
        self._flushed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._closing = asyncio.Event()
        database.signals.subscribe("jobs", self._hint)
        database.signals.subscribe("job_cancel", lambda _: self._beat_wake.set())
        database.signals.subscribe(DRAIN_SIGNAL, self._hear)

    @property
    def running(self) -> int:
        """How many claims are being worked on."""
        return self._busy.total()

    def stop(self) -> None:
        """Ask :meth:`run` to end: claim nothing more, let running jobs end, give back the rest."""
        self._stopping.set()
        self._wake.set()
        self._renewed.set()

    async def run(self) -> None:
        """Work until :meth:`stop`, then leave nothing behind.

        Cancelling this coroutine instead is like killing the process: the jobs go to others when
        the heartbeat has run out.
        """
        flusher = asyncio.create_task(self._restarting("flush", self._flush_forever))
        beater = asyncio.create_task(self._restarting("beat", self._beat_forever))
        try:
            await self._restarting("claim", self._claim_until_stopped)
            # The heart beats on while running jobs end, or others would take them.
            await self._wind_down()
            self._closing.set()
            self._beat_wake.set()
            await asyncio.wait([beater], timeout=_LAST_WORDS_SECONDS)
        finally:
            tasks = [flusher, beater, *(run.task for run in self._runs if run.task is not None)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._leave()
        logger.info("worker_left", extra={"worker": self.id})

    # ------------------------------------------------------------------ claiming

    async def _claim_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            named, self._named = self._named, ""
            # Nothing is claimed without a heartbeat: the others would take it for stranded.
            if not self._lease.holds(elapsed(), self._begin_seconds):
                await self._until_renewed()
                continue
            room = 0 if self._draining else self._concurrency - self.running
            # Outcomes that the database has not taken yet count as well: when it is slow, work
            # must not pile up here.
            room = min(room, 2 * self._concurrency - len(self._held))
            found = await self._claim(room, named) if room > 0 else Claimed([], more=False)
            if found.claims:
                # Lets the new tasks run, and lets places and work gather: one claim for ten jobs
                # costs little more than one claim for a single job.
                await asyncio.sleep(_CLAIM_GAP_SECONDS)
            elif found.more:
                await asyncio.sleep(random.uniform(0.002, 0.015))  # noqa: S311 - not a secret
            if not found.more:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll):
                        await self._wake.wait()

    async def _until_renewed(self) -> None:
        self._renewed.clear()
        self._beat_wake.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._poll):
                await self._renewed.wait()

    def _hint(self, tenant_id: str) -> None:
        # Of several nobody is named: then it matters who is next.
        self._named = "" if self._wake.is_set() else tenant_id
        self._wake.set()

    async def _claim(self, room: int, named: str) -> Claimed:
        started = monotonic()
        term = self._lease.term
        places = Places(self._concurrency, self._busy, self._tenant_share)
        if self._database.dialect == "sqlite":
            # One writer at a time: an idle worker looks without becoming it.
            async with self._database.read(_CLAIMING) as view:
                found = await has_candidates(view, places, self._names)
            # Asked to end or to drain meanwhile: what is due now is for others.
            if not found or self._draining or self._stopping.is_set():
                return Claimed([], more=False)
        self._claiming = True
        self._claims_begun += 1
        try:
            async with self._database.transaction(_CLAIMING) as tx:
                claimed = Claimed([], more=False)
                # Idle, and told of one tenant: the sooner it has begun the better, and no other
                # waits for this worker.
                if named and not self._held and self._database.dialect == "postgresql":
                    claimed = await claim_one(tx, self.id, named, self._names)
                if not claimed.claims:
                    claimed = await claim(tx, self.id, places, self._names, most=room)
        finally:
            self._claiming = False
            if self._draining:
                self._beat_wake.set()  # only now it can be said that nothing more is taken
        self._on_event("claim_ended", seconds=monotonic() - started, claimed=len(claimed.claims))
        if self._is_certain(term):
            self._start(claimed.claims)
        # Else others may have reaped it already: what is still ours a later beat gives back.
        return claimed

    def _start(self, claims: Sequence[Claim]) -> None:
        groups: dict[tuple[str, str], list[Claim]] = {}
        for each in claims:
            stale = self._held.get(each.id)
            if stale is not None:
                # We hold an older attempt at this job, which is ours no more.
                self._lose(stale, each.id)
            kind = self._kinds[each.kind]
            group = groups.setdefault((each.kind, each.tenant_id), [])
            group.append(each)
            if len(group) == kind.batch_size:
                self._launch(kind, groups.pop((each.kind, each.tenant_id)))
        for (name, _), group in groups.items():
            self._launch(self._kinds[name], group)
        for name, count in Counter(each.kind for each in claims).items():
            self._on_event("job_claimed", kind=name, count=count)

    def _launch(self, kind: JobKind, claims: list[Claim]) -> None:
        run = _Run(kind, claims, self._lease.term)
        self._runs.add(run)
        self._busy[claims[0].tenant_id] += len(claims)
        for each in claims:
            self._held[each.id] = run
        run.task = asyncio.create_task(self._execute(run))

    # ------------------------------------------------------------------ running

    async def _execute(self, run: _Run) -> None:
        batch = Batch(
            run.claims,
            lambda claim, outcome: self._report(run, claim, outcome),
            lambda claim: claim.id in run.cancelled or claim.id in run.gone,
            self._stopping.is_set,
            lambda claim: self._begin(run, claim),
            note=run.note,
            untimed=run.untimed,
        )
        error = _UNREPORTED
        try:
            if not self._is_certain(run.term):  # frozen since it was launched
                for each in run.claims:
                    self._begin(run, each)
                return
            async with asyncio.timeout(run.patience()) as run.deadline:
                await run.kind.run(batch)
        except TimeoutError as exc:
            ours = run.deadline is not None and run.deadline.expired()
            error = f"timed out after {run.patience():g} s" if ours else describe(exc)
        except asyncio.CancelledError as exc:
            if run.task is None or not run.task.cancelling():
                # Nobody cancelled us: something the handler awaited was, which is its failure.
                error = describe(exc)
            elif self._stopping.is_set() or not (run.cancelled or run.gone):
                # The worker is ending: what is unreported goes back with everything else.
                run.gone.update(run.open)
                raise
        except Exception as exc:
            error = describe(exc)
            if run.open:
                logger.warning(
                    "job_handler_failed",
                    extra={"kind": run.kind.name, "jobs": list(run.open)[:10]},
                    exc_info=True,
                )
        finally:
            self._settle(run, error)

    def _is_certain(self, term: int) -> bool:
        """Whether what was claimed in this term is ours for as long as it takes to begin."""
        return term == self._lease.term and self._lease.holds(elapsed(), self._begin_seconds)

    def _begin(self, run: _Run, claim: Claim) -> bool:
        if self._is_certain(run.term):
            run.begun.add(claim.id)
            return True
        # Certainly not begun: a beat that still finds it ours gives it back.
        run.gone.add(claim.id)
        if self._held.get(claim.id) is run:
            del self._held[claim.id]
        return False

    def _settle(self, run: _Run, error: str) -> None:
        # The handler has ended: a timeout that is over cannot be moved any more, and trying to
        # raises, which would leave all but the first claim held for ever.
        run.deadline = None
        if error is _UNREPORTED and self._stopping.is_set():
            # Not begun because we are ending: goes back with everything else that is ours.
            run.gone.update(run.open.keys() - run.cancelled)
        for each in list(run.open.values()):
            if each.id in run.cancelled - run.begun:
                self._report(run, each, Outcome.cancelled())
            else:
                self._report(run, each, Outcome.retry(error))
        self._runs.discard(run)
        tenant = run.claims[0].tenant_id
        self._busy[tenant] -= len(run.claims)
        if not self._busy[tenant]:
            del self._busy[tenant]
        self._wake.set()

    def _report(self, run: _Run, claim: Claim, outcome: Outcome) -> None:
        if run.open.pop(claim.id, None) is not claim:
            msg = f"job {claim.id} is not open in this batch"
            raise ValueError(msg)
        if claim.id in run.gone:
            return
        self._outbox.append((run, claim, outcome))
        self._unflushed.add(claim.id)
        self._report_wake.set()
        if run.open and run.deadline is not None and not run.deadline.expired():
            # The limit is per job: whoever reports one has earned the time for the next.
            run.start_clock()
            # A cancelled claim that had begun may have been what kept the handler going.
            run.stop_if_idle()

    def _lose(self, run: _Run, job_id: str) -> None:
        """The job belongs to somebody else by now: forget it, and stop working on it."""
        run.gone.add(job_id)
        self._unflushed.discard(job_id)
        if self._held.get(job_id) is run:
            del self._held[job_id]
        self._on_event("job_refused", kind=run.kind.name)
        logger.warning("job_lost", extra={"job": job_id, "worker": self.id})
        run.stop_if_idle()

    # ------------------------------------------------------------------ recording

    async def _flush_forever(self) -> None:
        while True:
            await self._report_wake.wait()
            while self._outbox:
                batch = self._outbox[:_FLUSH_LIMIT]
                await self._record(batch)
                # Removed only now: when the database was away, the loop starts over with them.
                del self._outbox[: len(batch)]
            self._report_wake.clear()
            self._flushed.set()

    async def _record(self, batch: list[tuple[_Run, Claim, Outcome]]) -> None:
        try:
            await self._record_together(batch)
        except DatabaseUnavailableError:
            raise
        except Exception:
            # One outcome cannot be stored, or one hook fails on it. The others must not suffer.
            logger.exception("outcomes_not_recorded", extra={"count": len(batch)})
            for one in batch:
                await self._record_alone(one)

    async def _record_alone(self, one: tuple[_Run, Claim, Outcome]) -> None:
        run, claim_, outcome = one
        instead = outcome
        # Less and less of what may fail, and at last only the state: a job that can never be
        # recorded would be claimed and run for ever.
        for hooks in _HOOKS:
            try:
                await self._record_together([(run, claim_, instead)], hooks)
            except DatabaseUnavailableError:
                raise
            except Exception as exc:
                if hooks == "none":
                    raise
                logger.exception(
                    "outcome_not_recorded", extra={"job": claim_.id, "kind": claim_.kind}
                )
                instead = Outcome.retry(f"{outcome.verdict}, but not recorded: {describe(exc)}")
            else:
                return

    async def _record_together(
        self, batch: list[tuple[_Run, Claim, Outcome]], hooks: Hooks = "all"
    ) -> None:
        current = [(claim, outcome) for run, claim, outcome in batch if claim.id not in run.gone]
        accepted: list[tuple[Claim, Outcome, float]] = []
        if current:
            async with self._database.transaction(self._scope) as tx:
                accepted = await finish(tx, self.id, current, self._kinds, hooks=hooks)
        runs = {claim.id: run for run, claim, _ in batch}
        # Of one that waits the answer may have been quicker, and has ended it.
        quiet = {claim.id for _, claim, outcome in batch if outcome.verdict == "wait"}
        for claim_, outcome, delay in accepted:
            self._note(runs.pop(claim_.id), claim_, outcome, delay)
            self._drop(claim_.id)
        for job_id, run in runs.items():
            if job_id in run.gone:
                continue
            if job_id not in quiet:
                self._on_event("job_refused", kind=run.kind.name)
                logger.warning("job_outcome_refused", extra={"job": job_id, "worker": self.id})
            self._drop(job_id)
        self._wake.set()

    def _drop(self, job_id: str) -> None:
        self._held.pop(job_id, None)
        self._unflushed.discard(job_id)

    def _note(self, run: _Run, claim: Claim, outcome: Outcome, delay: float) -> None:
        self._on_event(
            "job_finished",
            kind=claim.kind,
            outcome=outcome.resolution,
            seconds=monotonic() - run.started,
            traceparent=claim.traceparent,
            tenant=claim.tenant_id,
            job=claim.id,
            attempt=claim.attempt,
            steps=run.steps.pop(claim.id, ()),
        )
        if outcome.resolution == "retrying" and delay < self._poll:
            asyncio.get_running_loop().call_later(delay, self._wake.set)
        fine = outcome.resolution in ("done", "waiting")
        level = logging.DEBUG if fine else logging.WARNING
        if logger.isEnabledFor(level):
            logger.log(
                level,
                "job_finished",
                extra={
                    "job": claim.id,
                    "kind": claim.kind,
                    "tenant_id": claim.tenant_id,
                    "outcome": outcome.resolution,
                    "attempt": claim.attempt,
                    "error": outcome.error,
                    "traceparent": claim.traceparent,
                },
            )

    # ------------------------------------------------------------------ liveness

    async def _beat_forever(self) -> None:
        look_every = self._beat_every / _LOOKS_PER_BEAT
        looked_at = -look_every
        while not self._closing.is_set():
            # Counted from the last one that was kept: after an outage it is due at once.
            now = elapsed()
            due = min(self._beat_every - self._lease.age(now), look_every - (now - looked_at))
            if due > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(due):
                        await self._beat_wake.wait()
            asked = self._beat_wake.is_set()
            self._beat_wake.clear()
            if self._closing.is_set():
                return
            beats = asked or self._lease.age(elapsed()) >= self._beat_every
            if beats:
                await self._beat()
            looked_at = elapsed()
            await self._reap(looked_at, thoroughly=beats)

    async def _beat(self) -> None:
        held_before = dict(self._held)
        asked_at = elapsed()
        first = self._lease.term == 0
        async with self._database.transaction(self._scope) as tx:
            heard = await beat(
                tx,
                self.id,
                version=self._version,
                slots=self._concurrency,
                draining=self._draining,
                heeds=self._draining and not self._claiming,
            )
            if first:
                await forget_lost(tx)
        self._lease.renewed(asked_at, elapsed())
        self._renewed.set()
        self._heed(heard)
        mine = heard.jobs
        if first:
            logger.info("worker_ready", extra={"worker": self.id, "kinds": self._names})
        for job_id, (attempt, cancel) in mine.items():
            run = self._held.get(job_id)
            claim_ = run.open.get(job_id) if run is not None else None
            if run is None or claim_ is None or claim_.attempt != attempt or not cancel:
                continue
            if job_id not in run.cancelled:
                run.cancelled.add(job_id)
                run.stop_if_idle()
        for job_id, run in held_before.items():
            # What was claimed, reported or recorded while we asked says nothing either way.
            if self._held.get(job_id) is not run or job_id in self._unflushed:
                continue
            claim_ = run.open.get(job_id)
            if claim_ is not None and mine.get(job_id, (None,))[0] != claim_.attempt:
                self._lose(run, job_id)
        await self._release_ghosts(mine)

    def _hear(self, worker: str) -> None:
        if worker == self.id:
            self._beat_wake.set()

    def _heed(self, heard: Heard) -> None:
        """Claim nothing more, or claim again; what runs is not touched by either."""
        if heard.draining == self._draining:
            return
        self._draining = heard.draining
        logger.info(
            "worker_draining" if self._draining else "worker_resumed", extra={"worker": self.id}
        )
        self._wake.set()
        # Whoever drains it waits for the answer, which is a beat of its own.
        self._beat_wake.set()

    async def _release_ghosts(self, mine: dict[str, tuple[int, bool]]) -> None:
        """Give back claims that this worker never heard of.

        A claim's COMMIT can reach the server while its answer is lost. Only what stays unknown
        for a whole beat counts, and nothing that a claim on its way to us may have taken: one that
        began after it was seen has not. A worker with much to do claims without a pause, and would
        keep what it never heard of for as long.
        """
        now = monotonic()
        self._strays = {
            (job_id, attempt): self._strays.get((job_id, attempt), (now, self._claims_begun))
            for job_id, (attempt, _) in mine.items()
            if job_id not in self._held
        }
        # Beats can come faster than their interval: each cancellation asks for one.
        ghosts = [
            job_id
            for (job_id, _), (since, begun) in self._strays.items()
            if now - since >= 0.9 * self._beat_every
            and (self._claims_begun > begun or not self._claiming)
        ]
        if ghosts:
            async with self._database.transaction(self._scope) as tx:
                await give_back(tx, self.id, self._kinds, ghosts)
            self._on_event("job_released", count=len(ghosts))
            logger.warning("claims_released", extra={"count": len(ghosts), "worker": self.id})

    async def _reap(self, now: float, *, thoroughly: bool) -> None:
        """Give the jobs of the dead to the living.

        Jobs of workers that never were are looked for ``thoroughly``: at each heartbeat.
        """
        async with self._database.read(self._scope) as view:
            silent = await self._watch.look(view, now)
            news = silent.keys() - self._silent
            self._silent = frozenset(silent)
            if not (news or thoroughly) or not await has_stranded(view, silent, self._kinds):
                return
        async with self._database.transaction(self._scope) as tx:
            back, dead = await reap(tx, silent, self._kinds)
        for outcome, claims in (("ready", back), ("dead", dead)):
            if claims:
                self._on_event("job_reaped", outcome=outcome, count=len(claims))
                logger.warning(
                    "jobs_reaped",
                    extra={"outcome": outcome, "count": len(claims), "worker": self.id},
                )

    # ------------------------------------------------------------------ ending

    async def _wind_down(self) -> None:
        """Let running handlers end, stop the others, and record what they reported."""
        tasks = {run.task for run in self._runs if run.task is not None}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=_LAST_WORDS_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                while self._outbox:
                    self._flushed.clear()
                    self._report_wake.set()
                    await self._flushed.wait()

    async def _leave(self) -> None:
        """Give back what is still ours, and say goodbye."""
        try:
            async with self._database.transaction(self._scope) as tx:
                await give_back(tx, self.id, self._kinds)
                await say_goodbye(tx, self.id, self._ttl)
        except DatabaseUnavailableError:
            # The heartbeat runs out by itself and the others reap what is left.
            logger.warning("worker_left_without_goodbye", extra={"worker": self.id})

    async def _restarting(self, loop: str, body: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Keep a loop going through outages and bugs: a worker without one of them is a zombie."""
        failures = 0
        while True:
            began = monotonic()
            try:
                await body()
            except DatabaseUnavailableError:
                failures = failures + 1 if monotonic() - began < self._ttl else 1
                await self._pause(loop, failures)
            except Exception:
                logger.exception("worker_loop_failed", extra={"loop": loop, "worker": self.id})
                failures = failures + 1 if monotonic() - began < self._ttl else 1
                await self._pause(loop, failures)
            else:
                return

    async def _pause(self, loop: str, failures: int) -> None:
        self._on_event("database_lost", loop=loop)
        await asyncio.sleep(min(2.0, 0.05 * 2.0 ** min(failures, 10)))
