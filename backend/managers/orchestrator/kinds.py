"""The vocabulary of work: what a kind of job is, what its handler is given, what it answers."""

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Self, TypedDict, TypeVar

import msgspec

from backend.core.database import Tx
from backend.core.telemetry import Step
from backend.kit.children import (
    MEMORY_BYTES,
    RESULT_BYTES,
    ChildError,
    Children,
    Place,
)

T = TypeVar("T")

State = Literal[
    "blocked", "ready", "running", "awaiting", "succeeded", "dead", "cancelled", "skipped"
]
RetryableState = Literal["dead", "cancelled"]
CancellableState = Literal["ready", "blocked", "awaiting", "running"]
Resolution = Literal["", "done", "retrying", "waiting", "dead", "cancelled"]

MAX_ERROR_CHARS = 2000
MAX_LINE_CHARS = 200


@dataclass(frozen=True, slots=True)
class Job:
    """A job as its tenant may see it."""

    id: str
    kind: str
    state: State
    attempt: int
    max_attempts: int
    priority: int
    due_at: datetime
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    worker: str | None
    error: str | None
    result: Any
    subject: str | None
    cancel_requested: bool
    graph_id: str | None = None
    task: str | None = None
    trace_id: str | None = None


AttemptOutcome = Literal["running", "awaiting", "succeeded", "failed", "crashed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a job.

    Attributes:
        attempt: Which, from 1. One that its worker gave back as it ended, unbegun or cut off, is
            not counted.
        outcome: What became of it; ``crashed``: its worker died, or fell silent, while it ran.
        worker: Who ran it; None: it waited for an answer from elsewhere.
        started_at: When it began.
        ended_at: When that was recorded; None: it goes on.
        error: Why it did not succeed.
    """

    attempt: int
    outcome: AttemptOutcome
    worker: str | None
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of a part of a list that was started again.

    Attributes:
        retried: Jobs that are ready again.
        refused: Jobs that their kind does not start again.
        last_id: Where the next part begins: after this job; None: there is none.
    """

    retried: int
    refused: int
    last_id: str | None


@dataclass(frozen=True, slots=True)
class Stopped:
    """What became of a part of a list that was cancelled.

    Attributes:
        cancelled: Jobs that waited, and have ended.
        asked: Jobs that run and were asked to stop by this.
        last_id: Where the next part begins: after this job; None: there is none.
    """

    cancelled: int
    asked: int
    last_id: str | None


class Listed(TypedDict, total=False):
    """Which jobs a list has, the newest first; each is narrowed by what is said and not None.

    ``kind`` and ``subject`` are exact, ``created_after`` the first moment that counts and
    ``created_before`` the first that does not any more. Looked at are up to ``limit`` jobs, 50
    unless said, after ``before_id``.
    """

    kind: str | None
    subject: str | None
    graph_id: str | None
    created_after: datetime | None
    created_before: datetime | None
    limit: int
    before_id: str | None


class Which(Listed, total=False):
    """Of which jobs in a state a part is acted on.

    ``error`` is the first line of why the latest attempt failed.
    """

    error: str | None


@dataclass(frozen=True, slots=True)
class Count:
    """How many jobs of a kind are in a state; ``at_least``: counting stopped there."""

    kind: str
    state: State
    count: int
    at_least: bool


@dataclass(frozen=True, slots=True)
class Failure:
    """Dead jobs of a kind that failed alike.

    Attributes:
        kind: Theirs.
        error: The first line of why, cut; empty where nothing was said.
        count: How many of the dead jobs that were looked at.
        job_id: The newest of them.
    """

    kind: str
    error: str
    count: int
    job_id: str


@dataclass(frozen=True, slots=True)
class Totals:
    """How many jobs a tenant has, and why the newest dead ones died.

    Attributes:
        counts: By kind and state, in their order; those that there are.
        complete: Whether these are all kinds.
        failures: The most frequent first.
        looked_at: So many dead jobs, the newest, were read for that.
    """

    counts: Sequence[Count]
    complete: bool
    failures: Sequence[Failure]
    looked_at: int


@dataclass(frozen=True, slots=True)
class Fleet:
    """Who works: the workers that live, and when one was last heard of.

    Attributes:
        alive: Workers whose heartbeat is fresh, and who take work.
        seen_at: The youngest heartbeat, of a worker that is gone too; None: there never was one.
        due: Nobody works, and there are jobs that could run now.
        lost: Workers that fell silent within the hour, and no other began in their place.
        draining: Workers whose heartbeat is fresh, and who take nothing more.
    """

    alive: int
    seen_at: datetime | None
    due: bool
    lost: int = 0
    draining: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """One attempt at one job, held by one worker.

    ``(worker, attempt)`` is the fence: an outcome is recorded only while both still match. Effects
    should be made idempotent by ``id``, which stays the same over all attempts.
    """

    id: str
    tenant_id: str
    kind: str
    args: dict[str, Any]
    subject: str | None
    attempt: int
    crashes: int
    max_attempts: int
    backoff_seconds: float
    timeout_seconds: float
    traceparent: str
    actor: str
    priority: int = 0
    forgiven: int = 0
    graph_id: str | None = None
    started_at: datetime | None = None

    @property
    def failures(self) -> int:
        """How often it has failed since it was last started anew, the present attempt included."""
        return self.attempt - self.forgiven - self.crashes

    @property
    def failures_left(self) -> int:
        """How many failures this job survives, the present attempt included.

        Crashes of a worker do not count: they are limited on their own.
        """
        return self.max_attempts - self.failures


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a claim.

    ``effect`` is handed to the kind's ``apply`` untouched. ``resolution`` is empty until the
    outcome has passed the fence; then it says what the rules made of it.
    """

    verdict: Literal["done", "retry", "fail", "cancel", "wait"]
    result: Any = None
    error: str | None = None
    delay_seconds: float | None = None
    asked_seconds: float = 0.0
    effect: Any = None
    tried: bool = True
    resolution: Resolution = ""

    @classmethod
    def done(cls, result: Any = None, effect: Any = None) -> Self:
        """The work is done; ``result`` must be plain JSON.

        Raises:
            TypeError, ValueError: The result is not JSON.
        """
        if result is not None:
            json.dumps(result, allow_nan=False)
        return cls("done", result=result, effect=effect)

    @classmethod
    def retry(
        cls,
        error: str,
        delay_seconds: float | None = None,
        effect: Any = None,
        *,
        asked_seconds: float = 0.0,
        tried: bool = True,
    ) -> Self:
        """Failed for now: again after ``delay_seconds``, or after the job's own backoff.

        When no attempt is left the job is dead. Whoever refuses and asks to be left alone for
        ``asked_seconds`` is left alone so long, an hour at most, and never for less than that. What
        was not ``tried`` at all, as its turn has not come, is kept in no list of attempts.
        """
        return cls(
            "retry",
            error=error,
            delay_seconds=delay_seconds,
            asked_seconds=asked_seconds,
            effect=effect,
            tried=tried,
        )

    @classmethod
    def fail(cls, error: str, effect: Any = None) -> Self:
        """Failed for good, whatever attempts are left."""
        return cls("fail", error=error, effect=effect)

    @classmethod
    def wait(cls, seconds: float, effect: Any = None) -> Self:
        """The rest is done elsewhere, and whoever does it answers by the callback's address.

        Nobody holds the job meanwhile. Without an answer in so many seconds the attempt has failed,
        as by :meth:`retry`.
        """
        return cls("wait", delay_seconds=seconds, effect=effect)

    @classmethod
    def cancelled(cls, effect: Any = None) -> Self:
        """Stopped because the job's cancellation was requested."""
        return cls("cancel", error="cancelled", effect=effect)

    def resolved(self, resolution: Resolution) -> Self:
        """The same outcome with the verdict of the rules."""
        return replace(self, resolution=resolution)


class Batch:
    """The claims that one call of a handler works on: all of one kind and one tenant."""

    __slots__ = ("_begun", "_cancelled", "_note", "_report", "_stopping", "_untimed", "claims")

    def __init__(
        self,
        claims: Sequence[Claim],
        report: Callable[[Claim, Outcome], None],
        cancelled: Callable[[Claim], bool],
        stopping: Callable[[], bool] = lambda: False,
        begun: Callable[[Claim], bool] = lambda _: True,
        *,
        note: Callable[[Claim, Step], None] = lambda *_: None,
        untimed: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.claims = claims
        self._untimed = untimed
        self._note = note
        self._begun = begun
        self._report = report
        self._cancelled = cancelled
        self._stopping = stopping

    @property
    def is_stopping(self) -> bool:
        """Whether the worker was asked to end: better not to begin another claim.

        What a handler then leaves unreported goes back as if it had never been claimed.
        """
        return self._stopping()

    def begin(self, claim: Claim) -> bool:
        """Ask a last time before an act that cannot be taken back; False: leave it.

        True only while nobody else can have the job: the worker's heartbeat holds for longer than
        it takes to begin, and has held since the claim. A claim left for that goes back uncounted.
        After True a cancellation no longer stops the handler until this claim is reported: what
        has left the house happens, and has to be on record as it happened. The job's timeout and
        the end of the worker stop it all the same.
        """
        if self.is_stopping or self.is_cancelled(claim):
            return False
        return self._begun(claim)

    def untimed(self) -> AbstractContextManager[None]:
        """A block that does not count to the timeout, which begins anew after it.

        For waiting in line with other jobs, which is no fault of this one.
        """
        return self._untimed()

    def note(self, claim: Claim, step: Step) -> None:
        """Tell what the attempt asked of another service: it is seen in the attempt's trace.

        Before the claim is reported; of more than 32 an attempt the first ones count.
        """
        self._note(claim, step)

    def finish(self, claim: Claim, outcome: Outcome) -> None:
        """Report one claim as soon as it is done; it is recorded within milliseconds.

        Raises:
            ValueError: The claim is not of this batch or has been reported before.
        """
        self._report(claim, outcome)

    def is_cancelled(self, claim: Claim) -> bool:
        """Whether the claim should not be started any more.

        True when its cancellation was requested or it belongs to another worker by now. What
        is left unreported is then recorded as cancelled, unless it had begun, or dropped.
        """
        return self._cancelled(claim)


Needs = Callable[[Mapping[str, Any] | None], frozenset[str]]
Run = Callable[[Batch], Awaitable[None]]
Apply = Callable[[Tx, list[tuple[Claim, Outcome]]], Awaitable[None]]
ClaimsHook = Callable[[Tx, list[Claim]], Awaitable[None]]
DeadHook = Callable[[Tx, list[tuple[Claim, str]]], Awaitable[None]]


def _nothing(_: Mapping[str, Any] | None) -> frozenset[str]:
    return frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class JobKind:
    """A named handler and the hooks that keep its owner's rows in step with its jobs.

    Handlers are called at least once per job. All hooks run inside the transaction that changes
    the job, so the job and what it stands for can never disagree:

    * ``apply(tx, accepted)``: outcomes that passed the fence, with ``resolution`` ``done``,
      ``retrying``, ``waiting`` or ``dead``; also ``cancelled`` (before ``on_cancel``) when the
      handler reported an effect.
    * ``on_dead(tx, [(claim, error)])``: jobs that died without ``apply`` seeing it: their workers
      crashed too often, ``apply`` itself failed, or the kind has none.
    * ``on_cancel(tx, claims)``: cancelled jobs, either at once by the caller or later by the worker
      that ran them.
    * ``on_retry(tx, claims)``: jobs an operator starts again.

    Each call is about jobs of one tenant, in that tenant's scope.

    ``aclose`` gives up what the handler keeps, at the end of the process.

    A job that saw ``max_crashes`` of its workers die, and no job beside it as many, is taken to be
    what kills them, and is dead. Allow more where giving up costs more than a few further crashes.

    ``job.dead``, ``job.cancelled`` and ``job.retried`` are told of every kind; ``job.succeeded`` of
    those that ``announce`` it, because most owners tell of what the job was for themselves.

    ``takes`` is what tenants may hand in as its ``args``; without it only our own code submits it.
    ``needs`` says with which permissions they may, beside that of submitting jobs. Of arguments
    that are not known yet (None) it says all that it might. ``shown_to`` is the permission that
    seeing them takes, beside that of seeing jobs.
    """

    name: str
    run: Run
    batch_size: int = 1
    apply: Apply | None = None
    on_dead: DeadHook | None = None
    on_cancel: ClaimsHook | None = None
    on_retry: ClaimsHook | None = None
    max_crashes: int = 3
    aclose: Callable[[], Awaitable[None]] | None = None
    announce: bool = False
    takes: type[msgspec.Struct] | None = None
    needs: Needs = _nothing
    shown_to: str | None = None

    def __post_init__(self) -> None:
        if not self.name or self.batch_size < 1 or self.max_crashes < 1:
            msg = "a job kind needs a name, a batch size and a limit of crashes of at least 1"
            raise ValueError(msg)

    @classmethod
    def simple(
        cls, name: str, handle: Callable[[Claim], Awaitable[Any]], **hooks: Any
    ) -> "JobKind":
        """A kind whose handler takes one claim and returns its result (plain JSON or None)."""

        async def run(batch: Batch) -> None:
            (claim,) = batch.claims
            batch.finish(claim, Outcome.done(await handle(claim)))

        return cls(name, run, **hooks)

    @classmethod
    def blocking(
        cls,
        name: str,
        work: Callable[[dict[str, Any]], Any],
        children: Children,
        *,
        memory_bytes: int = MEMORY_BYTES,
        result_bytes: int = RESULT_BYTES,
        **hooks: Any,
    ) -> "JobKind":
        """A kind whose handler is a plain function that may compute as long as it likes.

        It is given the job's ``args`` in a child process, where it has neither a database nor
        secrets, and returns its result. The process is killed, with all that it started, when the
        job's timeout is over, its cancellation is requested, or the worker loses it or dies.
        Waiting for one of the worker's few children does not count to the timeout.

        What goes beyond a limit, raises or kills its process has failed, as by
        :meth:`Outcome.retry`, and its error says which of these it was. A result that is too large
        or no plain data is the end: it would be so again.

        Args:
            name: The kind's.
            work: A function of a module, by its own name.
            children: The process's, as :attr:`OrchestratorManager.children`.
            memory_bytes: What it may take beside what an interpreter has.
            result_bytes: What its result may take.
            hooks: As for the kind itself.

        Raises:
            ValueError: ``work`` is no function of a module.
        """
        children.expect(work)

        async def run(batch: Batch) -> None:
            (claim,) = batch.claims
            async with AsyncExitStack() as stack:
                with batch.untimed():
                    place = await stack.enter_async_context(children.place(claim.tenant_id))
                if batch.is_stopping or batch.is_cancelled(claim):
                    return
                batch.finish(claim, await _outcome(place, claim))

        async def _outcome(place: Place, claim: Claim) -> Outcome:
            try:
                result = await place.run(
                    work,
                    claim.args,
                    seconds=claim.timeout_seconds,
                    memory_bytes=memory_bytes,
                    result_bytes=result_bytes,
                )
            except ChildError as exc:
                return Outcome.fail(str(exc)) if exc.reason == "result" else Outcome.retry(str(exc))
            return Outcome.done(result)

        return cls(name, run, aclose=children.aclose, **hooks)


class JobRequest(TypedDict, total=False):
    """One row of :meth:`OrchestratorManager.submit_many`; all but ``args`` as for ``submit``.

    ``id`` may be given by callers whose own rows refer to the job: a fresh UUIDv7.
    """

    id: str
    args: Mapping[str, Any]
    subject: str | None
    priority: int
    delay_seconds: float
    max_attempts: int
    backoff_seconds: float
    timeout_seconds: float
    dedup_key: str | None


def by_owner(
    ended: Iterable[T], claim_of: Callable[[T], Claim]
) -> Iterable[tuple[str, str, list[T]]]:
    """Tenant, kind and what is theirs: what one call of a hook may be given."""
    groups: dict[tuple[str, str], list[T]] = {}
    for each in ended:
        claim = claim_of(each)
        groups.setdefault((claim.tenant_id, claim.kind), []).append(each)
    return [(tenant_id, kind, group) for (tenant_id, kind), group in groups.items()]


def tell(tx: Tx, event: str, claims: Iterable[Claim]) -> None:
    """Emit what became of jobs, each to its tenant."""
    for claim in claims:
        tx.emit(
            event,
            f"job:{claim.id}",
            tenant_id=claim.tenant_id,
            kind=claim.kind,
            subject=claim.subject,
            attempt=claim.attempt,
        )


def describe(exc: BaseException) -> str:
    """An exception as the job's error: its type and message."""
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


def first_line(error: str | None) -> str:
    """What failures are told apart by: the first line, cut to what fits in a list."""
    lines = (error or "").strip()[:MAX_LINE_CHARS].splitlines()
    return lines[0].rstrip() if lines else ""


def storable(error: str) -> str:
    """The text cut to what a job keeps, without what PostgreSQL refuses to store."""
    cut = error[:MAX_ERROR_CHARS].replace("\x00", "\ufffd")
    return cut.encode("utf-8", "replace").decode()
