"""Transactions, their confinement to a scope, leases and the database's clock."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from backend.core.audit import SEQUENCER
from backend.core.columns import tables_of
from backend.core.context import Errand, Scope, SystemScope
from backend.core.database import (
    Database,
    DatabaseUnavailableError,
    TenantConfinementError,
    db_now,
    make_engine,
)
from backend.core.ids import uuid7
from backend.managers.email.models import TemplateRow
from backend.managers.metrics import ROLLUPS
from backend.managers.tenant.models import TenantRow
from tests.support.trail import audit_row

ME, OTHER = uuid7(), uuid7()


def scope(tenant: str = ME) -> Scope:
    return Scope(actor="user:test", tenant_id=tenant)


def template(tenant: str, name: str) -> TemplateRow:
    return TemplateRow(
        tenant_id=tenant, name=name, subject="s", text="t", html=None, updated_at=datetime.now(UTC)
    )


async def fill(database: Database) -> None:
    for tenant in (ME, OTHER):
        async with database.transaction(scope(tenant)) as tx:
            tx.session.add(template(tenant, f"of-{tenant[-4:]}"))


async def names(database: Database, tenant: str) -> list[str]:
    async with database.read(scope(tenant)) as tx:
        return [row.name for row in await tx.scalars(sa.select(TemplateRow))]


class TestConfinement:
    async def test_select_of_entities_columns_and_subqueries(self, database: Database) -> None:
        await fill(database)
        mine = [f"of-{ME[-4:]}"]
        async with database.read(scope()) as tx:
            assert [row.name for row in await tx.scalars(sa.select(TemplateRow))] == mine
            assert list(await tx.scalars(sa.select(TemplateRow.name))) == mine
            inner = sa.select(TemplateRow.name).subquery()
            assert list(await tx.scalars(sa.select(inner.c.name))) == mine
            with pytest.raises(TenantConfinementError, match="another tenant"):
                await tx.session.get(TemplateRow, (OTHER, f"of-{OTHER[-4:]}"))

    async def test_bulk_update_and_delete_stay_inside(self, database: Database) -> None:
        await fill(database)
        async with database.transaction(scope()) as tx:
            await tx.execute(sa.update(TemplateRow).values(subject="taken"))
            await tx.execute(sa.delete(TemplateRow))
        assert await names(database, ME) == []
        async with database.read(scope(OTHER)) as tx:
            assert [row.subject for row in await tx.scalars(sa.select(TemplateRow))] == ["s"]

    async def test_refuses_to_add_another_tenants_row(self, database: Database) -> None:
        with pytest.raises(TenantConfinementError, match="another tenant"):
            async with database.transaction(scope()) as tx:
                tx.session.add(template(OTHER, "smuggled"))
                await tx.session.flush()

    async def test_refuses_bulk_insert_of_another_tenants_row(self, database: Database) -> None:
        row = {"name": "x", "subject": "s", "text": "t", "html": None}
        now = datetime.now(UTC)
        with pytest.raises(TenantConfinementError, match="another tenant"):
            async with database.transaction(scope()) as tx:
                await tx.insert(
                    TemplateRow,
                    [
                        {**row, "tenant_id": ME, "updated_at": now},
                        {**row, "tenant_id": OTHER, "updated_at": now},
                    ],
                )
        with pytest.raises(TenantConfinementError, match="another tenant"):
            async with database.transaction(scope()) as tx:
                await tx.insert_new(
                    TemplateRow,
                    {**row, "tenant_id": OTHER, "updated_at": now},
                    conflict=["tenant_id", "name"],
                )
        assert await names(database, ME) == await names(database, OTHER) == []

    async def test_inserts_what_is_missing_and_leaves_the_rest(self, database: Database) -> None:
        content = {"subject": "s", "text": "t", "html": None}
        row = {"tenant_id": ME, **content, "updated_at": datetime.now(UTC)}
        async with database.transaction(scope()) as tx:
            await tx.insert(TemplateRow, [{**row, "name": "old"}])
            await tx.insert_missing(
                TemplateRow,
                [{**row, "name": "old", "subject": "new"}, {**row, "name": "new"}],
                conflict=["tenant_id", "name"],
            )
            found = await tx.scalars(sa.select(TemplateRow).order_by(TemplateRow.name))
            assert [(one.name, one.subject) for one in found] == [("new", "s"), ("old", "s")]
        with pytest.raises(TenantConfinementError, match="another tenant"):
            async with database.transaction(scope()) as tx:
                await tx.insert_missing(
                    TemplateRow,
                    [{**row, "tenant_id": OTHER, "name": "x"}],
                    conflict=["tenant_id", "name"],
                )

    async def test_refuses_an_insert_it_cannot_check(self, database: Database) -> None:
        with pytest.raises(TenantConfinementError, match="not every use"):
            async with database.transaction(scope()) as tx:
                tenant = sa.cast(OTHER, TemplateRow.tenant_id.type)
                await tx.execute(sa.insert(TemplateRow).values(tenant_id=tenant, name="x"))

    async def test_refuses_global_tables_to_a_tenant(self, database: Database) -> None:
        async with database.read(scope()) as tx:
            with pytest.raises(TenantConfinementError, match="belongs to no tenant"):
                await tx.scalars(sa.select(TenantRow))

    async def test_refuses_unlisted_tables_to_an_errand(self, database: Database) -> None:
        async with database.read(SystemScope(SEQUENCER)) as tx:
            with pytest.raises(TenantConfinementError, match="email_templates"):
                await tx.scalars(sa.select(TemplateRow))
            with pytest.raises(TenantConfinementError, match="email_templates"):
                hidden = sa.select(TemplateRow.name).scalar_subquery()
                await tx.execute(sa.select(sa.literal(1)).where(hidden == "x"))

    async def test_refuses_writes_in_a_read_transaction(self, database: Database) -> None:
        async with database.read(scope()) as tx:
            with pytest.raises(TenantConfinementError, match="read transaction"):
                await tx.execute(sa.delete(TemplateRow))
            tx.session.add(template(ME, "x"))
            with pytest.raises(TenantConfinementError, match="read transaction"):
                await tx.session.flush()
            tx.session.expunge_all()


class TestTransaction:
    async def test_rolls_back_rows_audit_and_callbacks_together(self, database: Database) -> None:
        called: list[str] = []
        with pytest.raises(ZeroDivisionError):
            async with database.transaction(scope()) as tx:
                tx.session.add(template(ME, "doomed"))
                tx.audit("email_template.saved", "email_template:doomed")
                tx.after_commit(lambda: called.append("late"))
                raise ZeroDivisionError
        assert await names(database, ME) == []
        assert called == []

    async def test_a_failing_before_commit_step_undoes_everything(self, database: Database) -> None:
        async def refuse(_: object) -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            async with database.transaction(scope()) as tx:
                tx.session.add(template(ME, "doomed"))
                tx.before_commit(refuse)
        assert await names(database, ME) == []

    async def test_a_failing_after_commit_callback_changes_nothing(
        self, database: Database
    ) -> None:
        def fail() -> None:
            raise RuntimeError("listener")

        async with database.transaction(scope()) as tx:
            tx.session.add(template(ME, "kept"))
            tx.after_commit(fail)
        assert await names(database, ME) == ["kept"]

    async def test_callbacks_and_signals_leave_after_the_commit_in_order(
        self, database: Database
    ) -> None:
        seen: list[object] = []
        database.signals.subscribe("things", seen.append)

        async def look() -> None:
            seen.append(await names(database, ME))

        async with database.transaction(scope()) as tx:
            tx.after_commit(look)
            tx.after_commit(lambda: seen.append("last"))
            tx.signal("things", "twice")
            tx.signal("things", "twice")
            tx.session.add(template(ME, "kept"))
            assert seen == []
        assert seen == ["twice", ["kept"], "last"]

    async def test_a_read_sees_one_moment(self, database: Database) -> None:
        async with database.read(scope()) as tx:
            assert await tx.scalar(sa.select(sa.func.count()).select_from(TemplateRow)) == 0
            async with database.transaction(scope()) as other:
                other.session.add(template(ME, "meanwhile"))
            assert await tx.scalar(sa.select(sa.func.count()).select_from(TemplateRow)) == 0
        assert await names(database, ME) == ["meanwhile"]

    async def test_a_database_that_is_away_is_unavailable(self, tmp_path: Path) -> None:
        away = Database(make_engine(f"sqlite:///{tmp_path}/no/such.db"), audit_row=audit_row)
        with pytest.raises(DatabaseUnavailableError) as read:
            async with away.read(scope()) as tx:
                await tx.scalars(sa.select(TemplateRow))
        with pytest.raises(DatabaseUnavailableError):
            async with away.transaction(scope()) as tx:
                await tx.scalars(sa.select(TemplateRow))
        assert read.value.headers == {"Retry-After": "1"}
        await away.aclose()

    async def test_a_connection_that_broke_is_replaced(self, database: Database) -> None:
        with pytest.raises(RuntimeError, match="cancelled"):
            async with database.transaction(scope()) as tx:
                await tx.scalars(sa.select(TemplateRow))
                await (await tx.session.connection()).invalidate()
                raise RuntimeError("cancelled")
        assert await names(database, ME) == []

    async def test_what_is_asked_of_a_connection_that_broke_is_an_outage(
        self, database: Database
    ) -> None:
        with pytest.raises(DatabaseUnavailableError):
            async with database.transaction(scope()) as tx:
                await tx.scalars(sa.select(TemplateRow))
                await (await tx.session.connection()).invalidate()
                await tx.scalars(sa.select(TemplateRow))
        assert await names(database, ME) == []

    async def test_a_session_that_was_silent_for_too_long_is_an_outage(
        self, database: Database
    ) -> None:
        if database.dialect == "sqlite":
            pytest.skip("SQLite ends no session")
        with pytest.raises(DatabaseUnavailableError):
            async with database.transaction(scope()) as tx:
                tx.session.add(template(ME, "lost"))
                await tx.session.flush()
                raw: Any = await (await tx.session.connection()).get_raw_connection()
                await raw.driver_connection.execute(
                    "SET LOCAL idle_in_transaction_session_timeout = '50ms'"
                )
                await asyncio.sleep(0.5)
                await tx.scalars(sa.select(TemplateRow))
        assert await names(database, ME) == []

    # SQLAlchemy's own word for it: the part's rollback has ended what the whole then ends.
    @pytest.mark.filterwarnings("ignore:transaction already deassociated")
    async def test_one_that_broke_in_a_part_is_not_opened_anew_to_be_told_whose_it_is(
        self, database: Database, caplog: pytest.LogCaptureFixture
    ) -> None:
        errand = SystemScope(Errand("test.parts", tables_of(TemplateRow)))
        with pytest.raises(DatabaseUnavailableError):
            async with database.transaction(errand) as tx, tx.within(ME) as part:
                await part.scalars(sa.select(TemplateRow))
                await (await part.session.connection()).invalidate()
                part.session.add(template(ME, "meanwhile"))
                await part.session.flush()
        assert not [one for one in caplog.records if one.name.startswith("sqlalchemy.pool")]
        assert await names(database, ME) == []

    async def test_concurrent_read_modify_write_loses_nothing(self, database: Database) -> None:
        async with database.transaction(scope()) as tx:
            tx.session.add(template(ME, "counter"))
            await tx.session.flush()
            await tx.execute(sa.update(TemplateRow).values(subject="0"))

        async def add() -> None:
            for _ in range(10):
                async with database.transaction(scope()) as tx:
                    row = await tx.scalar(sa.select(TemplateRow).with_for_update())
                    row.subject = str(int(row.subject) + 1)

        await asyncio.gather(*(add() for _ in range(4)))
        async with database.read(scope()) as tx:
            assert await tx.scalar(sa.select(TemplateRow.subject)) == "40"


class TestClock:
    async def test_the_databases_clock_is_aware_and_offsets_add_up(
        self, database: Database
    ) -> None:
        async with database.read(scope()) as tx:
            now, later = (await tx.execute(sa.select(db_now(), db_now(90)))).one()
        assert now.tzinfo is UTC
        assert abs(later - now - timedelta(seconds=90)) < timedelta(seconds=1)
        assert abs(now - datetime.now(UTC)) < timedelta(seconds=5)

    async def test_times_keep_their_microseconds(self, database: Database) -> None:
        at = datetime(2026, 11, 22, 14, 0, 0, 123457, tzinfo=UTC)
        async with database.transaction(scope()) as tx:
            row = template(ME, "t")
            row.updated_at = at
            tx.session.add(row)
        async with database.read(scope()) as tx:
            assert await tx.scalar(sa.select(TemplateRow.updated_at)) == at

    async def test_refuses_naive_times(self, database: Database) -> None:
        with pytest.raises(sa.exc.StatementError, match="naive"):
            async with database.transaction(scope()) as tx:
                row = template(ME, "t")
                row.updated_at = datetime(2026, 1, 1)  # noqa: DTZ001 - the point
                tx.session.add(row)


class TestLease:
    async def test_one_holder_at_a_time_until_it_expires(self, database: Database) -> None:
        errand = SystemScope(ROLLUPS)
        async with database.transaction(errand) as tx:
            assert await tx.take_lease("rollup", "one", 60)
            assert not await tx.take_lease("rollup", "two", 60)
            assert await tx.take_lease("rollup", "one", -1)
        async with database.transaction(errand) as tx:
            assert await tx.take_lease("rollup", "two", 60)
            assert not await tx.take_lease("rollup", "one", 60)

    async def test_of_many_that_ask_at_once_one_gets_it(self, database: Database) -> None:
        async def ask(holder: str) -> bool:
            async with database.transaction(SystemScope(ROLLUPS)) as tx:
                return await tx.take_lease("rollup", holder, 60)

        assert sorted(await asyncio.gather(*(ask(f"h{n}") for n in range(6)))) == [False] * 5 + [
            True
        ]

    async def test_is_decided_by_the_databases_clock(self, database_url: str) -> None:
        far = datetime(2100, 1, 1, tzinfo=UTC)
        late = Database(make_engine(database_url), audit_row=audit_row, clock=lambda: far)
        for holder, taken in (("one", True), ("two", False)):
            async with late.transaction(SystemScope(ROLLUPS)) as tx:
                assert await tx.take_lease("rollup", holder, 60) is taken
        await late.aclose()


class TestClosing:
    async def test_ends_what_still_runs_and_leaves_no_connection(self, database_url: str) -> None:
        database = Database(make_engine(database_url), audit_row=audit_row)
        begun = asyncio.Event()

        async def look() -> None:
            async with database.read(SystemScope(SEQUENCER)) as view:
                await view.scalar(sa.select(sa.literal(1)))
                begun.set()
                await asyncio.Event().wait()

        looking = database.background(look())
        await begun.wait()
        pool: Any = database.engine.pool
        assert pool.checkedout() == 1
        await database.aclose()
        assert looking.cancelled()
        assert pool.checkedout() == 0


@pytest.mark.parametrize(
    "database_url", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
class TestPrepared:
    async def test_looks_and_rollbacks_keep_what_is_prepared(self, database: Database) -> None:
        # More often than the driver waits for, on the connection that was used last.
        for _ in range(8):
            await names(database, ME)
        with pytest.raises(TenantConfinementError):
            async with database.transaction(scope()) as tx:
                await tx.scalars(sa.select(TemplateRow.name))
                tx.session.add(template(OTHER, "smuggled"))
                await tx.session.flush()
        async with database.engine.connect() as connection:
            told = await connection.execute(sa.text("SELECT statement FROM pg_prepared_statements"))
            assert [one for (one,) in told if "FROM email_templates" in one]
