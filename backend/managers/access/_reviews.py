"""Access reviews: who holds what is written down, and each line is kept or taken away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, cast

import sqlalchemy as sa

from backend.core.context import SystemScope
from backend.core.database import Database, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.paging import newest
from backend.core.subject import ERASED, Bite, Subject
from backend.managers.access._holders import Holders
from backend.managers.access.errands import OVERDUE
from backend.managers.access.errors import (
    AccessGrownError,
    DueDateInvalidError,
    HolderNotFoundError,
    ReviewClosedError,
    ReviewNotFoundError,
    ReviewUndecidedError,
    TooManyHoldersError,
)
from backend.managers.access.models import ReviewLineRow, ReviewRow

Decision = Literal["keep", "revoke"]
_MOST_LINES: Final = 2000
_SHOWN: Final = 5
_TOLD_AT_ONCE: Final = 100


@dataclass(frozen=True, slots=True)
class ReviewLine:
    """What one held when the review began, and what was decided of it."""

    subject: str
    name: str
    role: str
    permissions: Sequence[str]
    last_used_at: datetime | None
    decision: str | None
    decided_by: str | None
    decided_at: datetime | None


@dataclass(frozen=True, slots=True)
class Review:
    """A review; ``undecided`` counts the lines that wait for a decision."""

    id: str
    name: str
    due_at: datetime
    created_by: str
    created_at: datetime
    closed_by: str | None
    closed_at: datetime | None
    undecided: int
    overdue: bool


class Reviews:
    """Opening, deciding and closing them. A decision to revoke is carried out with it."""

    def __init__(self, holders: Holders) -> None:
        self._holders = holders

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[Review]:
        """The tenant's reviews, newest first, one more than ``limit``."""
        query = sa.select(ReviewRow).where(ReviewRow.tenant_id == tx.tenant_id)
        rows = await tx.scalars(newest(query, ReviewRow.id, limit, before_id))
        waiting = await self._undecided(tx, [row.id for row in rows])
        return [_review(tx, row, waiting.get(row.id, 0)) for row in rows]

    async def get(self, tx: ReadTx, review_id: str) -> tuple[Review, Sequence[ReviewLine]]:
        """One review with all its lines, by name.

        Raises:
            ReviewNotFoundError: There is none.
        """
        row = await tx.scalar(
            sa.select(ReviewRow).where(
                ReviewRow.tenant_id == tx.tenant_id, ReviewRow.id == review_id
            )
        )
        if row is None:
            raise ReviewNotFoundError
        lines = await tx.scalars(
            sa.select(ReviewLineRow)
            .where(ReviewLineRow.tenant_id == tx.tenant_id, ReviewLineRow.review_id == review_id)
            .order_by(ReviewLineRow.name, ReviewLineRow.subject)
        )
        undecided = sum(line.decision is None for line in lines)
        return _review(tx, row, undecided), [_line(line) for line in lines]

    async def erase(self, tx: Tx, who: Subject) -> Bite:
        """Leave what was decided of a person, and not their name."""
        done = await tx.execute(
            sa.update(ReviewLineRow)
            .where(
                ReviewLineRow.tenant_id == tx.tenant_id,
                ReviewLineRow.subject == f"user:{who.user_id}",
                ReviewLineRow.name != ERASED,
            )
            .values(name=ERASED)
            .execution_options(synchronize_session=False)
        )
        count = cast("sa.CursorResult[Any]", done).rowcount
        return Bite(count, {ReviewLineRow.__tablename__: count})

    async def open(self, tx: Tx, *, name: str, due_at: datetime) -> Review:
        """Write down who holds what now, to be decided until ``due_at``.

        Raises:
            DueDateInvalidError: That is not in the future.
            TooManyHoldersError: More than two thousand hold something.
        """
        if due_at <= tx.now():
            raise DueDateInvalidError().at("due_at")
        holders = await self._holders.list(tx)
        if len(holders) > _MOST_LINES:
            raise TooManyHoldersError(f"A review may have {_MOST_LINES} lines", limit=_MOST_LINES)
        row = ReviewRow(
            id=uuid7(),
            tenant_id=tx.tenant_id,
            name=name,
            due_at=due_at,
            created_by=tx.scope.actor,
            created_at=tx.now(),
            closed_by=None,
            closed_at=None,
        )
        tx.session.add(row)
        await tx.insert(
            ReviewLineRow,
            [
                {
                    "tenant_id": tx.tenant_id,
                    "review_id": row.id,
                    "subject": one.subject,
                    "holder_id": one.id,
                    "name": one.name,
                    "role": one.role,
                    "permissions": sorted(one.permissions),
                    "last_used_at": one.last_used_at,
                    "decision": None,
                    "decided_by": None,
                    "decided_at": None,
                }
                for one in holders
            ],
        )
        tx.audit("access_review.opened", f"access_review:{row.id}", lines=len(holders))
        tx.emit("access_review.opened", f"access_review:{row.id}", lines=len(holders))
        return _review(tx, row, len(holders))

    async def decide(
        self,
        tx: Tx,
        review_id: str,
        decisions: Mapping[str, Decision],
        *,
        keep_rest: bool,
        remover: frozenset[str],
    ) -> Review:
        """Keep or take away what lines name; a decision is not changed any more.

        Args:
            decisions: By the line's subject.
            keep_rest: Whether all other lines without a decision are kept.
            remover: The permissions of whoever decides.

        Raises:
            ReviewNotFoundError: There is no such review.
            ReviewClosedError: It is over, or a line is decided otherwise already.
            HolderNotFoundError: A subject has no line.
            RoleTooHighError: What is to be taken away has permissions the remover lacks.
            LastOwnerError: It would leave the tenant without an owner.
            AccessGrownError: What is to be kept has gained permissions since the review began.
        """
        row = await self._locked(tx, review_id)
        found = await tx.scalars(
            sa.select(ReviewLineRow)
            .where(ReviewLineRow.tenant_id == tx.tenant_id, ReviewLineRow.review_id == review_id)
            .order_by(ReviewLineRow.subject)
        )
        lines = {line.subject: line for line in found}
        for subject in decisions:
            if subject not in lines:
                raise HolderNotFoundError(f"The review has no line of {subject}")
        wanted: dict[str, Decision] = {
            subject: "keep" for subject, line in lines.items() if keep_rest and not line.decision
        }
        wanted.update(decisions)
        fresh = {one for one, decision in wanted.items() if lines[one].decision != decision}
        await self._refuse_grown(tx, [lines[one] for one in fresh if wanted[one] == "keep"])
        for subject, decision in wanted.items():
            line = lines[subject]
            if subject not in fresh:
                continue
            if line.decision is not None:
                raise ReviewClosedError(f"{subject} is decided already: {line.decision}")
            if decision == "revoke":
                await self._holders.revoke(tx, subject, line.holder_id, remover)
            line.decision, line.decided_by, line.decided_at = decision, tx.scope.actor, tx.now()
            tx.audit(
                "access_review.decided",
                f"access_review:{review_id}",
                subject=subject,
                role=line.role,
                decision=decision,
            )
        return _review(tx, row, sum(line.decision is None for line in lines.values()))

    async def _refuse_grown(self, tx: Tx, kept: Sequence[ReviewLineRow]) -> None:
        now = await self._holders.find_some(tx, {line.subject for line in kept})
        may = {one.subject: one.permissions for one in now}
        for line in sorted(kept, key=lambda line: line.name):
            if gained := sorted(may.get(line.subject, frozenset()).difference(line.permissions)):
                shown = ", ".join(gained[:_SHOWN]) + (" ..." if len(gained) > _SHOWN else "")
                raise AccessGrownError(
                    f"{line.name} has gained {shown} since the review began: "
                    "take it away, or begin another review",
                    subject=line.subject,
                )

    async def tell_overdue(self, database: Database) -> None:
        """Emit an event, once, for each review that is due and not closed; of all tenants."""
        scope = SystemScope(OVERDUE)
        due = (ReviewRow.closed_at.is_(None), ReviewRow.overdue_told_at.is_(None))
        async with database.read(scope) as view:
            found = await view.execute(
                sa.select(ReviewRow.tenant_id, ReviewRow.id)
                .where(*due, ReviewRow.due_at <= view.now())
                .order_by(ReviewRow.due_at)
                .limit(_TOLD_AT_ONCE)
            )
        for tenant_id, review_id in found.all():
            async with (
                database.transaction(scope) as tx,
                tx.within(tenant_id) as part,
            ):
                told = await part.scalar(
                    sa.update(ReviewRow)
                    .where(ReviewRow.tenant_id == tenant_id, ReviewRow.id == review_id, *due)
                    .values(overdue_told_at=part.now())
                    .returning(ReviewRow.name)
                )
                if told is not None:
                    undecided = (await self._undecided(part, [review_id])).get(review_id, 0)
                    target = f"access_review:{review_id}"
                    part.emit("access_review.overdue", target, name=told, undecided=undecided)

    async def close(self, tx: Tx, review_id: str) -> Review:
        """End a review of which every line is decided.

        Raises:
            ReviewNotFoundError: There is no such review.
            ReviewClosedError: It is over already.
            ReviewUndecidedError: Lines wait for a decision.
        """
        row = await self._locked(tx, review_id)
        if undecided := (await self._undecided(tx, [review_id])).get(review_id, 0):
            raise ReviewUndecidedError(f"{undecided} lines wait", undecided=undecided)
        row.closed_by, row.closed_at = tx.scope.actor, tx.now()
        tx.audit("access_review.closed", f"access_review:{review_id}")
        tx.emit("access_review.closed", f"access_review:{review_id}")
        return _review(tx, row, 0)

    async def _locked(self, tx: Tx, review_id: str) -> ReviewRow:
        row: ReviewRow | None = await tx.scalar(
            sa.select(ReviewRow)
            .where(ReviewRow.tenant_id == tx.tenant_id, ReviewRow.id == review_id)
            .with_for_update()
        )
        if row is None:
            raise ReviewNotFoundError
        if row.closed_at is not None:
            raise ReviewClosedError
        return row

    async def _undecided(self, tx: ReadTx, review_ids: Sequence[str]) -> Mapping[str, int]:
        found = await tx.execute(
            sa.select(ReviewLineRow.review_id, sa.func.count())
            .where(
                ReviewLineRow.tenant_id == tx.tenant_id,
                ReviewLineRow.review_id.in_(review_ids),
                ReviewLineRow.decision.is_(None),
            )
            .group_by(ReviewLineRow.review_id)
        )
        return dict(found.all())


def _review(tx: ReadTx, row: ReviewRow, undecided: int) -> Review:
    return Review(
        row.id,
        row.name,
        row.due_at,
        row.created_by,
        row.created_at,
        row.closed_by,
        row.closed_at,
        undecided,
        row.closed_at is None and row.due_at <= tx.now(),
    )


def _line(row: ReviewLineRow) -> ReviewLine:
    return ReviewLine(
        row.subject,
        row.name,
        row.role,
        row.permissions,
        row.last_used_at,
        row.decision,
        row.decided_by,
        row.decided_at,
    )
