"""Column types and table roots that mean the same on both databases."""

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.functions import FunctionElement

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _TextUuid(sa.Uuid[str]):
    """Reads the 32 digits that SQLite keeps without making a ``uuid.UUID`` of each.

    That made 1.4 us of a third of one, for each id of each row read.
    """

    def __init__(self) -> None:
        super().__init__(as_uuid=False)

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:
        """Put the hyphens back."""
        if dialect.supports_native_uuid:
            return super().result_processor(dialect, coltype)  # type: ignore[no-untyped-call]

        def process(value: str | None) -> str | None:
            if value is None:
                return None
            return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"

        return process


class Id(sa.types.TypeDecorator[str]):
    """A UUID kept as text in Python and in the database's best native form below."""

    impl = _TextUuid()
    cache_ok = True


class UtcTime(sa.types.TypeDecorator[datetime]):
    """Aware UTC datetimes: timestamptz on PostgreSQL, integer microseconds on SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Choose the column type that keeps microseconds on this database."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sa.BigInteger())
        return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse naive datetimes: silently assuming a zone is how due times drift."""
        if value is None:
            return None
        if value.tzinfo is None:
            msg = "naive datetime"
            raise ValueError(msg)
        if dialect.name == "sqlite":
            return (value - _EPOCH) // timedelta(microseconds=1)
        return value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Give back an aware UTC datetime whatever the session's time zone is."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return _EPOCH + timedelta(microseconds=value)
        return cast("datetime", value).astimezone(UTC)


Json: Final = sa.JSON(none_as_null=True).with_variant(
    postgresql.JSONB(none_as_null=True), "postgresql"
)


class db_now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock, optionally ``seconds`` later: the time that decides leases and dues."""

    inherit_cache = True
    name = "db_now"

    def __init__(self, seconds: Any = None) -> None:
        super().__init__(*([] if seconds is None else [sa.cast(seconds, sa.Float)]))
        self.type = UtcTime()


@compiles(db_now, "postgresql")
def _now_postgresql(element: db_now, compiler: Any, **kw: Any) -> str:
    offset = compiler.process(element.clauses, **kw)
    return (
        f"(clock_timestamp() + make_interval(secs => {offset}))" if offset else "clock_timestamp()"
    )


@compiles(db_now, "sqlite")
def _now_sqlite(element: db_now, compiler: Any, **kw: Any) -> str:
    offset = compiler.process(element.clauses, **kw)
    now = "CAST((julianday('now') - 2440587.5) * 86400000000.0 AS INTEGER)"
    return f"({now} + CAST({offset} * 1000000 AS INTEGER))" if offset else now


class time_step(FunctionElement[int]):  # noqa: N801 - reads as the SQL function it is
    """Which step of so many ``seconds`` since 1970 a time lies in."""

    inherit_cache = True
    name = "time_step"

    def __init__(self, at: Any, seconds: int) -> None:
        super().__init__(at, sa.literal(seconds, sa.BigInteger()))
        self.type = sa.BigInteger()


@compiles(time_step, "postgresql")
def _step_postgresql(element: time_step, compiler: Any, **kw: Any) -> str:
    at, seconds = (compiler.process(one, **kw) for one in element.clauses)
    return f"CAST(floor(extract(epoch FROM {at}) / {seconds}) AS bigint)"


@compiles(time_step, "sqlite")
def _step_sqlite(element: time_step, compiler: Any, **kw: Any) -> str:
    at, seconds = (compiler.process(one, **kw) for one in element.clauses)
    return f"({at} / ({seconds} * 1000000))"


class Base(DeclarativeBase):
    """Root of all tables; names constraints so that migrations can drop them by name."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcTime(),
        dict[str, Any]: Json,
        str: sa.Text(),
        bytes: sa.LargeBinary(),
        int: sa.BigInteger(),
    }


class TenantOwned:
    """Mixin of every table whose rows belong to one tenant.

    The tenant stands first in the primary key, and in every index that serves a tenant: else the
    scope's own criterion, the only thing all statements have in common, is what planners find an
    index for, and then they read the whole tenant (record 0016).
    """

    tenant_id: Mapped[str] = mapped_column(Id, primary_key=True, sort_order=-1)


class Lease(Base):
    """A named right that one holder has until a time of the database's clock."""

    __tablename__ = "leases"
    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime]


def tables_of(*models: type[Base]) -> frozenset[str]:
    """The names of the models' tables."""
    return frozenset(model.__tablename__ for model in models)
