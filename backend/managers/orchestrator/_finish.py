"""Finishing: the fence, the rules of retrying, and the owner's effects, in one transaction."""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from backend.core.database import Tx, UtcTime, db_now
from backend.core.json_rows import json_id, json_rows
from backend.managers.orchestrator._advance import Growth, advance_all
from backend.managers.orchestrator._attempts import as_ended, note
from backend.managers.orchestrator._growth import grow, hold
from backend.managers.orchestrator.kinds import (
    AttemptOutcome,
    Claim,
    JobKind,
    Outcome,
    Resolution,
    by_owner,
    storable,
    tell,
)
from backend.managers.orchestrator.models import AWAITING, READY, RUNNING, JobRow

Hooks = Literal["all", "without apply", "none"]

MAX_BACKOFF_SECONDS: Final = 3600.0
_RESOLUTIONS: Final[dict[str, Resolution]] = {
    "succeeded": "done",
    "ready": "retrying",
    "awaiting": "waiting",
    "dead": "dead",
    "cancelled": "cancelled",
}

_EVENTS: Final[dict[Resolution, str]] = {
    "done": "job.succeeded",
    "dead": "job.dead",
    "cancelled": "job.cancelled",
}


def backoff(claim: Claim) -> float:
    """Seconds until the next attempt: doubling per failure, at most an hour, 20 % jitter.

    The jitter keeps jobs that failed together from coming back together.
    """
    failures = max(claim.failures, 1)
    # The exponent is bounded first: 2.0 ** 1100 does not overflow to infinity, it raises.
    doubled = claim.backoff_seconds * 2.0 ** min(failures - 1, 60)
    return min(doubled, MAX_BACKOFF_SECONDS) * random.uniform(0.8, 1.2)  # noqa: S311 - not a secret


def judge(claim: Claim, outcome: Outcome) -> tuple[str, float | None]:
    """The state that the outcome leads to, and the delay when that is another attempt."""
    if outcome.verdict == "done":
        return "succeeded", None
    if outcome.verdict == "cancel":
        return "cancelled", None
    if outcome.verdict == "wait":
        return "awaiting", outcome.delay_seconds
    if outcome.verdict == "retry" and claim.failures_left > 0:
        delay = outcome.delay_seconds
        own = backoff(claim) if delay is None else max(delay, 0.0)
        return "ready", max(own, min(outcome.asked_seconds, MAX_BACKOFF_SECONDS))
    return "dead", None


@cache
def _record(dialect: str, *, by_worker: bool) -> Any:
    rows = json_rows(
        dialect,
        {
            "tenant_id": sa.Uuid(),
            "id": sa.Uuid(),
            "attempt": sa.BigInteger(),
            "state": sa.Text(),
            "delay": sa.Float(),
            "error": sa.Text(),
            "result": sa.Text(),
        },
    )
    goes_on = sa.and_(rows["state"].in_([READY, AWAITING]), JobRow.cancel_requested.is_(sa.false()))
    if dialect == "postgresql":
        result: Any = sa.cast(rows["result"], postgresql.JSONB)
    else:
        result = sa.type_coerce(rows["result"], sa.Text())
    # The fence: whoever lost the job meanwhile, or holds an older attempt, changes nothing.
    fence = [
        JobRow.tenant_id == rows["tenant_id"],
        JobRow.id == rows["id"],
        JobRow.attempt == rows["attempt"],
    ]
    if by_worker:
        holder = sa.bindparam("finishing_worker", type_=sa.Text())
        fence += [JobRow.worker == holder, JobRow.state == RUNNING]
    else:
        fence.append(JobRow.state.in_([RUNNING, AWAITING]))
    return (
        sa.update(JobRow)
        .where(*fence)
        .values(
            state=sa.case(
                (goes_on, rows["state"]),
                # Cancelled while it ran and failed: it must not come back.
                (
                    rows["state"].in_([READY, AWAITING]),
                    sa.literal_column("'cancelled'", sa.Text()),
                ),
                else_=rows["state"],
            ),
            due_at=sa.case((goes_on, db_now(rows["delay"])), else_=JobRow.due_at),
            worker=sa.case((goes_on, sa.null()), else_=JobRow.worker),
            finished_at=sa.case(
                (goes_on, sa.null()), else_=sa.bindparam("ended_at", type_=UtcTime())
            ),
            error=rows["error"],
            result=result,
        )
        .returning(JobRow.id, JobRow.state, JobRow.wiring, JobRow.cancel_requested)
        .execution_options(synchronize_session=False)
    )


