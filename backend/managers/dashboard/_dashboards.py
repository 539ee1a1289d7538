"""Dashboards that people make: what may be on one, who sees it, and what it was before.

A dashboard asks nothing by itself. It keeps questions, in the words of the APIs that answer them,
and whoever opens it asks those with their own permissions: who may not read logs sees no line
through somebody else's dashboard, and there is no second wall to keep.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import sqlalchemy as sa

from backend.core.database import ReadTx, Tx
from backend.core.ids import PLATFORM_TENANT, uuid7
from backend.core.paging import newest
from backend.core.subject import Bite, Subject
from backend.managers.dashboard.errors import (
    DashboardChangedError,
    DashboardExistsError,
    DashboardInvalidError,
    DashboardNotFoundError,
    DashboardVersionNotFoundError,
    TooManyDashboardsError,
)
from backend.managers.dashboard.models import DashboardRow, DashboardVersionRow

Visibility = Literal["person", "tenant", "platform"]
COLUMNS: Final = 12
MAX_BYTES: Final = 64 * 2**10
"""Of one dashboard, as JSON: forty panels with long queries have half of it."""
MAX_SHARED: Final = 200
"""Of all who may read dashboards of a tenant, or of the platform."""
MAX_OWN: Final = 50
"""Of one person, or program, in a tenant."""
MAX_ALL: Final = 2000
"""Of a tenant, those of single people among them: what its rows may grow to."""
VERSIONS: Final = 20
"""The newest that are kept of each."""
_REFERENCE: Final = re.compile(r"\$\{([a-z][a-z0-9_]*)\}")
_EVERYBODY: Final = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardDraft:
    """What somebody wants to keep.

    Attributes:
        name: Unique among those of the same visibility and, of a person's own, of the person.
        description: For people; may be empty.
        variables: Each with ``name``, ``values`` to choose among (none: any text) and ``default``.
        panels: In the order of reading; each with its title, its place in a grid of twelve columns
            and one question, under the name of its source.
        range_minutes: What is looked at unless the address says otherwise.
    """

    name: str
    description: str
    variables: Sequence[Mapping[str, Any]]
    panels: Sequence[Mapping[str, Any]]
    range_minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dashboard(DashboardDraft):
    """A dashboard as it is kept."""

    id: str
    visibility: Visibility
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str

    @property
    def panel_count(self) -> int:
        """How many panels it has."""
        return len(self.panels)


@dataclass(frozen=True, slots=True, kw_only=True)
class DashboardVersion(DashboardDraft):
    """What a dashboard was at a version."""

    version: int
    saved_at: datetime
    saved_by: str

    @property
    def panel_count(self) -> int:
        """How many panels it had."""
        return len(self.panels)


class Dashboards:
    """The dashboards that a scope sees: a tenant's, somebody's own, or the platform's.

    Each statement names tenant and owner itself: the platform's scope confines no rows.
    """

    async def create(
        self, tx: Tx, draft: DashboardDraft, visibility: Visibility, *, imported: bool = False
    ) -> Dashboard:
        """Keep a new one.

        Args:
            tx: Under the platform's errand for the platform's own, else the tenant's.
            draft: What is on it.
            visibility: Who sees it, for good: what one made for oneself alone may have had in an
                older version what others should not read. To share it, it is made once more.
            imported: Whether it came as a file, for the trail.

        Raises:
            DashboardInvalidError: Its parts do not fit together.
            DashboardExistsError: The name is taken.
            TooManyDashboardsError: There are as many as may be.
        """
        owner = tx.scope.actor if visibility == "person" else _EVERYBODY
        content = _content(draft)
        await self._refuse_more(tx, owner)
        now = tx.now()
        row: dict[str, Any] = {
            "tenant_id": tx.tenant_id,
            "id": uuid7(),
            "owner": owner,
            "name": draft.name,
            "version": 1,
            "content": content,
            "created_at": now,
            "created_by": tx.scope.actor,
            "updated_at": now,
            "updated_by": tx.scope.actor,
        }
        if not await tx.insert_new(DashboardRow, row, conflict=["tenant_id", "owner", "name"]):
            raise DashboardExistsError().at("name")
        await self._note(tx, row)
        _tell(tx, "imported" if imported else "created", row)
        return await self.get(tx, row["id"])

    async def get(self, tx: ReadTx, dashboard_id: str) -> Dashboard:
        """One that the caller sees.

        Raises:
            DashboardNotFoundError: No such one, or it is somebody else's own.
        """
        return _value(await self._load(tx, dashboard_id))

    async def list(
        self,
        tx: ReadTx,
        *,
        limit: int,
        before_id: str | None = None,
    ) -> Sequence[Dashboard]:
        """Those that the caller sees, the newest first, one more than ``limit``."""
        query = sa.select(DashboardRow).where(
            DashboardRow.tenant_id == tx.tenant_id,
            DashboardRow.owner.in_([_EVERYBODY, tx.scope.actor]),
        )
        rows = await tx.scalars(newest(query, DashboardRow.id, limit, before_id))
        return [_value(row) for row in rows]

    async def replace(
        self, tx: Tx, dashboard_id: str, draft: DashboardDraft, *, expected_version: str | None
    ) -> Dashboard:
        """Save another version.

        Args:
            tx: As for :meth:`create`.
            dashboard_id: Which.
            draft: What is on it from now on.
            expected_version: The version that it is thought to have; None: whatever it has.

        Raises:
            DashboardNotFoundError: No such one, or it is somebody else's own.
            DashboardChangedError: Somebody saved it meanwhile.
            DashboardInvalidError: Its parts do not fit together.
            DashboardExistsError: Another one has the name.
        """
        row = await self._load(tx, dashboard_id, lock=True)
        _refuse_other(row, expected_version)
        return await self._save(tx, row, draft, "changed")

    async def remove(self, tx: Tx, dashboard_id: str, *, expected_version: str | None) -> None:
        """Forget it, and what it was.

        Raises:
            DashboardNotFoundError: No such one, or it is somebody else's own.
            DashboardChangedError: Somebody saved it meanwhile.
        """
        row = await self._load(tx, dashboard_id, lock=True)
        _refuse_other(row, expected_version)
        told = {"id": row.id, "name": row.name, "owner": row.owner, "version": row.version}
        for model, key in (
            (DashboardVersionRow, DashboardVersionRow.dashboard_id),
            (DashboardRow, DashboardRow.id),
        ):
            await tx.execute(
                sa.delete(model).where(model.tenant_id == tx.tenant_id, key == dashboard_id)
            )
        _tell(tx, "deleted", told)

    async def list_versions(self, tx: ReadTx, dashboard_id: str) -> Sequence[DashboardVersion]:
        """What it was, the newest first; twenty at most, the current one among them.

        Raises:
            DashboardNotFoundError: No such one, or it is somebody else's own.
        """
        await self._load(tx, dashboard_id)
        rows = await tx.scalars(
            sa.select(DashboardVersionRow)
            .where(
                DashboardVersionRow.tenant_id == tx.tenant_id,
                DashboardVersionRow.dashboard_id == dashboard_id,
            )
            .order_by(DashboardVersionRow.version.desc())
        )
        return [_version(row) for row in rows]

    async def get_version(self, tx: ReadTx, dashboard_id: str, version: int) -> DashboardVersion:
        """What it was at a version.

        Raises:
            DashboardNotFoundError: No such one, or it is somebody else's own.
            DashboardVersionNotFoundError: It never had this version, or it is too long ago.
        """
        await self._load(tx, dashboard_id)
        row = await tx.scalar(
            sa.select(DashboardVersionRow).where(
                DashboardVersionRow.tenant_id == tx.tenant_id,
                DashboardVersionRow.dashboard_id == dashboard_id,
                DashboardVersionRow.version == version,
            )
        )
        if row is None:
            raise DashboardVersionNotFoundError
        return _version(row)

    async def restore(
        self, tx: Tx, dashboard_id: str, version: int, *, expected_version: str | None
    ) -> Dashboard:
        """Save what it was at a version as its newest one; what came between stays on record.

        Raises:
            DashboardNotFoundError: No such one, or it is somebody else's own.
            DashboardVersionNotFoundError: It never had this version, or it is too long ago.
            DashboardChangedError: Somebody saved it meanwhile.
            DashboardExistsError: Another one has the name that it had.
        """
        row = await self._load(tx, dashboard_id, lock=True)
        _refuse_other(row, expected_version)
        before = await self.get_version(tx, dashboard_id, version)
        return await self._save(tx, row, before, "restored", of=version)

    async def erase(self, tx: Tx, who: Subject, after: str) -> Bite:  # noqa: ARG002 - one bite
        """What a person has kept for themselves alone goes with them."""
        if who.user_id is None:
            return Bite(0)
        theirs = sa.select(DashboardRow.id).where(
            DashboardRow.tenant_id == tx.tenant_id, DashboardRow.owner == f"user:{who.user_id}"
        )
        ids = list(await tx.scalars(theirs))
        if not ids:
            return Bite(0)
        for model, key in (
            (DashboardVersionRow, DashboardVersionRow.dashboard_id),
            (DashboardRow, DashboardRow.id),
        ):
            await tx.execute(sa.delete(model).where(model.tenant_id == tx.tenant_id, key.in_(ids)))
        return Bite(len(ids), {DashboardRow.__tablename__: len(ids)})

    async def _load(self, tx: ReadTx, dashboard_id: str, *, lock: bool = False) -> DashboardRow:
        query = sa.select(DashboardRow).where(
            DashboardRow.tenant_id == tx.tenant_id,
            DashboardRow.id == dashboard_id,
            DashboardRow.owner.in_([_EVERYBODY, tx.scope.actor]),
        )
        row: DashboardRow | None = await tx.scalar(query.with_for_update() if lock else query)
        if row is None:
            raise DashboardNotFoundError
        return row

    async def _refuse_more(self, tx: ReadTx, owner: str) -> None:
        # Two that are made at once may pass the bound together by one: it bounds lists and disks.
        of_tenant = (
            sa.select(sa.func.count())
            .select_from(DashboardRow)
            .where(DashboardRow.tenant_id == tx.tenant_id)
        )
        most = MAX_OWN if owner else MAX_SHARED
        if int(await tx.scalar(of_tenant.where(DashboardRow.owner == owner))) >= most:
            raise TooManyDashboardsError(f"They are {most}: delete one that nobody looks at")
        if int(await tx.scalar(of_tenant)) >= MAX_ALL:
            raise TooManyDashboardsError(
                f"All people together have {MAX_ALL}: somebody deletes one"
            )

    async def _save(
        self, tx: Tx, row: DashboardRow, draft: DashboardDraft, what: str, **more: Any
    ) -> Dashboard:
        values: dict[str, Any] = {
            "name": draft.name,
            "content": _content(draft),
            "version": row.version + 1,
            "updated_at": tx.now(),
            "updated_by": tx.scope.actor,
        }
        dashboard_id, owner = row.id, row.owner
        same_name = sa.select(DashboardRow.id).where(
            DashboardRow.tenant_id == tx.tenant_id,
            DashboardRow.owner == owner,
            DashboardRow.name == draft.name,
            DashboardRow.id != dashboard_id,
        )
        if await tx.scalar(same_name):
            raise DashboardExistsError().at("name")
        await tx.execute(
            sa.update(DashboardRow)
            .where(DashboardRow.tenant_id == tx.tenant_id, DashboardRow.id == dashboard_id)
            .values(**values)
        )
        told = {**values, "tenant_id": tx.tenant_id, "id": dashboard_id, "owner": owner}
        await self._note(tx, told)
        await tx.execute(
            sa.delete(DashboardVersionRow).where(
                DashboardVersionRow.tenant_id == tx.tenant_id,
                DashboardVersionRow.dashboard_id == dashboard_id,
                DashboardVersionRow.version <= values["version"] - VERSIONS,
            )
        )
        _tell(tx, what, told, **more)
        return await self.get(tx, dashboard_id)

    async def _note(self, tx: Tx, row: Mapping[str, Any]) -> None:
        noted = {
            "tenant_id": row["tenant_id"],
            "dashboard_id": row["id"],
            "version": row["version"],
            "name": row["name"],
            "content": row["content"],
            "saved_at": row["updated_at"],
            "saved_by": row["updated_by"],
        }
        await tx.insert(DashboardVersionRow, [noted])


def check(draft: DashboardDraft) -> None:
    """Refuse what cannot be drawn, or would be drawn otherwise than it says.

    Raises:
        DashboardInvalidError: A panel has no question or several, reaches beyond the grid or lies
            on another one, or names a variable that is not there; a variable is there twice, or
            its default is none of its values.
    """
    names = [one["name"] for one in draft.variables]
    for at, variable in enumerate(draft.variables):
        if variable["name"] in names[:at]:
            raise DashboardInvalidError(f"{variable['name']} is there twice").at("variables", at)
        if variable["values"] and variable["default"] not in variable["values"]:
            raise DashboardInvalidError("The default is none of the values").at(
                "variables", at, "default"
            )
    taken: dict[tuple[int, int], int] = {}
    for at, panel in enumerate(draft.panels):
        asked = [source for source in SOURCES if panel.get(source) is not None]
        if len(asked) != 1:
            said = f"not {' and '.join(asked)}" if asked else f"of {', '.join(SOURCES)}"
            raise DashboardInvalidError(f"A panel has one question: {said}").at("panels", at)
        if panel["column"] + panel["width"] > COLUMNS:
            raise DashboardInvalidError(f"A row has {COLUMNS} columns").at("panels", at, "width")
        for column in range(panel["column"], panel["column"] + panel["width"]):
            other = taken.setdefault((panel["row"], column), at)
            if other != at:
                raise DashboardInvalidError(f"Panel {other} lies there").at("panels", at, "column")
        for name in _references(panel[asked[0]]):
            if name not in names:
                raise DashboardInvalidError(f"There is no variable {name}").at(
                    "panels", at, asked[0]
                )


class _Question(NamedTuple):
    """What a panel may ask: of these fields it has one."""

    metric: Any
    prometheus: Any
    logs: Any
    traces: Any
    slo: Any
    overview: Any
    usage: Any
    audit: Any
    text: Any


SOURCES: Final = _Question._fields
"""Each is the name of the field with its question."""


def _references(query: object) -> Iterator[str]:
    if isinstance(query, str):
        yield from _REFERENCE.findall(query)
    elif isinstance(query, Mapping):
        for value in query.values():
            yield from _references(value)
    elif isinstance(query, Sequence):
        for value in query:
            yield from _references(value)


def _content(draft: DashboardDraft) -> dict[str, Any]:
    check(draft)
    content = {
        "description": draft.description,
        "variables": list(draft.variables),
        "panels": list(draft.panels),
        "range_minutes": draft.range_minutes,
    }
    if len(json.dumps(content, ensure_ascii=False).encode()) > MAX_BYTES:
        raise DashboardInvalidError(f"A dashboard has {MAX_BYTES} bytes at most, as JSON")
    return content


def _refuse_other(row: DashboardRow, expected_version: str | None) -> None:
    if expected_version is not None and str(row.version) != expected_version:
        raise DashboardChangedError


def _seen_by(tenant_id: str, owner: str) -> Visibility:
    if tenant_id == PLATFORM_TENANT:
        return "platform"
    return "person" if owner else "tenant"


def _value(row: DashboardRow) -> Dashboard:
    return Dashboard(
        id=row.id,
        visibility=_seen_by(row.tenant_id, row.owner),
        name=row.name,
        version=row.version,
        created_at=row.created_at,
        created_by=row.created_by,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
        **row.content,
    )


def _version(row: DashboardVersionRow) -> DashboardVersion:
    return DashboardVersion(
        version=row.version,
        name=row.name,
        saved_at=row.saved_at,
        saved_by=row.saved_by,
        **row.content,
    )


def _tell(tx: Tx, what: str, row: Mapping[str, Any], **more: Any) -> None:
    tx.audit(
        f"dashboard.{what}",
        f"dashboard:{row['id']}",
        name=row["name"],
        visibility=_seen_by(tx.tenant_id, row["owner"]),
        version=row["version"],
        **more,
    )
