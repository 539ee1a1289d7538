"""Claiming: who is served next, how much of it, and the one statement that takes the jobs.

Tenants are served least loaded first (running jobs divided by weight), then least recently. The
rows of the chosen tenants stay locked until commit, so ``max_running`` and the rate are exact on
any number of hosts; the rows of other tenants stay free for other workers (SKIP LOCKED). Who finds
all of them locked takes of those without a limit nevertheless, past what others are taking: any
number of workers serve one tenant at once, and what was being taken in the moment in which it was
paused or limited counts as taken before. On SQLite the write transaction itself is the lock.

A tenant that nobody competes with may use a worker's idle places only so far as a newcomer still
finds some at once (:class:`Places`): jobs that hang give theirs back to nobody, so what is lent out
entirely cannot be shared any more. Each worker keeps this for itself, and so the fleet does.
"""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.orm import aliased

from backend.core.database import Id, ReadTx, Tx, UtcTime, db_now
from backend.core.json_rows import json_id, json_rows
from backend.managers.orchestrator.kinds import Claim
from backend.managers.orchestrator.models import READY, RUNNING, JobLimitsRow, JobRow

MAX_TENANTS: Final = 10
"""Tenants served by one claim: bounds the work under lock; the others come first next time."""

_LOOKED_AT: Final = 5 * MAX_TENANTS
"""Tenants that a claim chooses from: of the first, others may be taking the last job meanwhile."""

