"""A tenant's tree of routes, as it is kept: read, written, and tried out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.managers.alerting._matching import read_matchers
from backend.managers.alerting._policies import policies_of
from backend.managers.alerting._routing import Inhibition, Route, Way, ways
from backend.managers.alerting.errors import (
    MatcherInvalidError,
    RoutingChangedError,
    RoutingInvalidError,
)
from backend.managers.alerting.models import PolicyRow, RoutingRow

MAX_ROUTES: Final = 500
MAX_DEPTH: Final = 10
MAX_INHIBITIONS: Final = 100
MAX_GATHERINGS: Final = 50
_TIMES: Final = ("group_wait", "group_interval")


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Where alerts go.

    Attributes:
        tree: The topmost route, and those below it.
        inhibitions: Which alerts keep which others quiet.
        incidents: Which alerts make one incident: the first of these that one matches.
        version: Changes with every change; for ``If-Match``. 0: nothing was said yet, and nobody
            is told of anything.
    """

    tree: Mapping[str, Any]
    inhibitions: Sequence[Mapping[str, Any]] = ()
    incidents: Sequence[Mapping[str, Any]] = ()
    version: str = "0"
    updated_at: datetime | None = None
    updated_by: str | None = None

    def route(self) -> Route:
        """The tree, to be followed."""
        return _read(self.tree, "0", depth=0)

    def keepers(self) -> Sequence[Inhibition]:
        """What keeps alerts quiet."""
        return [
            Inhibition(
                read_matchers(one["source"]), read_matchers(one["target"]), one.get("equal", ())
            )
            for one in self.inhibitions
        ]


@dataclass(frozen=True, slots=True)
class Tried:
    """Where an alert would go."""

    routes: Sequence[str]
    policy_id: str | None
    group: Mapping[str, str] = field(default_factory=dict)


class Routings:
    """Each tenant's."""

    async def get(self, tx: ReadTx) -> Routing:
        """The tenant's; that nobody is told of anything, where nothing was said."""
        row: RoutingRow | None = await tx.scalar(
            sa.select(RoutingRow).where(RoutingRow.tenant_id == tx.tenant_id)
        )
        if row is None:
            return Routing(tree={})
        return Routing(
            tree=row.tree,
            inhibitions=row.inhibitions,
            incidents=row.incidents,
            version=str(row.revision),
            updated_at=row.updated_at,
            updated_by=row.updated_by,
        )

    async def put(
        self,
        tx: Tx,
        wanted: Routing,
        *,
        expected_version: str | None,
    ) -> Routing:
        """Have alerts go elsewhere from now on; who waits already is told as it was.

        Raises:
            RoutingChangedError: Somebody changed them meanwhile.
            RoutingInvalidError: A route leads nowhere, or cannot be read.
        """
        try:
            wanted.route()
            wanted.keepers()
            for one in wanted.incidents:
                read_matchers(one["matchers"])
        except MatcherInvalidError as exc:
            raise RoutingInvalidError(exc.detail) from exc
        await self._refuse_unknown(tx, wanted.tree)
        row: RoutingRow | None = await tx.scalar(
            sa.select(RoutingRow).where(RoutingRow.tenant_id == tx.tenant_id).with_for_update()
        )
        if expected_version is not None and expected_version != str(row.revision if row else 0):
            raise RoutingChangedError
        said = {
            "tree": dict(wanted.tree),
            "inhibitions": [dict(one) for one in wanted.inhibitions],
            "incidents": [dict(one) for one in wanted.incidents],
            "revision": row.revision + 1 if row else 1,
            "updated_at": tx.now(),
            "updated_by": tx.scope.actor,
        }
        await tx.upsert(
            RoutingRow, {"tenant_id": tx.tenant_id, **said}, conflict=["tenant_id"], update=said
        )
        tx.audit("alert_routing.changed", "alert_routing:tree", routes=_count(wanted.tree))
        tx.session.expire_all()
        return await self.get(tx)

    async def try_out(self, tx: ReadTx, labels: Mapping[str, str]) -> Sequence[Tried]:
        """Where an alert with these labels would go, and with which others."""
        found = ways((await self.get(tx)).route(), labels)
        return [Tried(way.routes, way.policy, dict(way.group_of(labels))) for way in found]

    async def _refuse_unknown(self, tx: ReadTx, tree: Mapping[str, Any]) -> None:
        wanted = policies_of(tree)
        known = await tx.scalars(
            sa.select(PolicyRow.id).where(
                PolicyRow.tenant_id == tx.tenant_id, PolicyRow.id.in_(sorted(wanted))
            )
        )
        if missing := sorted(wanted - set(known)):
            raise RoutingInvalidError(f"There is no escalation policy {missing[0]}")
        if _count(tree) > MAX_ROUTES:
            raise RoutingInvalidError(f"There are {MAX_ROUTES} routes at most")


def group_key(way: Way, labels: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """What alerts of one message have in common: as a key, and as labels."""
    group = dict(way.group_of(labels))
    return "/".join(way.routes[-1:]) + str(sorted(group.items())), group


def _count(tree: Mapping[str, Any]) -> int:
    return 1 + sum(map(_count, tree.get("children", ())))


def _read(said: Mapping[str, Any], route_id: str, *, depth: int) -> Route:
    if depth > MAX_DEPTH:
        raise RoutingInvalidError(f"Routes lie {MAX_DEPTH} deep at most")
    times = {
        name: timedelta(seconds=said[f"{name}_seconds"])
        for name in _TIMES
        if said.get(f"{name}_seconds") is not None
    }
    return Route(
        id=route_id,
        matchers=read_matchers(said.get("matchers") or ""),
        policy=said.get("policy"),
        group_by=said.get("group_by"),
        goes_on=bool(said.get("goes_on")),
        children=[
            _read(child, f"{route_id}.{place}", depth=depth + 1)
            for place, child in enumerate(said.get("children", ()))
        ],
        **times,
    )
