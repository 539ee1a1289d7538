"""Rows that go into the database as one parameter are those that would have gone one by one."""

import enum
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.context import Errand, Scope, SystemScope
from backend.core.database import Database, TenantConfinementError
from backend.core.events import EventRecord
from backend.core.ids import uuid7
from backend.core.json_rows import BulkInsert
from backend.managers.email.models import TemplateRow

ADA, EVE = uuid7(), uuid7()
EVENTS = BulkInsert(EventRecord, ("id", "at", "kind", "subject", "actor", "data"))
TEXTS = [
    "",
    "plain",
    'say "so" \\ and \x01\x1f\x7f',
    "Größe 漢字 🧷",
    "a\nb\tc",
    "$.id",
    "1e400",
    "null",
]


class _Kind(enum.StrEnum):
    MADE = "thing.made"


def event(tenant: str = ADA, **more: Any) -> dict[str, Any]:
    at = datetime(2026, 5, 1, 12, 30, 15, 123456, tzinfo=UTC)
    row = {"id": uuid7(), "tenant_id": tenant, "at": at, "kind": "thing.made", "subject": "s:1"}
    return row | {"actor": "user:1", "data": {}} | more


class TestBulkInsert:
    async def test_stores_what_is_given(self, database: Database) -> None:
        given = [
            event(subject=text, data={"n": 2**53 - 1, "t": text, "l": [None, True, {"k": text}]})
            for text in TEXTS
        ]
        given.append(event(kind=_Kind.MADE, at=datetime(1969, 12, 31, 23, 59, 59, 1, tzinfo=UTC)))
        async with database.transaction(Scope("t", ADA)) as tx:
            tx.append(EVENTS, given)
        async with database.read(Scope("t", ADA)) as view:
            found = await view.scalars(sa.select(EventRecord).order_by(EventRecord.id))
        assert [{name: getattr(row, name) for name in given[0]} for row in found] == given

    async def test_reads_like_what_the_unit_of_work_stores(self, database: Database) -> None:
        """A search through the stored text must not depend on the way that it went in."""
        row = event(data={"name": "Ä/ü", "n": [1, 2]})
        async with database.transaction(Scope("t", ADA)) as tx:
            tx.append(EVENTS, [row])
            await tx.insert(EventRecord, [row | {"id": uuid7(), "seq": None}])
            text = sa.cast(EventRecord.data, sa.Text)
            one, other = await tx.scalars(sa.select(text).order_by(EventRecord.id))
        assert one == other

    async def test_stores_bytes_of_any_length_or_none(self, database: Database) -> None:
        templates = BulkInsert(
            TemplateRow, ("name", "subject", "text", "sealed_source", "characters", "updated_at")
        )
        held = [b"\0", None, b"", bytes(range(256)), b"\\x41", None]
        now = datetime.now(UTC)
        given = [
            {"tenant_id": ADA, "name": f"{at}", "subject": "", "text": None, "sealed_source": one}
            | {"characters": at, "updated_at": now}
            for at, one in enumerate(held)
        ]
        async with database.transaction(Scope("t", ADA)) as tx:
            tx.append(templates, given)
            rows = await tx.scalars(sa.select(TemplateRow).order_by(TemplateRow.name))
        assert [one.sealed_source for one in rows] == held
        assert {(one.text, one.html, one.updated_at) for one in rows} == {(None, None, now)}
        assert [one.characters for one in rows] == list(range(len(held)))

    async def test_refuses_another_tenants_rows(self, database: Database) -> None:
        with pytest.raises(TenantConfinementError):
            async with database.transaction(Scope("t", ADA)) as tx:
                tx.append(EVENTS, [event(), event(EVE)])
        async with database.read(Scope("t", ADA)) as view:
            assert await view.scalars(sa.select(EventRecord)) == []

    async def test_an_errand_gives_each_tenant_its_own(self, database: Database) -> None:
        errand = Errand("core.sequencer", frozenset({"events"}))
        given = [event(), event(EVE), event()]
        async with database.transaction(SystemScope(errand)) as tx:
            tx.append(EVENTS, given)
        for tenant in (ADA, EVE):
            async with database.read(Scope("t", tenant)) as view:
                found = await view.scalars(sa.select(EventRecord.id).order_by(EventRecord.id))
            assert found == [row["id"] for row in given if row["tenant_id"] == tenant]