_EXECUTION: Final = {"synchronize_session": False}
CLAIM_COLUMNS: Final = (
    JobRow.id,
    JobRow.tenant_id,
    JobRow.kind,
    JobRow.args,
    JobRow.subject,
    JobRow.attempt,
    JobRow.crashes,
    JobRow.max_attempts,
    JobRow.backoff_seconds,
    JobRow.timeout_seconds,
    JobRow.traceparent,
    JobRow.actor,
    JobRow.priority,
    JobRow.forgiven,
    JobRow.graph_id,
    JobRow.started_at,
)


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one worker, and who has how many of them.

    A tenant with none gets one as long as any is free. Who has some may take one more only while
    what it then has stays within ``eagerness * weight`` times what is left free (dynamic
    thresholds: Choudhury and Hahne, 1998). One tenant of weight 1 with endless work ends at
    ``share`` of all places; those that come after it leave less and less, so half of the rest is
    for those alone that have nothing.

    ``share`` of 1 keeps nothing free.
    """

    total: int
    held: Mapping[str, int] = field(default_factory=dict)
    share: float = 1.0

    @property
    def free(self) -> int:
        """How many nobody has."""
        return self.total - sum(self.held.values())

    @property
    def reserve(self) -> int:
        """How many are for tenants that have none."""
        return int(self.total * (1.0 - self.share) / 2)

    @property
    def eagerness(self) -> float | None:
        """What a tenant may have, as a multiple of what it leaves; None is any amount."""
        alone = self.share * self.total
        left = self.total - self.reserve - alone
        return alone / left if self.share < 1.0 else None

    def parameters(self, dialect: str) -> dict[str, Any]:
        """What the choice of candidates binds."""
        return {
            "eagerness": self.eagerness,
            "left": self.free - 1 - self.reserve,
            "rows": [
                {"tenant_id": json_id(dialect, tenant), "held": held}
                for tenant, held in self.held.items()
            ],
        }


@dataclass(slots=True)
class _Candidate:
    tenant_id: str
    max_running: int | None
    weight: float
    rate: float | None
    burst: int | None
    open_at: datetime | None
    running: int
    now: datetime
    held: int = 0
    """The places it has at the worker that claims."""

    @property
    def is_limited(self) -> bool:
        """Whether others may not serve it at the same time."""
        return self.max_running is not None or self.rate is not None

    def may_have(self, places: int, left: int, eagerness: float | None) -> bool:
        """Whether it may have so many places of a worker that then has ``left`` for it."""
        return places <= 1 or eagerness is None or places <= eagerness * self.weight * left

    def room(self, most: int) -> int:
        """How many jobs this tenant may start now."""
        room = most
        if self.max_running is not None:
            room = min(room, self.max_running - self.running)
        if self.rate is not None:
            room = min(room, self._tokens(self.rate))
        return max(room, 0)

    def _tokens(self, rate: float) -> int:
        burst = self._burst(rate)
        if self.open_at is None:
            return burst
        open_for = (self.now - self.open_at).total_seconds()
        return 0 if open_for < 0 else min(burst, int(open_for * rate) + 1)

    def _burst(self, rate: float) -> int:
        return self.burst or max(1, int(rate))

    def open_after(self, started: int) -> datetime | None:
        """The instant of the next allowed start once ``started`` jobs have been taken (GCRA)."""
        if self.rate is None:
            return None
        depth = timedelta(seconds=(self._burst(self.rate) - 1) / self.rate)
        full = self.now - depth
        base = full if self.open_at is None else max(self.open_at, full)
        return base + timedelta(seconds=started / self.rate)


def _now_once() -> sa.ScalarSelect[Any]:
    # As a subquery the volatile clock is read once and can bound an index scan.
    return sa.select(db_now()).scalar_subquery()


def _due(dialect: str) -> sa.ColumnElement[bool]:
    """Due by now, in the form that leaves the planner the index of the claiming order.

    PostgreSQL's statistics find it; SQLite, which assumes a handful of rows per tenant, would
    rather collect all due jobs and sort them: adding 0 hides the column from its other index.
    """
    if dialect == "sqlite":
        micros = sa.type_coerce(JobRow.due_at, sa.BigInteger())
        return micros + sa.literal_column("0") <= _now_once()
    return JobRow.due_at <= _now_once()


@cache
def _most() -> sa.ColumnElement[Any]:
    """How many jobs of a tenant may run: the less of what it says and what it is given."""
    own, given = JobLimitsRow.max_running, JobLimitsRow.quota_running
    return sa.case((given.is_(None), own), (own.is_(None), given), (own < given, own), else_=given)


@cache
def _next_due() -> sa.ScalarSelect[Any]:
    """When the first job of a tenant is due.

    Rather than EXISTS: "some third of the table will do" makes PostgreSQL read the table from its
    oldest, long finished end.
    """
    return (
        sa.select(JobRow.due_at)
        .where(
            JobRow.tenant_id == JobLimitsRow.tenant_id,
            JobRow.state == READY,
            JobRow.kind.in_(sa.bindparam("kinds", expanding=True)),
        )
        .order_by(JobRow.due_at)
        .limit(1)
        .correlate(JobLimitsRow)
        .scalar_subquery()
    )


@cache
def _candidates(dialect: str) -> Any:
    """Tenants with due work and room, best served first. Takes no lock.

    The recursive part is a loose index scan: it jumps from tenant to tenant along the partial
    index, so its cost follows the number of waiting tenants and not the backlog.
    """
    first = (
        sa.select(JobRow.tenant_id)
        .where(JobRow.state == READY)
        # due_at only to leave the planners one index that is already in order.
        .order_by(JobRow.tenant_id, JobRow.due_at)
        .limit(1)
        .scalar_subquery()
    )
    waiting = sa.select(first.label("tenant_id")).cte("waiting", recursive=True)
    later = aliased(JobRow)
    following = (
        sa.select(later.tenant_id)
        .where(later.state == READY, later.tenant_id > waiting.c.tenant_id)
        .order_by(later.tenant_id, later.due_at)
        .limit(1)
        .scalar_subquery()
    )
    waiting = waiting.union_all(sa.select(following).where(waiting.c.tenant_id.is_not(None)))
    busy = (
        # Counting the column keeps every index but the one of running jobs from covering this.
        sa.select(JobRow.tenant_id, sa.func.count(JobRow.worker).label("running"))
        .where(JobRow.state == RUNNING)
        .group_by(JobRow.tenant_id)
        .cte("busy")
        # Expecting one tenant, the planner would count anew for each that waits.
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    running = sa.func.coalesce(busy.c.running, 0)
    rows = json_rows(dialect, {"tenant_id": sa.Uuid(), "held": sa.BigInteger()})
    mine = (
        sa.select(rows["held"]).where(rows["tenant_id"] == JobLimitsRow.tenant_id).scalar_subquery()
    )
    held = sa.func.coalesce(mine, 0)
    eagerness = sa.bindparam("eagerness", type_=sa.Float())
    left = sa.bindparam("left", type_=sa.BigInteger())
    most = _most()
    return (
        sa.select(
            JobLimitsRow.tenant_id,
            most,
            JobLimitsRow.weight,
            JobLimitsRow.rate,
            JobLimitsRow.burst,
            JobLimitsRow.open_at,
            running,
            db_now(),
            held,
        )
        .outerjoin(busy, busy.c.tenant_id == JobLimitsRow.tenant_id)
        .where(
            JobLimitsRow.tenant_id.in_(
                sa.select(waiting.c.tenant_id).where(waiting.c.tenant_id.is_not(None))
            ),
            JobLimitsRow.paused.is_(sa.false()),
            JobLimitsRow.held.is_(sa.false()),
            sa.or_(most.is_(None), running < most),
            sa.or_(JobLimitsRow.open_at.is_(None), JobLimitsRow.open_at <= _now_once()),
            # Here as well as in the dealing: tenants that may take nothing more of this worker
            # must not crowd out those that may, nor make an idle worker look for a write.
            sa.or_(
                held == 0,
                sa.cast(eagerness, sa.Float()).is_(None),
                held + 1 <= eagerness * JobLimitsRow.weight * left,
            ),
            _next_due() <= db_now(),
        )
        .order_by(running / JobLimitsRow.weight, JobLimitsRow.last_claim_at.nulls_first())
        .limit(_LOOKED_AT)
    )


@cache
def _lock() -> Any:
    """Have the first of these tenants alone that nobody has, and their limits as they are now.

    They have work due still, or again: to look at all who wait takes so long that others have
    served the first of them meanwhile.
    """
    rows = json_rows("postgresql", {"tenant_id": sa.Uuid(), "place": sa.BigInteger()})
    return (
        sa.select(
            JobLimitsRow.tenant_id,
            _most(),
            JobLimitsRow.rate,
            JobLimitsRow.burst,
            JobLimitsRow.open_at,
            db_now(),
        )
        .where(
            JobLimitsRow.tenant_id == rows["tenant_id"],
            JobLimitsRow.paused.is_(sa.false()),
            JobLimitsRow.held.is_(sa.false()),
            _next_due() <= db_now(),
        )
        .order_by(rows["place"])
        .limit(MAX_TENANTS)
        .with_for_update(skip_locked=True, of=JobLimitsRow)
    )


@cache
def _recount() -> Any:
    """How many jobs of these tenants run by now."""
    return (
        sa.select(JobRow.tenant_id, sa.func.count(JobRow.worker))
        .where(
            JobRow.state == RUNNING,
            JobRow.tenant_id.in_(sa.bindparam("limited", expanding=True)),
        )
        .group_by(JobRow.tenant_id)
    )


@cache
def _take(dialect: str, tenants: int) -> Any:
    """Turn the first jobs of each tenant into running ones and return them.

    The choice is a materialised CTE: as a bare subquery the planner may evaluate it again for
    each row it meets, and each evaluation would lock, and take, further jobs.
    """
    picks = []
    for place in range(tenants):
        tenant = sa.bindparam(f"tenant_{place}", type_=Id())
        is_open = (
            sa.select(JobLimitsRow.tenant_id)
            .where(
                JobLimitsRow.tenant_id == tenant,
                JobLimitsRow.paused.is_(sa.false()),
                JobLimitsRow.held.is_(sa.false()),
                # Of those that others have: it may have got a limit, and nobody counts then.
                sa.or_(
                    sa.bindparam(f"alone_{place}", type_=sa.Boolean()),
                    sa.and_(
                        JobLimitsRow.max_running.is_(None),
                        JobLimitsRow.quota_running.is_(None),
                        JobLimitsRow.rate.is_(None),
                    ),
                ),
            )
            .scalar_subquery()
        )
        first = (
            sa.select(JobRow.tenant_id, JobRow.id)
            .where(
                # One that others have is not locked, not even shared: whoever pauses it would wait
                # for as long as one worker or another takes of it.
                JobRow.tenant_id == (is_open if dialect == "postgresql" else tenant),
                JobRow.state == READY,
                _due(dialect),
                JobRow.kind.in_(sa.bindparam("kinds", expanding=True)),
            )
            .order_by(JobRow.priority.desc(), JobRow.due_at, JobRow.id)
            .limit(sa.bindparam(f"share_{place}", type_=sa.BigInteger()))
            .with_for_update(skip_locked=True)
            .subquery(f"first_{place}")
        )
        picks.append(sa.select(first.c.tenant_id, first.c.id))
    chosen = (
        (sa.union_all(*picks) if tenants > 1 else picks[0])
        .cte("chosen")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return (
        sa.update(JobRow)
        # That they are ready is known, and said again it would have PostgreSQL, which believes that
        # next to nothing is, look for each of the chosen among all that wait.
        .where(
            sa.tuple_(JobRow.tenant_id, JobRow.id).in_(sa.select(chosen.c.tenant_id, chosen.c.id))
        )
        .values(
            state=RUNNING,
            worker=sa.bindparam("claiming_worker", type_=sa.Text()),
            attempt=JobRow.attempt + 1,
            started_at=sa.bindparam("claimed_at", type_=UtcTime()),
            error=None,
        )
        .returning(*CLAIM_COLUMNS)
        .execution_options(**_EXECUTION)
    )


@cache
def _charge(dialect: str) -> Any:
    rows = json_rows(dialect, {"tenant_id": sa.Uuid(), "wait": sa.Float()})
    return (
        sa.update(JobLimitsRow)
        .where(JobLimitsRow.tenant_id == rows["tenant_id"])
        .values(
            last_claim_at=db_now(),
            open_at=sa.case((rows["wait"].is_not(None), db_now(rows["wait"])), else_=None),
        )
        .execution_options(**_EXECUTION)
    )


async def has_candidates(tx: ReadTx, places: Places, kinds: Sequence[str]) -> bool:
    """Whether any tenant has work due and room for it. Takes no lock."""
    found = await tx.execute(
        _candidates(tx.dialect), {"kinds": kinds, **places.parameters(tx.dialect)}
    )
    return found.first() is not None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one look for work gave: the jobs in starting order, and whether to look again at once.

    ``more`` without claims means that other workers are serving the due tenants this moment.
    """

    claims: list[Claim]
    more: bool


