"""Who is told first, and who next, until somebody sees to it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import Integrity, ReadTx, Tx
from backend.core.ids import uuid7
from backend.core.loading import Loader
from backend.core.paging import newest
from backend.managers.alerting.errors import (
    PolicyChangedError,
    PolicyExistsError,
    PolicyInUseError,
    PolicyInvalidError,
    PolicyNotFoundError,
    TooManyPoliciesError,
)
from backend.managers.alerting.models import ChannelRow, PolicyRow, RoutingRow

_load: Final = Loader(PolicyRow, PolicyNotFoundError, PolicyChangedError)

MAX_POLICIES: Final = 100
MAX_STEPS: Final = 10
MAX_REPEATS: Final = 10


@dataclass(frozen=True, slots=True)
class Step:
    """Some channels at a time.

    Attributes:
        channels: Ids; none: nobody, and the next step comes at once.
        after_seconds: How long after the step before; of the first one, after the alert fired.
    """

    channels: Sequence[str]
    after_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDraft:
    """An escalation.

    Attributes:
        name: Unique in the tenant.
        steps: In their order.
        repeats: How often all of them come again while nobody sees to it.
        repeat_seconds: How long after the last step.
    """

    name: str
    steps: Sequence[Step]
    repeats: int = 0
    repeat_seconds: int = 900

    def turns(self) -> Iterable[tuple[int, timedelta, Sequence[str]]]:
        """Each step that tells anybody: its number, how long after the beginning, and by what.

        A step that tells nobody keeps nobody waiting: what comes after it comes in its place.
        """
        number, at, began = 0, timedelta(0), False
        for turn in range(self.repeats + 1):
            if turn:
                at += timedelta(seconds=self.repeat_seconds)
            for place, step in enumerate(self.steps):
                if step.channels:
                    waits = (began and place > 0) or number == 0
                    at += timedelta(seconds=step.after_seconds if waits else 0)
                    began = True
                    yield number, at, step.channels
                number += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(PolicyDraft):
    """An escalation, as it is kept.

    Attributes:
        version: Changes with every change; for ``If-Match``.
    """

    id: str
    version: str
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


class Policies:
    """A tenant's escalation policies."""

    async def create(self, tx: Tx, draft: PolicyDraft) -> Policy:
        """Say who is told first, and who next.

        Raises:
            PolicyExistsError: The name is taken.
            PolicyInvalidError: A step leads to a channel that is not there, or none to any.
            TooManyPoliciesError: There are a hundred.
        """
        count = sa.select(sa.func.count()).select_from(PolicyRow)
        if await tx.scalar(count.where(PolicyRow.tenant_id == tx.tenant_id)) >= MAX_POLICIES:
            raise TooManyPoliciesError(f"They are {MAX_POLICIES}: delete one")
        await _refuse_unknown(tx, draft)
        row = {
            **_columns(tx, draft),
            "tenant_id": tx.tenant_id,
            "id": uuid7(),
            "revision": 1,
            "created_at": tx.now(),
            "created_by": tx.scope.actor,
        }
        if not await tx.insert_new(PolicyRow, row, conflict=["tenant_id", "name"]):
            raise PolicyExistsError().at("name")
        tx.audit("alert_policy.created", f"alert_policy:{row['id']}", name=draft.name)
        return await self.get(tx, str(row["id"]))

    async def get(self, tx: ReadTx, policy_id: str) -> Policy:
        """One of them.

        Raises:
            PolicyNotFoundError: No such one in this tenant.
        """
        return _value(await _load(tx, policy_id))

    async def list(
        self, tx: ReadTx, *, limit: int, before_id: str | None = None
    ) -> Sequence[Policy]:
        """The newest first, one more than ``limit``."""
        query = sa.select(PolicyRow).where(PolicyRow.tenant_id == tx.tenant_id)
        return [
            _value(row) for row in await tx.scalars(newest(query, PolicyRow.id, limit, before_id))
        ]

    async def all(self, tx: ReadTx) -> dict[str, Policy]:
        """All of them, by their ids."""
        query = sa.select(PolicyRow).where(PolicyRow.tenant_id == tx.tenant_id)
        return {row.id: _value(row) for row in await tx.scalars(query)}

    async def replace(
        self, tx: Tx, policy_id: str, draft: PolicyDraft, *, expected_version: str | None
    ) -> Policy:
        """Have others told, or at other times; who waits already is told as it was.

        Raises:
            PolicyNotFoundError: No such one in this tenant.
            PolicyChangedError: Somebody changed it meanwhile.
            PolicyExistsError: Another one has the name.
            PolicyInvalidError: A step leads to a channel that is not there, or none to any.
        """
        row = await _load(tx, policy_id, expected_version=expected_version, lock=True)
        await _refuse_unknown(tx, draft)
        try:
            async with tx.savepoint():
                for name, value in _columns(tx, draft).items():
                    setattr(row, name, value)
                row.revision += 1
        except Integrity as exc:
            raise PolicyExistsError().at("name") from exc
        tx.audit("alert_policy.changed", f"alert_policy:{policy_id}", name=draft.name)
        return _value(row)

    async def remove(self, tx: Tx, policy_id: str, *, expected_version: str | None) -> None:
        """Have nobody told by it any more.

        Raises:
            PolicyNotFoundError: No such one in this tenant.
            PolicyChangedError: Somebody changed it meanwhile.
            PolicyInUseError: A route leads to it.
        """
        row = await _load(tx, policy_id, expected_version=expected_version, lock=True)
        tree: Any = await tx.scalar(
            sa.select(RoutingRow.tree).where(RoutingRow.tenant_id == tx.tenant_id)
        )
        if tree is not None and policy_id in policies_of(tree):
            raise PolicyInUseError("By a route")
        tx.audit("alert_policy.deleted", f"alert_policy:{policy_id}", name=row.name)
        await tx.session.delete(row)


def policies_of(tree: Any) -> set[str]:
    """The policies that a tree of routes, as it is kept, leads to."""
    found = {tree["policy"]} if tree.get("policy") else set()
    return found.union(*map(policies_of, tree.get("children", ())))


async def _refuse_unknown(tx: ReadTx, draft: PolicyDraft) -> None:
    wanted = {channel for step in draft.steps for channel in step.channels}
    if not wanted:
        raise PolicyInvalidError("No step tells anybody").at("steps")
    known = await tx.scalars(
        sa.select(ChannelRow.id).where(
            ChannelRow.tenant_id == tx.tenant_id, ChannelRow.id.in_(sorted(wanted))
        )
    )
    if missing := sorted(wanted - set(known)):
        raise PolicyInvalidError(f"There is no channel {missing[0]}").at("steps")


def _columns(tx: Tx, draft: PolicyDraft) -> dict[str, Any]:
    return {
        "name": draft.name,
        "steps": [
            {"channels": list(step.channels), "after_seconds": step.after_seconds}
            for step in draft.steps
        ],
        "repeats": draft.repeats,
        "repeat_seconds": draft.repeat_seconds,
        "updated_at": tx.now(),
        "updated_by": tx.scope.actor,
    }


def _value(row: PolicyRow) -> Policy:
    return Policy(
        id=row.id,
        name=row.name,
        steps=[Step(one["channels"], one["after_seconds"]) for one in row.steps],
        repeats=row.repeats,
        repeat_seconds=row.repeat_seconds,
        version=str(row.revision),
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )
