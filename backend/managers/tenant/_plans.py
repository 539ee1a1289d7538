"""Plans, and what each tenant may by its plan and what was overridden of it.

A tenant's own transactions cannot read the platform's tables, and must not have to on their hot
paths: what it may is written, whenever the plan, the choice of it or an override changes, into one
row of the tenant's own, in the same transaction, and told to the rooms that keep a copy.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.managers.tenant._lifecycle import Lifecycle
from backend.managers.tenant._quotas import QUOTAS_CHANGED
from backend.managers.tenant.errors import (
    PlanBuiltInError,
    PlanInUseError,
    PlanNotFoundError,
)
from backend.managers.tenant.models import PlanRow, QuotaRow, TenantRow

UNLIMITED: Final = "unlimited"
"""The plan of a tenant that nobody gave another; it has no quotas, and stays."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What tenants of this plan may; a quota that is not among its own has no limit."""

    name: str
    quotas: Mapping[str, int]
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class TenantQuotas:
    """A tenant's plan, what was overridden of it (None: no limit), and what follows from both."""

    plan: str
    overrides: Mapping[str, int | None]
    limits: Mapping[str, int]


class Plans:
    """Acts of the platform; each needs its errand and audits in its trail."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle

    async def put(self, tx: Tx, name: str, quotas: Mapping[str, int]) -> Plan:
        """Make a plan, or have all its tenants by other quotas from now on.

        Raises:
            PlanBuiltInError: It is the one without limits.
        """
        if name == UNLIMITED:
            raise PlanBuiltInError
        values = {"quotas": dict(quotas), "updated_at": tx.now()}
        await tx.upsert(PlanRow, {"name": name, **values}, conflict=["name"], update=values)
        tx.audit("plan.saved", f"plan:{name}", quotas=dict(quotas))
        tx.emit("plan.saved", f"plan:{name}", quotas=dict(quotas))
        rows = await tx.scalars(
            sa.select(TenantRow)
            .where(TenantRow.plan == name)
            .order_by(TenantRow.id)
            .with_for_update()
        )
        for row in rows:
            await self._apply(tx, row, quotas)
        return Plan(name, quotas, tx.now())

    async def get(self, tx: ReadTx, name: str) -> Plan:
        """One plan.

        Raises:
            PlanNotFoundError: There is none of this name.
        """
        return _plan(await self._load(tx, name))

    async def list(self, tx: ReadTx, *, limit: int, after_name: str | None = None) -> list[Plan]:
        """By name, one more than ``limit``."""
        query = sa.select(PlanRow).order_by(PlanRow.name).limit(limit + 1)
        if after_name is not None:
            query = query.where(PlanRow.name > after_name)
        return [_plan(row) for row in await tx.scalars(query)]

    async def delete(self, tx: Tx, name: str) -> None:
        """Remove a plan that nobody has.

        Raises:
            PlanBuiltInError: It is the one without limits.
            PlanNotFoundError: There is none of this name.
            PlanInUseError: A tenant has it.
        """
        if name == UNLIMITED:
            raise PlanBuiltInError
        row = await self._load(tx, name, lock=True)
        if await tx.scalar(sa.select(TenantRow.id).where(TenantRow.plan == name).limit(1)):
            raise PlanInUseError
        await tx.session.delete(row)
        tx.audit("plan.deleted", f"plan:{name}")
        tx.emit("plan.deleted", f"plan:{name}")

    async def quotas_of_tenant(self, tx: ReadTx, tenant_id: str) -> TenantQuotas:
        """What a tenant may, and why.

        Raises:
            TenantNotFoundError: There is none.
        """
        row = await self._lifecycle.load(tx, tenant_id)
        plan = await self._load(tx, row.plan)
        return TenantQuotas(row.plan, row.overrides, _limits(plan.quotas, row.overrides))

    async def set_quotas(
        self,
        tx: Tx,
        tenant_id: str,
        *,
        plan: str | None = None,
        overrides: Mapping[str, int | None] | None = None,
    ) -> TenantQuotas:
        """Give a tenant another plan, or other overrides in place of all it had.

        What is above a new limit already stays; nothing more is added to it.

        Args:
            tx: Of the platform.
            tenant_id: Whose.
            plan: None: the one it has.
            overrides: By quota, None for no limit; None at all: those it has.

        Raises:
            TenantNotFoundError: There is none.
            PlanNotFoundError: There is none of this name.
        """
        row = await self._lifecycle.load(tx, tenant_id, lock=True)
        # Locked, or it could be deleted between our look and the commit.
        chosen = await self._load(tx, plan or row.plan, lock=True)
        before = {"plan": row.plan, "overrides": row.overrides}
        row.plan = chosen.name
        if overrides is not None:
            row.overrides = dict(overrides)
        after = {"plan": row.plan, "overrides": row.overrides}
        tx.audit("tenant.quotas_changed", f"tenant:{tenant_id}", before=before, after=after)
        tx.emit("tenant.quotas_changed", f"tenant:{tenant_id}", before=before, after=after)
        limits = await self._apply(tx, row, chosen.quotas)
        return TenantQuotas(row.plan, row.overrides, limits)

    async def _apply(self, tx: Tx, row: TenantRow, quotas: Mapping[str, int]) -> Mapping[str, int]:
        limits = _limits(quotas, row.overrides)
        kept = {QuotaRow.limits.key: limits}
        async with tx.within(row.id) as part:
            await part.upsert(
                QuotaRow,
                {"tenant_id": row.id, **kept},
                conflict=["tenant_id"],
                update=kept,
            )
        await self._lifecycle.tell(tx, row)
        tx.signal(QUOTAS_CHANGED, row.id)
        return limits

    async def _load(self, tx: ReadTx, name: str, *, lock: bool = False) -> PlanRow:
        query = sa.select(PlanRow).where(PlanRow.name == name)
        row: PlanRow | None = await tx.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise PlanNotFoundError(f"There is no plan {name!r}")
        return row


def _limits(quotas: Mapping[str, int], overrides: Mapping[str, int | None]) -> dict[str, int]:
    found = {**quotas, **overrides}
    return {name: limit for name, limit in sorted(found.items()) if limit is not None}


def _plan(row: PlanRow) -> Plan:
    return Plan(row.name, dict(sorted(row.quotas.items())), row.updated_at)
