"""Whatever is sealed is declared, so that the walk that seals anew cannot pass it by."""

from typing import Any, Final

import pytest
import sqlalchemy as sa

from backend.core.columns import Base
from backend.core.room import House, Room, RoomClashError, SealedColumn
from backend.rooms import CORE_ERRANDS, HOUSE, ROOMS

# Bytes that are no sealed value; what ends in "_hash" is none either.
OTHER_BYTES: Final = {
    "audit_checkpoints.root": "a hash",
    "audit_export_parts.content": "records of the trail, which stand in the clear beside it",
    "audit_heads.mac": "a MAC",
    "audit_records.mac": "a MAC",
    "audit_retentions.mac": "a MAC",
    "audit_tiles.hashes": "hashes",
    "audit_verifications.frontier": "hashes",
    "audit_verifications.mac": "a MAC",
    "data_keys.wrapped": "under the root key, which the walk does not replace",
    "idempotency_records.fingerprint": "a hash",
    "metric_batches.points": "numbers that wait to be added up",
    "metric_chunks.buckets": "counts",
    "metric_chunks.windows": "numbers",
    "secret_tokens.digest": "a hash",
}


def byte_columns(metadata: sa.MetaData) -> set[str]:
    return {
        f"{table.name}.{column.name}"
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, sa.LargeBinary) and not column.name.endswith("_hash")
    }


def undeclared(metadata: sa.MetaData, house: House) -> set[str]:
    return byte_columns(metadata) - {one.name for one in house.sealed} - OTHER_BYTES.keys()


def released() -> sa.MetaData:
    """The tables of the rooms and the core, without those that tests make up."""
    found = sa.MetaData()
    known = {model.__tablename__ for room in ROOMS for model in room.models}
    for name, table in Base.metadata.tables.items():
        if name in known or name in {"audit_records", "audit_heads", "events", "signals"}:
            table.to_metadata(found)
    return found


def test_every_column_of_bytes_is_declared_or_argued_away() -> None:
    assert undeclared(released(), HOUSE) == set()
    assert {one.name for one in HOUSE.sealed} <= byte_columns(released())
    assert OTHER_BYTES.keys() <= byte_columns(released())


def test_a_column_that_nobody_declares_is_found() -> None:
    metadata = released()
    sa.Table("pebbles", metadata, sa.Column("sealed_colour", sa.LargeBinary()))
    assert undeclared(metadata, HOUSE) == {"pebbles.sealed_colour"}
    without = House([room for room in ROOMS if room.name != "gateway"], errands=CORE_ERRANDS)
    assert undeclared(released(), without) == {"idempotency_records.sealed_body"}


@pytest.mark.parametrize("one", HOUSE.sealed, ids=lambda one: one.name)
def test_a_place_follows_from_the_key_of_its_row_alone(one: SealedColumn) -> None:
    mapper: Any = sa.inspect(one.model)
    key: dict[str, Any] = {}
    for column in mapper.primary_key:
        key[column.name] = b"\x01" if isinstance(column.type, sa.LargeBinary) else column.name
    place = one.context(key)
    values = {value.hex() if isinstance(value, bytes) else value for value in key.values()}
    # What tells rows of a tenant apart is in the place; the tenant is in the key that seals.
    assert all(value in place for value in values - {"tenant_id"})
    # What the platform's keys seal in rows of no tenant has to be reached by an errand.
    assert (one.errand is not None) == ("tenant_id" not in mapper.columns)


def test_two_rooms_cannot_declare_one_column() -> None:
    twice = Room(name="other", manager=object, sealed=HOUSE.sealed[:1])
    with pytest.raises(RoomClashError, match="sealed column"):
        House([*ROOMS, twice], errands=CORE_ERRANDS)


def test_an_errand_that_nobody_declares_is_refused() -> None:
    loose = next(one for one in HOUSE.sealed if one.errand is not None)
    with pytest.raises(RoomClashError, match="the errand"):
        House([Room(name="other", manager=object, sealed=(loose,))])