async def claim(
    tx: Tx, worker: str, places: Places, kinds: Sequence[str], *, most: int | None = None
) -> Claimed:
    """Take due jobs of these kinds, fairly between tenants: what has a place, and at most ``most``.

    Places may become free meanwhile, but nobody else may take any.
    """
    most = places.free if most is None else min(most, places.free)
    found = await tx.execute(
        _candidates(tx.dialect), {"kinds": kinds, **places.parameters(tx.dialect)}
    )
    waiting = [_Candidate(*row) for row in found]
    if not waiting:
        return Claimed([], more=False)
    candidates, is_alone = waiting[:MAX_TENANTS], True
    if tx.dialect == "postgresql":
        candidates = await _have_alone(tx, waiting, kinds)
        if not candidates and len(waiting) < _LOOKED_AT:
            is_alone = False
            candidates = [each for each in waiting[:MAX_TENANTS] if not each.is_limited]
        if not candidates:
            return Claimed([], more=True)
    shares = _share(candidates, most, places)
    if not shares:
        return Claimed([], more=False)
    parameters: dict[str, Any] = {
        "kinds": kinds,
        "claiming_worker": worker,
        "claimed_at": tx.now(),
    }
    for place, (candidate, share) in enumerate(shares):
        parameters[f"tenant_{place}"] = candidate.tenant_id
        parameters[f"share_{place}"] = share
        if tx.dialect == "postgresql":
            parameters[f"alone_{place}"] = is_alone
    taken = await tx.execute(_take(tx.dialect, len(shares)), parameters)
    claims = [Claim(*row) for row in taken]
    started = Counter(each.tenant_id for each in claims)
    if is_alone:
        await _charge_tenants(tx, candidates, started)
    # RETURNING has no order. UUIDv7 sorts by creation, which is the tie-break after priority.
    claims.sort(key=lambda each: (-each.priority, each.id))
    return Claimed(
        claims,
        # Somebody got all that was dealt to them, or what is due is being taken by others this
        # moment, or there are tenants that were not asked.
        more=not claims
        or len(waiting) > len(candidates)
        or any(started[each.tenant_id] == share for each, share in shares),
    )