async def finish(
    tx: Tx,
    worker: str | None,
    outcomes: Sequence[tuple[Claim, Outcome]],
    kinds: Mapping[str, JobKind],
    *,
    hooks: Hooks = "all",
    answered_at: str | None = None,
) -> list[tuple[Claim, Outcome, float]]:
    """Record the outcomes that pass the fence and run their kinds' hooks.

    Without a worker they are of attempts that were answered from elsewhere, or were not in time:
    the caller has locked their jobs, and nobody else's outcome of such an attempt counts any more.
    ``answered_at`` is the worker that was running one of these still.

    Returns the accepted ones, resolved, with the seconds until the next attempt (0 when there is
    none). Statements do not grow with the batch, hooks aside. ``hooks`` is for outcomes that
    replace ones that could not be recorded because a hook failed.
    """
    by_id: dict[str, tuple[Claim, Outcome, float]] = {}
    rows = []
    for claim, outcome in outcomes:
        state, delay = judge(claim, outcome)
        by_id[claim.id] = (claim, outcome, delay or 0.0)
        rows.append(
            {
                "tenant_id": json_id(tx.dialect, claim.tenant_id),
                "id": json_id(tx.dialect, claim.id),
                "attempt": claim.attempt,
                "state": state,
                "delay": delay,
                "error": None if outcome.error is None else storable(outcome.error),
                "result": None if outcome.result is None else json.dumps(outcome.result),
            }
        )
    holder = {} if worker is None else {"finishing_worker": worker}
    done = await tx.execute(
        _record(tx.dialect, by_worker=worker is not None),
        {"rows": rows, "ended_at": tx.now(), **holder},
    )
    recorded = done.all()
    await _hold_growing(tx, [(by_id[row.id][0], row.state, row.wiring) for row in recorded])
    accepted = []
    over: list[tuple[Claim, str]] = []
    failed: list[dict[str, Any]] = []
    growths: list[Growth] = []
    for job_id, recorded_state, wiring, cancelled in recorded:
        claim, outcome, delay_seconds = by_id[job_id]
        state = recorded_state
        if _grows(state, wiring):
            added = sum(one.added for one in growths if one.graph_id == claim.graph_id)
            async with tx.within(claim.tenant_id) as part:
                said = await grow(
                    part,
                    claim,
                    wiring["grows"],
                    outcome.result,
                    kinds,
                    before=added,
                    cancelled=cancelled,
                )
            if isinstance(said, Growth):
                growths.append(said)
            else:
                state, outcome = "dead", Outcome.fail(said, outcome.effect)
                await _bury(tx, claim, said)
        accepted.append((claim, outcome.resolved(_RESOLUTIONS[state]), delay_seconds))
        if state not in ("succeeded", "awaiting") and outcome.tried:
            became: AttemptOutcome = "cancelled" if state == "cancelled" else "failed"
            ran_by = worker or answered_at
            failed.append(as_ended(tx, claim, became, worker=ran_by, error=outcome.error))
        if state not in ("ready", "awaiting") and claim.graph_id is not None:
            over.append((claim, state))
        event = _EVENTS.get(_RESOLUTIONS[state])
        if event is not None and (state != "succeeded" or kinds[claim.kind].announce):
            tell(tx, event, [claim])
    await note(tx, failed)
    if hooks != "none":
        await _run_hooks(tx, accepted, kinds, apply=hooks == "all")
    await advance_all(tx, over, growths)
    return accepted


def _grows(state: str, wiring: Mapping[str, Any] | None) -> bool:
    return state == "succeeded" and wiring is not None and "grows" in wiring


async def _hold_growing(
    tx: Tx, recorded: Sequence[tuple[Claim, str, Mapping[str, Any] | None]]
) -> None:
    graphs: dict[str, set[str]] = {}
    for claim, state, wiring in recorded:
        if _grows(state, wiring) and claim.graph_id is not None:
            graphs.setdefault(claim.tenant_id, set()).add(claim.graph_id)
    for tenant_id, theirs in sorted(graphs.items()):
        async with tx.within(tenant_id) as part:
            ended = [claim.id for claim, _, _ in recorded if claim.tenant_id == tenant_id]
            await hold(part, theirs, ended)


async def _bury(tx: Tx, claim: Claim, error: str) -> None:
    """A job whose result is not what it should be; the result stays, for whoever looks why."""
    await tx.execute(
        sa.update(JobRow)
        .where(JobRow.tenant_id == claim.tenant_id, JobRow.id == claim.id)
        .values(state="dead", error=storable(error))
        .execution_options(synchronize_session=False)
    )


async def _run_hooks(
    tx: Tx,
    accepted: Iterable[tuple[Claim, Outcome, float]],
    kinds: Mapping[str, JobKind],
    *,
    apply: bool,
) -> None:
    for tenant_id, name, ended in by_owner(accepted, lambda each: each[0]):
        kind = kinds[name]
        applied = kind.apply is not None and apply
        # A cancelled job may have acted before it was stopped: that too must be on record.
        seen = [
            (claim, outcome)
            for claim, outcome, _ in ended
            if applied and (outcome.resolution != "cancelled" or outcome.effect is not None)
        ]
        cancelled = [claim for claim, outcome, _ in ended if outcome.resolution == "cancelled"]
        dead = [
            (claim, outcome.error or "")
            for claim, outcome, _ in ended
            if outcome.resolution == "dead" and not applied
        ]
        calls: list[tuple[Any, Sequence[Any]]] = [
            (kind.apply, seen),
            (kind.on_cancel, cancelled),
            (kind.on_dead, dead),
        ]
        due = [(hook, group) for hook, group in calls if hook is not None and group]
        if due:
            async with tx.within(tenant_id) as part:
                for hook, group in due:
                    await hook(part, group)
