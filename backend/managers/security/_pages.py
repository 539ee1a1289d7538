"""A column of sealed values, a page at a time: what is not under the newest key, and its change.

Read by the table's key, sealed anew outside any transaction, and written where nobody has changed
it meanwhile: no row is locked for longer than it takes to write it.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from backend.core.context import AnyScope, Scope
from backend.core.database import Database, ReadTx, Tx
from backend.core.room import SealedColumn
from backend.managers.security import _envelope
from backend.managers.security._ring import Keyring
from backend.managers.security.errors import SealBrokenError
from backend.managers.security.models import DataKey

logger = logging.getLogger(__name__)

# Rows that a step looks at, and of them at most so many, and so many bytes, that it writes: others
# who write wait for its transaction.
_LOOKED_AT: Final = 500
_WRITTEN: Final = 200
_BYTES: Final = 4 * 2**20
# The header of any envelope and more, its nonce with it: no two sealings have the same.
_HEAD: Final = 64
IN_CLEAR: Final = 0


@dataclass(frozen=True, slots=True)
class Place:
    """A column, in the scope in which its rows are reached."""

    column: SealedColumn
    scope: AnyScope

    @property
    def keys(self) -> list[str]:
        """The names of what tells its rows apart in that scope."""
        names = [one.name for one in sa.inspect(self.column.model).primary_key]
        if isinstance(self.scope, Scope):
            names.remove("tenant_id")
        return names


@dataclass(frozen=True, slots=True)
class Found:
    """A value that is not under the newest version: where, what, and what guards its change."""

    key: Mapping[str, Any]
    version: int
    old: bytes | None
    plain: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """What a step has read: how far, and what is to be done."""

    seen: int
    after: list[Any] | None
    found: Sequence[Found]
    broken: int


async def count_rows(database: Database, place: Place) -> int:
    """How many rows there are.

    A page of keys at a time: a tenant's whole index in one statement would be read while everybody
    else on its disk waits.
    """
    total = 0
    names = place.keys or ["tenant_id"]
    key = [_attribute(place.column, name) for name in names]
    after: Sequence[Any] = ()
    while True:
        query = sa.select(*key).order_by(*key).limit(_LOOKED_AT)
        if after:
            query = query.where(_beyond(place.column, names, after))
        async with database.read(place.scope) as view:
            rows = (await view.execute(query)).all()
        total += len(rows)
        if len(rows) < _LOOKED_AT:
            return total
        after = list(rows[-1])


async def read_page(
    view: ReadTx,
    place: Place,
    after: Sequence[Any],
    keys: Sequence[DataKey],
    newest: str,
) -> Page:
    """A page of a column: its heads first, and whole only what has to be sealed anew."""
    column, names = place.column, place.keys
    sealed = _attribute(column, column.column)
    query = sa.select(
        *(_attribute(column, name) for name in names),
        _head(sealed).label("head"),
        sa.func.length(sealed).label("size"),
        _attribute(column, column.owner).label("owner")
        if column.owner is not None
        else sa.null().label("owner"),
    )
    if after:
        query = query.where(_beyond(column, names, [_decoded(one) for one in after]))
    query = query.order_by(*(_attribute(column, name) for name in names)).limit(_LOOKED_AT)
    rows = (await view.execute(query)).all()
    versions = {key.id: key.version for key in keys}
    stale: dict[tuple[Any, ...], int] = {}
    seen = broken = size = 0
    last: list[Any] | None = None
    for one in rows:
        # Not in the statement: it would read on until it had a page of the tenant's own.
        own = column.owner is None or one.owner == view.tenant_id
        version = _version_of(one.head, column, versions, newest) if own else None
        if version is not None and version >= IN_CLEAR:
            size += one.size or 0
            if stale and (len(stale) >= _WRITTEN or size > _BYTES):
                break
            stale[tuple(one[: len(names)])] = version
        elif version is not None:
            broken += 1
        seen += 1
        last = [_encoded(value) for value in one[: len(names)]]
    if seen == len(rows) < _LOOKED_AT or not names:
        last = None  # the column ends here
    found = await _load_values(view, place, stale) if stale else []
    return Page(seen, last, found, broken)


async def _load_values(
    view: ReadTx, place: Place, stale: Mapping[tuple[Any, ...], int]
) -> list[Found]:
    column, names = place.column, place.keys
    plain = column.plain.columns if column.plain is not None else ()
    every = [one.name for one in sa.inspect(column.model).primary_key]
    query = sa.select(*(_attribute(column, name) for name in [*every, column.column, *plain]))
    if names:
        keys = [_attribute(column, name) for name in names]
        if len(keys) == 1:
            query = query.where(keys[0].in_([key[0] for key in stale]))
        else:
            # The first by itself as well: SQLite finds no way along an index through OR alone.
            query = query.where(
                keys[0].in_({key[0] for key in stale}),
                sa.or_(
                    *(
                        sa.and_(*(name == value for name, value in zip(keys, key, strict=True)))
                        for key in stale
                    )
                ),
            )
    found = []
    for one in (await view.execute(query)).mappings():
        version = stale.get(tuple(one[name] for name in names))
        if version is not None:
            found.append(
                Found(
                    {name: one[name] for name in every},
                    version,
                    one[column.column],
                    {name: one[name] for name in plain},
                )
            )
    return found


def _attribute(column: SealedColumn, name: str) -> Any:
    return getattr(column.model, name)


def _head(sealed: Any) -> Any:
    return sa.func.substr(sealed, 1, _HEAD, type_=sa.LargeBinary())


def _beyond(column: SealedColumn, names: Sequence[str], after: Sequence[Any]) -> Any:
    """Rows after a key, in the order of the key."""
    # Compared as a row: by OR both databases would begin each page at the tenant's first row.
    key = [_attribute(column, name) for name in names]
    last = [sa.literal(value, one.type) for one, value in zip(key, after, strict=True)]
    return sa.tuple_(*key) > sa.tuple_(*last)


def _version_of(
    head: bytes | None, column: SealedColumn, versions: Mapping[str, int], newest: str
) -> int | None:
    """Under which version a value is; None: nothing is to be done. Negative: it cannot open."""
    if head is None:
        return None if column.plain is None else IN_CLEAR
    try:
        key_id = _envelope.key_id_of(bytes(head))
    except SealBrokenError:
        return -1
    return None if key_id == newest else versions.get(key_id, -1)


def seal_anew(
    keyring: Keyring, column: SealedColumn, found: Sequence[Found], tenant_id: str
) -> list[bytes | None]:
    """Each value under the newest version; None for what does not open."""
    sealed: list[bytes | None] = []
    for one in found:
        context = column.context(one.key)
        try:
            if one.old is not None:
                plain: bytes | None = keyring.open(context, one.old)
            else:
                plain = column.plain.read(one.plain) if column.plain is not None else None
        except SealBrokenError:
            logger.exception(
                "sealed_value_broken", extra={"tenant_id": tenant_id, "column": column.name}
            )
            plain = None
        sealed.append(None if plain is None else keyring.seal(context, plain))
    return sealed


async def replace_values(tx: Tx, column: SealedColumn, fresh: Sequence[tuple[Found, bytes]]) -> int:
    """Write fresh bytes in place of what was read, where nobody has changed it; how often."""

    def still_sealed(c: Any) -> list[Any]:
        return [_head(c[column.column]) == sa.bindparam("was_head", type_=sa.LargeBinary())]

    def still_plain(c: Any) -> list[Any]:
        plain = column.plain.columns if column.plain is not None else ()
        return [
            c[column.column].is_(None),
            *(
                c[name].is_not_distinct_from(sa.bindparam(f"was_{name}", type_=c[name].type))
                for name in plain
            ),
        ]

    sealed: list[dict[str, Any]] = []
    plain: list[dict[str, Any]] = []
    for one, new in fresh:
        row = {f"key_{name}": value for name, value in one.key.items()} | {column.column: new}
        if one.old is not None:
            sealed.append(row | {"was_head": one.old[:_HEAD]})
        elif column.plain is not None:
            was = {f"was_{name}": value for name, value in one.plain.items()}
            plain.append(row | was | dict(column.plain.cleared(one.plain)))
    return await tx.update_each(
        column.model, sealed, unchanged=still_sealed
    ) + await tx.update_each(column.model, plain, unchanged=still_plain)


def _encoded(value: Any) -> Any:
    return {"hex": value.hex()} if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    return bytes.fromhex(value["hex"]) if isinstance(value, dict) else value