async def claim_one(tx: Tx, worker: str, tenant_id: str, kinds: Sequence[str]) -> Claimed:
    """Take the first due job of one tenant, for a worker that has none and was told of it.

    Who is next is not asked: whoever else was would have been served by an idle worker before.
    A tenant with a limit gets nothing so, and is for :func:`claim`.
    """
    taken = await tx.execute(
        _take(tx.dialect, 1),
        {
            "kinds": kinds,
            "claiming_worker": worker,
            "claimed_at": tx.now(),
            "tenant_0": tenant_id,
            "share_0": 1,
            "alone_0": False,
        },
    )
    return Claimed([Claim(*row) for row in taken], more=True)


async def _have_alone(
    tx: Tx, waiting: Sequence[_Candidate], kinds: Sequence[str]
) -> list[_Candidate]:
    """The first of them that nobody else has: locked, with their limits and loads as of now."""
    rows = [
        {"tenant_id": json_id(tx.dialect, each.tenant_id), "place": place}
        for place, each in enumerate(waiting)
    ]
    locked = {
        str(tenant_id): now
        for tenant_id, *now in await tx.execute(_lock(), {"kinds": kinds, "rows": rows})
    }
    ours = [each for each in waiting if each.tenant_id in locked]
    for each in ours:
        each.max_running, each.rate, each.burst, each.open_at, each.now = locked[each.tenant_id]
    limited = [each for each in ours if each.max_running is not None]
    if limited:
        # READ COMMITTED: this statement sees what others committed before we had the locks.
        counted = {"limited": [each.tenant_id for each in limited]}
        running = {
            str(tenant_id): count for tenant_id, count in await tx.execute(_recount(), counted)
        }
        for each in limited:
            each.running = int(running.get(each.tenant_id, 0))
    return ours


def _share(candidates: list[_Candidate], most: int, places: Places) -> list[tuple[_Candidate, int]]:
    """Deal ``most`` starts one by one, each to the tenant that is then least loaded.

    A start is a place less for everybody: who may not have the next one may have none later.
    """
    shares = [0] * len(candidates)
    rooms = [candidate.room(most) for candidate in candidates]
    left, eagerness = places.free - places.reserve, places.eagerness
    heap = [
        (each.running / each.weight, place)
        for place, each in enumerate(candidates)
        if rooms[place] > 0
    ]
    heapq.heapify(heap)
    while most > 0 and heap:
        _, place = heapq.heappop(heap)
        each = candidates[place]
        if not each.may_have(each.held + shares[place] + 1, left - 1, eagerness):
            continue
        shares[place] += 1
        most -= 1
        left -= 1
        if shares[place] < rooms[place]:
            heapq.heappush(heap, ((each.running + shares[place]) / each.weight, place))
    return [(each, share) for each, share in zip(candidates, shares, strict=True) if share]


async def _charge_tenants(tx: Tx, candidates: list[_Candidate], started: Counter[str]) -> None:
    # The time of the last claim only breaks ties between tenants: alone, there is no tie, and
    # not writing it spares the hottest row of the database one update per claim.
    if len(candidates) == 1 and candidates[0].rate is None:
        return
    rows = []
    for candidate in candidates:
        count = started[candidate.tenant_id]
        if count:
            opens = candidate.open_after(count)
            wait = None if opens is None else (opens - candidate.now).total_seconds()
            rows.append({"tenant_id": json_id(tx.dialect, candidate.tenant_id), "wait": wait})
    if rows:
        await tx.execute(_charge(tx.dialect), {"rows": rows})
